"""A grid as CSV: every column, numbers in full precision."""

from __future__ import annotations

import csv
import io

from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.sheets import NOT_AVAILABLE

#: A text that begins with one of these would be a formula to a spreadsheet.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
#: In the column of marks, behind a figure that needs none.
NO_MARK = "none"


def to_csv(grid: Grid) -> str:
    """A line of keys and a line a row. A column with marked figures has another one, KEY_mark, behind it.

    A numeric column holds numbers, and NA where there is none; the reason is in the other formats. A text that is no
    number and begins as a formula of a spreadsheet does is written behind an apostrophe.
    """
    grid = grid.seen_by("csv")
    marked = [any(row[place].mark for row in grid.rows) for place in range(len(grid.columns))]
    lines = [[text for column, has in zip(grid.columns, marked, strict=True) for text in _keys(column, has)]]
    for row in grid.rows:
        line: list[str] = []
        for column, has, entry in zip(grid.columns, marked, row, strict=True):
            line.append(_value(column, entry))
            if has:
                line.append(harmless(entry.mark) if entry.mark else NO_MARK)
        lines.append(line)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def harmless(text: str) -> str:
    """``text``, with an apostrophe before it where a spreadsheet would take it for a formula."""
    if not text.startswith(FORMULA_SIGNS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _keys(column: Column, marked: bool) -> list[str]:
    return [harmless(column.key), *([harmless(f"{column.key}_mark")] if marked else [])]


def _value(column: Column, entry: Entry) -> str:
    if isinstance(entry.value, int | float):
        return repr(entry.value)
    if entry.value is not None:
        return harmless(entry.value)
    return NOT_AVAILABLE if column.numeric else harmless(entry.text)
