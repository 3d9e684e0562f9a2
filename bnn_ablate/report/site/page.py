"""``to_html``: a page of the report as one self-contained HTML file."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bnn_ablate.report.grid import Chart, Grid, Page, Section
from bnn_ablate.report.site.links import file_link
from bnn_ablate.report.site.pictures import Picture, picture
from bnn_ablate.report.site.rows import SHORT, common_details, head_html, rows_html

FOLDER = Path(__file__).parent
#: Rows above which a table has a height of its own, with a head that stays in sight.
TALL = 30
#: Rows that a table shows at once before a person asks for more; the style sheet and the script have this number too.
LONG = 200
#: Characters across that a page of A4 holds upright and turned round.
UPRIGHT, TURNED = 140, 210
#: And what a screen holds before it has to be scrolled sideways.
SCREEN = 112
#: Axes of the filter that are in sight at once; the others open.
FIRST = 7
#: Problems told at once; the others open.
TOLD = 12


@dataclass(frozen=True, kw_only=True)
class Filter:
    """An axis that can be filtered by, with the values that rows have; ``first`` ones are in sight at once."""

    key: str
    title: str
    values: tuple[str, ...]
    first: bool


@dataclass(frozen=True, kw_only=True)
class ShownGrid:
    """A table with its id, its place in the headings and its rows as HTML.

    ``hidden`` are the titles of columns that are left out until a person asks for them, because the table would be
    broader than a screen. A title that only ``repeats`` its section's is read aloud and not shown. On paper a ``broad``
    one has a page turned round, and a ``crowded`` one breaks words.
    """

    grid: Grid
    id: str
    level: int
    repeats: bool
    notes: tuple[tuple[str, str], ...]
    shared: str
    num_shared: int
    heads: tuple[Markup, ...]
    rows: Markup
    hidden: tuple[str, ...]
    broad: bool
    crowded: bool


@dataclass(frozen=True, kw_only=True)
class ShownSection:
    """``parts`` are sections, tables and rows of neighbouring charts (as tuples); the contents name ``listed`` ones."""

    section: Section
    id: str
    level: int
    parts: tuple[ShownSection | ShownGrid | tuple[Picture, ...], ...]

    @property
    def listed(self) -> list[ShownSection]:
        return [part for part in self.parts if isinstance(part, ShownSection) and not part.section.folded]


class Ids:
    """Ids of elements: each once, whatever names the parts have."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, wish: str) -> str:
        wish = "-".join(wish.split())
        number, chosen = 1, wish
        while chosen in self._taken:
            number += 1
            chosen = f"{wish}-{number}"
        self._taken.add(chosen)
        return chosen


def to_html(page: Page) -> str:
    """The text of index.html: nothing in it is loaded from elsewhere, and the same page gives the same bytes.

    Sections stand in the page's order. Tables link to ``tables/NAME.csv``, ``.md`` and ``.tex``, charts to
    ``figures/NAME.svg`` and ``.pdf``; links of entries stay if they are relative or of the web. A note that begins with
    an entry's mark and a space or colon is what the mark links to.
    """
    ids = Ids()
    for own in ("top", "main", "problems", "filter", "filter-status", "filter-text"):
        ids.new(own)
    anchors = _anchors(page.sections)
    sections = tuple(_section(section, 2, ids, anchors) for section in page.sections)
    script = (FOLDER / "script.js").read_text(encoding="utf-8")
    text = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            page=page,
            sections=sections,
            filters=filters(page.sections),
            style=Markup((FOLDER / "style.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_digest=b64encode(sha256(script.encode()).digest()).decode(),
            long=LONG,
            tall=TALL,
            told=TOLD,
        )
    )
    # half of a UTF-16 pair is legal in JSON and illegal in a file
    return text.encode("utf-8", "replace").decode("utf-8")


def filters(sections: Sequence[Section]) -> list[Filter]:
    """What can be filtered by: the columns that say so and have more than one value, in order of appearance.

    The first ones are those of most tables; a table of runs counts before all others.
    """
    titles: dict[str, str] = {}
    values: dict[str, set[str]] = {}
    weights: Counter[str] = Counter()
    grids = _grids(sections)
    for grid in grids:
        for place, column in enumerate(grid.columns):
            if column.filtered:
                titles.setdefault(column.key, column.title)
                values.setdefault(column.key, set()).update(row[place].text.strip() for row in grid.rows)
                weights[column.key] += len(grids) if grid.details else 1
    offered = [key for key in titles if len(values[key]) > 1]
    first = sorted(offered, key=lambda key: -weights[key])[:FIRST]
    return [
        Filter(key=key, title=titles[key], values=tuple(sorted(values[key], key=_natural)), first=key in first)
        for key in offered
    ]


