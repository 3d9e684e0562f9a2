"""The rows of a table as HTML: by hand and not by the template, because a page may have 10,000 of them.

Closing tags that HTML lets one leave out are left out; everything that is not markup goes through ``escape``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from markupsafe import Markup
from markupsafe import escape as _escape

from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.site.links import safe_link

#: Titles up to this length stay on one line, and so do verdicts and states of a few letters more with their signs.
SHORT, SHORT_STATE = 9, 12


@lru_cache(maxsize=2**14)
def escape(text: str) -> str:
    """``text`` for HTML, also inside an attribute in quotes. The same words stand in most rows."""
    return str(_escape(text))


def rows_html(grid: Grid, own: Sequence[str], explained: Mapping[str, str], hiding: bool) -> Markup:
    """All rows, a line each.

    ``own`` are the texts that open below them, ``explained`` the ids of marks' notes; ``hiding`` marks the entries of
    columns that the page may leave out.
    """
    names = next((place for place, column in enumerate(grid.columns) if not column.numeric), 0)
    columns = [
        (column, _classes(column, hiding), "<th scope=row" if place == names else "<td")
        for place, column in enumerate(grid.columns)
    ]
    lines = []
    for place, row in enumerate(grid.rows):
        toggle = _toggle(own[place], row[names].text) if own else ""
        cells = [_cell(entry, *column, explained) for entry, column in zip(row, columns, strict=True)]
        lines.append(f"<tr>{toggle}{''.join(cells)}")
    return Markup("\n".join(lines))  # each piece is escaped


def common_details(grid: Grid) -> tuple[str, int, list[str]]:
    """The details that all rows share as text, how many these are, and each row's own as text.

    A line of the text is a key, a tab and a value; further lines of a value begin with a tab.
    """
    if not grid.details:
        return "", 0, []
    first, *others = grid.details
    shared = {key for key, value in first.items() if others and all(other.get(key) == value for other in others)}
    return (
        _lines((key, value) for key, value in first.items() if key in shared),
        len(shared),
        [_lines(item for item in row.items() if item[0] not in shared) for row in grid.details],
    )


def _lines(details: Iterable[tuple[str, str]]) -> str:
    return "\n".join([key + "\t" + value.replace("\n", "\n\t") for key, value in details])


def _classes(column: Column, hiding: bool) -> str:
    """``n``: numbers stand right. ``x``: left out until a person asks for all columns."""
    return " ".join(["n"] * column.numeric + ["x"] * (column.wide and hiding))


def head_html(column: Column, longest: int, hiding: bool) -> Markup:
    """The start of a column's head, which holds short entries on one line and gives long ones room to be read."""
    classes = _classes(column, hiding) + " s" * (len(column.title) <= SHORT)
    room = longest if longest <= 12 else 13 if longest <= 60 else 18
    return Markup('<th scope="col" data-key="{}"{}{}{}>').format(
        column.key,
        Markup(' class="{}"').format(classes.strip()) if classes else "",
        Markup(" data-filtered") if column.filtered else "",
        "" if column.numeric else Markup(' style="min-width: calc({}ch + 1.2rem)"').format(room),
    )


def _toggle(text: str, name: str) -> str:
    # a browser drops a line break directly behind <pre>, so that one stands there
    return (
        f'<td class=d><details><summary aria-label="Details of {escape(name)}"></summary>'
        f"<pre>\n{_escape(text)}</pre></details>"
    )


def _cell(entry: Entry, column: Column, classes: str, head: str, explained: Mapping[str, str]) -> str:
    if entry.tone:
        classes = f"{classes} {entry.tone.replace(' ', '-')}{' s' * (len(entry.text) <= SHORT_STATE)}".lstrip()
    if column.numeric and not entry.tone and entry.text.replace(" ", "").isalpha():
        classes += " w"  # where a number would be on one line, words may be on two: "no change"
    attributes = f' class="{classes}"' if classes else ""
    sorted_by = _sorted_by(entry, column)
    if sorted_by is not None:
        attributes += f' data-v="{escape(sorted_by)}"'
    plain = not (entry.link or entry.mark or entry.more)
    return f"{head}{attributes}>{escape(entry.text) if plain else _decorated(entry, explained)}"


def _decorated(entry: Entry, explained: Mapping[str, str]) -> str:
    """The text with its link, its mark and what opens; the text is always the first thing of the cell."""
    text, more = escape(entry.text), escape(entry.more)
    link = safe_link(entry.link)
    if link is not None:
        text = f'<a href="{escape(link)}">{text}</a>'
    if entry.mark:
        mark = escape(entry.mark)
        text += (
            f'<sup><a href="#{escape(explained[entry.mark])}">{mark}</a></sup>'
            if entry.mark in explained
            else f"<sup>{mark}</sup>"
        )
    if entry.more and (link is not None or entry.mark):
        # a link inside a summary could not be used by keyboard
        return f"{text} <details class=m><summary aria-label=more>…</summary><span>{more}</span></details>"
    if entry.more:
        return f"<details class=m><summary>{text}</summary><span>{more}</span></details>"
    return text


def _sorted_by(entry: Entry, column: Column) -> str | None:
    """What the script sorts by where the text does not say it: an empty one is a missing number."""
    if entry.value is None:
        return "" if column.numeric and _looks_numeric(entry.text) else None
    exact = entry.value if isinstance(entry.value, str) else repr(entry.value)
    return None if exact == entry.text else exact


def _looks_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
