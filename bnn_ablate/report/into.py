"""Tables of a report in a page of one's own: a README that never disagrees with its records.

    <!-- table NAME columns=KEY,KEY where=KEY=VALUE -->
    whatever stands here is replaced by the table
    <!-- /table -->

NAME is that of a file in reports/tables; ``columns`` (keys as in its CSV, in any order) and ``where`` (rows of one
value) may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from bnn_ablate.report.grid import Entry, Grid
from bnn_ablate.report.tables import ReportError
from bnn_ablate.report.writers.markdown import table_lines

_BEGIN = re.compile(r"<!-- table (\S+)((?: \S+)*) -->")
_END = "<!-- /table -->"


def with_tables(text: str, grids: Mapping[str, Grid], page: str) -> str:
    """``text`` with the tables between its markers made anew. Raises ReportError with ``page`` and the marker."""
    made: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        made.append(line)
        found = _BEGIN.fullmatch(line.strip())
        if found is None:
            continue
        grid = _asked(found[1], found[2].split(), grids, f"{page}: {line.strip()}")
        for skipped in lines:
            if skipped.strip() == _END:
                break
        else:
            raise ReportError(f"{page}: {line.strip()}: no {_END} follows")
        made += ["", *table_lines(grid), "", _END]
    return "\n".join(made)


def _asked(name: str, words: list[str], grids: Mapping[str, Grid], marker: str) -> Grid:
    if name not in grids:
        raise ReportError(f"{marker}: the report has no table {name}: its tables are {', '.join(sorted(grids))}")
    grid = grids[name]
    for word in words:
        what, _, value = word.partition("=")
        if what == "columns":
            places = [_place(grid, key, marker) for key in value.split(",")]
            grid = replace(
                grid,
                columns=tuple(replace(grid.columns[place], wide=False, only="") for place in places),
                rows=tuple(tuple(row[place] for place in places) for row in grid.rows),
                details=(),
            )
        elif what == "where":
            key, _, wanted = value.partition("=")
            place = _place(grid, key, marker)
            rows = tuple(row for row in grid.rows if row[place].text == wanted)
            if not rows:
                texts = ", ".join(dict.fromkeys(row[place].text for row in grid.rows))
                raise ReportError(f"{marker}: no row has {key}={wanted}: there are {texts}")
            grid = replace(grid, rows=rows, details=())
        else:
            raise ReportError(f"{marker}: {word} is neither columns=KEY,KEY nor where=KEY=VALUE")
    return replace(grid, rows=tuple(tuple(map(_unlinked, row)) for row in grid.rows))


def _place(grid: Grid, key: str, marker: str) -> int:
    keys = [column.key for column in grid.columns]
    if key not in keys:
        raise ReportError(f"{marker}: {grid.name} has no column {key}: its columns are {', '.join(keys)}")
    return keys.index(key)


def _unlinked(entry: Entry) -> Entry:
    """Links go from the report's folder, and the page may lie anywhere."""
    return replace(entry, link=None)