def _grids(parts: Sequence[Grid | Chart | Section]) -> list[Grid]:
    grids: list[Grid] = []
    for part in parts:
        if isinstance(part, Grid):
            grids.append(part)
        elif isinstance(part, Section):
            grids += _grids(part.parts)
    return grids


def _natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """Numbers by value, also inside a name: k64 before k128."""
    pieces = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple(
        (0, float(piece), piece) if place % 2 else (1, 0.0, piece.casefold())
        for place, piece in enumerate(pieces)
        if piece
    )


def _anchors(parts: Sequence[Grid | Chart | Section]) -> set[str]:
    found = [part for part in parts if isinstance(part, Section)]
    return {part.anchor for part in found}.union(*(_anchors(part.parts) for part in found))


def _section(section: Section, level: int, ids: Ids, anchors: Container[str]) -> ShownSection:
    element = ids.new(section.anchor)
    parts: list[ShownSection | ShownGrid | tuple[Picture, ...]] = []
    for charts, group in groupby(section.parts, lambda part: isinstance(part, Chart)):
        if charts:
            pictures = [
                picture(
                    part,
                    ids.new(f"figure-{part.name}"),
                    f"reading-{part.kind}" if f"reading-{part.kind}" in anchors else None,
                )
                for part in group
                if isinstance(part, Chart)
            ]
            parts.append(tuple(pictures))
            continue
        for part in group:
            if isinstance(part, Grid):
                parts.append(_shown(part, level + 1, ids, repeats=part.title == section.title))
            elif isinstance(part, Section):
                parts.append(_section(part, level + 1, ids, anchors))
    return ShownSection(section=section, id=element, level=min(level, 6), parts=tuple(parts))


def _shown(grid: Grid, level: int, ids: Ids, *, repeats: bool) -> ShownGrid:
    grid = grid.seen_by("people")
    element = ids.new(f"table-{grid.name}")
    notes = tuple((ids.new(f"{element}-note"), note) for note in grid.notes)
    shared, num_shared, own = common_details(grid)
    longest = _longest(grid, str)
    hiding = _breadth(longest, 30, grid, hiding=False) > SCREEN
    return ShownGrid(
        grid=grid,
        id=element,
        level=min(level, 6),
        repeats=repeats,
        notes=notes,
        shared=shared,
        num_shared=num_shared,
        heads=tuple(head_html(column, length, hiding) for column, length in zip(grid.columns, longest, strict=True)),
        rows=rows_html(grid, own, _explained(grid, notes), hiding),
        hidden=tuple(column.title for column in grid.columns if column.wide and hiding),
        broad=_breadth(longest, 24, grid, hiding) > UPRIGHT,
        crowded=_breadth(_longest(grid, _longest_word), 100, grid, hiding) > TURNED,
    )


def _longest(grid: Grid, text: Callable[[str], str]) -> list[int]:
    """For each column the length of its longest entry, of which ``text`` takes a part; on paper no more rows stand."""
    return [
        max((len(text(row[place].text)) for row in grid.rows[:LONG]), default=0) for place in range(len(grid.columns))
    ]


def _longest_word(text: str) -> str:
    return max(text.split(), key=len, default="")


def _breadth(lengths: Sequence[int], most: int, grid: Grid, hiding: bool) -> int:
    """Characters across, with three more a column; entries of more than ``most`` are on several lines."""
    return sum(
        3 + min(max(length, min(len(column.title), SHORT)), most)
        for length, column in zip(lengths, grid.columns, strict=True)
        if not (hiding and column.wide)
    )


def _explained(grid: Grid, notes: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """For each mark the id of the note that begins with it."""
    marks = {entry.mark for row in grid.rows for entry in row if entry.mark}
    return {
        mark: element
        for mark in marks
        for element, note in reversed(notes)
        if note.startswith((f"{mark} ", f"{mark}:"))
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["file_link"] = file_link
    environment.tests["section"] = lambda part: isinstance(part, ShownSection)
    environment.tests["charts"] = lambda part: isinstance(part, tuple)
    return environment
