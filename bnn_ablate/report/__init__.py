"""From the files of a store to a report: a pure function, so the same records give the same bytes.

    stats/   means, effects and what may be said of them; numbers in, numbers out
    runs     every run of one or more stores, whatever its state, and what could not be read
    cells    runs that differ in their seed only, as the rows of a study
    labels   what tells the rows apart, and what all of them share
    rows     the measured part of a row
    notes    what a reader must know beside the numbers
    tables   labels, rows and notes, and as the text at the end of a sweep
    sheets   the same as CSV in full precision

    grid     tables, figures and sections as values: what everything below makes, and the writers are given
    claims/      what the paper claims, and what our runs say of it
    published/   figures of others with ours beside them
    effects/     what each choice of a study does
    run_list, provenance            every run; where each number comes from
    charts/                         figures
    sections the page's part a study, and what no study shows alone
    pages    all of it put together; sources: where it finds what people have written
    writing  as files: writers/ for Markdown, LaTeX and CSV, site/ for the page; files: in their folder

Nothing here imports torch.
"""
