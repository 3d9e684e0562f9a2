"""Tables of a report in a page of one's own: a README that never disagrees with its records.

    <!-- table NAME columns=KEY,KEY where=KEY=VALUE -->
    whatever stands here is replaced by the table
    <!-- /table -->

Markers begin their lines; what is indented is an example. NAME is that of a file in reports/tables. ``columns`` (keys
as in its CSV, in any order) and ``where`` (rows of one value) may be left out, and are quoted where they hold spaces:
"where=claim=1. Scaling factors".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bnn_ablate.report.grid import Entry, Grid
from bnn_ablate.report.tables import ReportError
from bnn_ablate.report.writers.markdown import table_lines

_BEGIN = re.compile(r"<!-- table (.+) -->")
_END = "<!-- /table -->"


def with_tables(text: str, grids: Mapping[str, Grid], page: str) -> str:
    """``text`` with the tables between its markers made anew. Raises ReportError with ``page`` and the marker."""
    made: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        made.append(line)
        found = _BEGIN.fullmatch(line)
        if found is None:
            continue
        marker = f"{page}: {line}"
        try:
            name, *words = shlex.split(found[1])
        except ValueError as error:
            raise ReportError(f"{marker}: {error}") from None
        grid = _asked(name, words, grids, marker)
        for skipped in lines:
            if skipped == _END:
                break
        else:
            raise ReportError(f"{marker}: no {_END} follows")
        made += ["", *table_lines(grid), "", _END]
    return "\n".join(made)


def _asked(name: str, words: list[str], grids: Mapping[str, Grid], marker: str) -> Grid:
    if name not in grids:
        raise ReportError(f"{marker}: the report has no table {name}: its tables are {', '.join(sorted(grids))}")
    grid = grids[name]
    for word in sorted(words, reverse=True):  # rows before columns: a row may be known by a column that is not shown
        what, _, value = word.partition("=")
        if what == "columns":
            grid = _columns(grid, value.split(","), marker)
        elif what == "where":
            grid = _rows(grid, *value.partition("=")[::2], marker)
        else:
            raise ReportError(f"{marker}: {word} is neither columns=KEY,KEY nor where=KEY=VALUE")
    return replace(grid, rows=tuple(tuple(map(_unlinked, row)) for row in grid.rows))


def _columns(grid: Grid, keys: Sequence[str], marker: str) -> Grid:
    places = [_place(grid, key, marker) for key in keys]
    columns = tuple(replace(grid.columns[place], wide=False, only="") for place in places)
    rows = tuple(tuple(row[place] for place in places) for row in grid.rows)
    return replace(grid, columns=columns, rows=rows, details=())


def _rows(grid: Grid, key: str, wanted: str, marker: str) -> Grid:
    place = _place(grid, key, marker)
    rows = tuple(row for row in grid.rows if row[place].text == wanted)
    if not rows:
        texts = ", ".join(dict.fromkeys(row[place].text for row in grid.rows))
        raise ReportError(f"{marker}: no row has {key}={wanted}: there are {texts}")
    return replace(grid, rows=rows, details=())


def _place(grid: Grid, key: str, marker: str) -> int:
    keys = [column.key for column in grid.columns]
    if key not in keys:
        raise ReportError(f"{marker}: {grid.name} has no column {key}: its columns are {', '.join(keys)}")
    return keys.index(key)


def _unlinked(entry: Entry) -> Entry:
    """Links go from the report's folder, and the page may lie anywhere."""
    return replace(entry, link=None)
