"""A grid as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.numbers import joined, markdown


def to_markdown(grid: Grid) -> str:
    """The table, what all rows share above it and the notes below; wide columns are left out, and a note says so.

    Whatever comes from records is shown as it is and cannot become markup.
    """
    grid = grid.seen_by("people")
    lines = [f"# {markdown(grid.title)}", ""]
    if grid.above:
        lines += [markdown(grid.above), ""]
    lines += table_lines(grid) if grid.rows else ["There are no rows."]
    left_out = [column.title for column in grid.columns if column.wide]
    notes = [*grid.notes, *([f"Left out here, in the CSV: {joined(left_out)}."] if left_out else [])]
    if notes:
        lines += ["", *(f"- {markdown(note)}" for note in notes)]
    return "\n".join(lines) + "\n"


def table_lines(grid: Grid) -> list[str]:
    """The table alone, without wide columns."""
    grid = grid.seen_by("people")
    places = [place for place, column in enumerate(grid.columns) if not column.wide]
    columns = [grid.columns[place] for place in places]
    titles = [markdown(column.title) for column in columns]
    rows = [[_entry(row[place]) for place in places] for row in grid.rows]
    widths = [max(3, *(len(row[place]) for row in [titles, *rows])) for place in range(len(columns))]
    rule = [
        "-" * (width - 1) + ":" if column.numeric else "-" * width
        for column, width in zip(columns, widths, strict=True)
    ]
    return ["| " + " | ".join(_aligned(row, widths, columns)) + " |" for row in (titles, rule, *rows)]


def _entry(entry: Entry) -> str:
    text = markdown(entry.text)
    if entry.link is not None:
        text = f"[{text}]({quote(entry.link, safe='/#:?=&%')})"
    return f"{text}<sup>{markdown(entry.mark)}</sup>" if entry.mark else text


def _aligned(row: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> list[str]:
    return [
        text.rjust(width) if column.numeric else text.ljust(width)
        for text, width, column in zip(row, widths, columns, strict=True)
    ]
