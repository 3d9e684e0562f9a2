"""A grid as a fragment of LaTeX that a paper takes in with ``\\input``."""

from __future__ import annotations

from collections.abc import Sequence

from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.numbers import one_line
from bnn_ablate.report.writers.tex_letters import escaped

#: Rows up to which a table floats on one page; longer ones break across pages.
FLOATS = 36
#: Characters of one line that fit a page in the normal size of letters; wider tables are scaled down to the page.
PAGE_WIDTH = 72
#: Characters of a title's line, and of an entry of words that stays on one; where letters cannot be scaled, fewer.
TITLE_WIDTH, ENTRY_WIDTH, LONG_ENTRY_WIDTH = 14, 36, 22

PACKAGES = ("booktabs", "longtable", "graphicx")


def to_latex(grid: Grid) -> str:
    """The table with caption, label ``tab:NAME`` and notes; needs booktabs, where long longtable, where wide graphicx.

    Wide columns are left out, and so are links and what is shown on demand.
    """
    grid = grid.seen_by("people")
    places = [place for place, column in enumerate(grid.columns) if not column.wide]
    columns = [grid.columns[place] for place in places]
    rows = [[row[place] for place in places] for row in grid.rows]
    scaled, long = _width(columns, rows) > PAGE_WIDTH, len(rows) > FLOATS
    room = LONG_ENTRY_WIDTH if scaled and long else ENTRY_WIDTH
    longest = [max((len(row[place].text) for row in rows), default=0) for place in range(len(columns))]
    broken = [not column.numeric and length > room for column, length in zip(columns, longest, strict=True)]
    layout = "".join(
        f"p{{{room // 2}em}}" if breaks else "r" if column.numeric else "l"
        for column, breaks in zip(columns, broken, strict=True)
    )
    head = " & ".join(_title(column) for column in columns) + r" \\"
    body = [" & ".join(map(_entry, row, broken)) + r" \\" for row in rows]
    caption = rf"\caption{{{escaped(grid.title)}}}\label{{tab:{_label(grid.name)}}}"
    notes = [escaped(note) + r"\par" for note in (grid.above, *grid.notes) if note]
    if long:
        lines = [_needs("booktabs", "longtable"), *_longtable(layout, caption, head, body, scaled), *notes, "}"]
        return "\n".join(lines) + "\n"
    table = [rf"\begin{{tabular}}{{@{{}}{layout}@{{}}}}", r"\toprule", head, r"\midrule", *body]
    table += [r"\bottomrule", r"\end{tabular}"]
    if scaled:
        table = [r"\resizebox{\textwidth}{!}{%", *table[:-1], table[-1] + "}"]
    lines = [_needs("booktabs", *(["graphicx"] if scaled else []))]
    lines += [r"\begin{table}[tbp]", r"\centering", caption, *table]
    lines += [r"\begin{flushleft}\footnotesize", *notes, r"\end{flushleft}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def to_latex_document(names: Sequence[str]) -> str:
    """A document of its own that takes in the fragments NAME.tex beside it."""
    packages = "".join(f"\\usepackage{{{name}}}\n" for name in PACKAGES)
    inputs = "".join(f"\\input{{{name}}}\n\\clearpage\n" for name in names)
    return f"\\documentclass[10pt]{{article}}\n{packages}\\begin{{document}}\n{inputs}\\end{{document}}\n"


def _longtable(layout: str, caption: str, head: str, body: Sequence[str], scaled: bool) -> list[str]:
    """A table over several pages, which cannot be scaled: its letters are smaller. The group stays open for notes."""
    size = r"\scriptsize" if scaled else r"\small"
    head_lines = [r"\toprule", head, r"\midrule"]
    return [
        "{" + size + r"\setlength{\tabcolsep}{3pt}",
        rf"\begin{{longtable}}{{@{{}}{layout}@{{}}}}",
        caption + r"\\",
        *head_lines,
        r"\endfirsthead",
        *head_lines,
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *body,
        r"\end{longtable}",
    ]


def _needs(*packages: str) -> str:
    return "% needs " + " ".join(f"\\usepackage{{{name}}}" for name in packages)


def _label(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)


def _entry(entry: Entry, breaks: bool) -> str:
    text = escaped(entry.text) + (rf"\textsuperscript{{{escaped(entry.mark)}}}" if entry.mark else "")
    return rf"{{\raggedright {text}\par}}" if breaks else text


def _title(column: Column) -> str:
    """A title on as many lines as it needs."""
    lines = [""]
    for word in one_line(column.title).split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > TITLE_WIDTH:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    text = r"\\".join(escaped(line) for line in lines)
    return rf"\shortstack[{'r' if column.numeric else 'l'}]{{{text}}}" if len(lines) > 1 else text


def _width(columns: Sequence[Column], rows: Sequence[Sequence[Entry]]) -> int:
    """About how many characters a line of the table has, two between columns."""
    total = 0
    for place, column in enumerate(columns):
        words = max((len(word) for word in column.title.split()), default=0)
        title = min(len(column.title), max(words, TITLE_WIDTH))
        entries = [len(row[place].text) + len(row[place].mark) for row in rows]
        total += max(title, min(max(entries, default=0), ENTRY_WIDTH)) + 2
    return total
