"""A table of the report as a value: what every way of writing it (Markdown, LaTeX, CSV, HTML) is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

#: How an entry is meant, for the page's colours; never the only sign of it, the text says it too.
Tone = Literal["", "holds", "contradicted", "undecided", "not run", "problem"]

#: Figures of one kind are read in one way: :data:`bnn_ablate.report.charts.reading.HOW` says how.
ChartKind = Literal["waterfall", "effects", "interactions", "cost", "curves", "authors", "flips"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """``title`` as people read it, ``key`` as the CSV has it; numbers stand right."""

    title: str
    key: str
    numeric: bool = False
    #: Offered as a filter on the page: an axis, a state, a study.
    filtered: bool = False
    #: Left out where space is short (LaTeX, Markdown); the page and the CSV have it.
    wide: bool = False
    #: For one kind of reader only: programs read both ends of an interval, people one text.
    only: Literal["", "csv", "people"] = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry: ``text`` as people read it, ``value`` in full precision for CSV and sorting, None where there is none.

    ``mark`` is a published figure's confidence mark, shown behind it and explained below the table. ``link`` goes from
    the folder of the report.
    """

    text: str
    value: float | int | str | None = None
    mark: str = ""
    tone: Tone = ""
    link: str | None = None
    #: More, shown when a person asks for it: the page has it as a tooltip and for the keyboard.
    more: str = ""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """``name`` is its file's; ``above`` says what all rows share, ``notes`` what a reader must know beside the numbers.

    ``details``, where given, has for each row what opens below it: a run's whole configuration.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    above: str = ""
    notes: tuple[str, ...] = ()
    details: tuple[Mapping[str, str], ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.name
        assert not self.details or len(self.details) == len(self.rows), self.name

    def seen_by(self, reader: Literal["csv", "people"]) -> Grid:
        """The grid without the columns that are for the other kind of reader only."""
        places = [place for place, column in enumerate(self.columns) if column.only in ("", reader)]
        if len(places) == len(self.columns):
            return self
        return replace(
            self,
            columns=tuple(self.columns[place] for place in places),
            rows=tuple(tuple(row[place] for place in places) for row in self.rows),
        )


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A figure as whole files, the same bytes for the same records.

    ``caption`` says what is particular to this one; how all of its ``kind`` are read stands once on the page.
    """

    name: str
    title: str
    kind: ChartKind
    caption: str
    svg: bytes
    pdf: bytes


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page. ``anchor`` is its id; ``text`` are paragraphs; ``parts`` stand in their order.

    A ``folded`` one opens when a person asks for it, and is not in the contents.
    """

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    parts: tuple[Grid | Chart | Section, ...] = ()
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Page:
    """The whole report: ``title``, a line of what it was made of, problems that a reader must see first, sections."""

    title: str
    made_of: str
    problems: tuple[str, ...] = ()
    sections: tuple[Section, ...] = field(default=())
