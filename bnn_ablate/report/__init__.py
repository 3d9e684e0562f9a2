"""From the files of a store to tables: a pure function, so the same records give the same bytes.

    stats    the mean of some runs and its interval
    runs     every run of one or more stores, whatever its state, and what could not be read
    cells    runs that differ in their seed only, as the rows of a study
    labels   what tells the rows apart, and what all of them share
    rows     the measured part of a row
    notes    what a reader must know beside the numbers
    tables   labels, rows and notes as Markdown, and as the text at the end of a sweep
    sheets   the same as CSV in full precision
    pages    the files of a report

Nothing here imports torch.
"""
