"""Figures of others: read from CSV files in which every figure has a source and a level of confidence.

What the files hold, and who wrote it down how: reports/published/README.md.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Literal, get_args

Confidence = Literal["primary", "authors_log", "authors_code", "replication", "secondary", "derived", "memory"]

#: The mark behind a figure of each level of confidence, and what a reader is told about it; no mark, no sentence.
MARKS: Mapping[str, tuple[str, str]] = {
    "primary": ("", ""),
    "authors_log": ("", ""),
    "authors_code": ("", ""),
    "replication": ("r", "a replication by others than the authors."),
    "secondary": ("q", "quoted from another paper or page."),
    "derived": ("d", "arithmetic on published figures."),
    "memory": ("m", "recalled and not checked against the paper: neither a fact nor a target."),
}

#: Files without a column ``confidence``: each row is one log of the paper's authors.
LOGS = ("runs.csv", "curves.csv")
#: Files whose rows name their log in place of a source.
WITHOUT_SOURCE = ("curves.csv",)


class PublishedError(ValueError):
    """A file of published figures cannot be used; the message names the file, the line and the column."""


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """One figure: ``text`` as in the file, ``value`` where it is a number, and how far it can be trusted."""

    text: str
    value: float | int | None
    confidence: Confidence
    source: str

    @property
    def mark(self) -> str:
        return MARKS[self.confidence][0]


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One line of a file; ``line`` counts from 1, the header included."""

    file: str
    line: int
    cells: Mapping[str, str]
    source: str
    confidence: Confidence

    def figure(self, column: str) -> PublishedFigure | None:
        """The figure in ``column``; None where the cell is empty, which means that no source gives it."""
        if column not in self.cells:
            raise PublishedError(f"{self.file}: there is no column {column}: {', '.join(self.cells)}")
        text = self.cells[column]
        if not text:
            return None
        # architectures.csv: recomputed figures, and beside them those that were published, with a source of their own.
        group = "published" if column.startswith("published_") and "published_confidence" in self.cells else column
        own = self.cells.get(f"{group}_confidence", "")
        where = f"{self.file}, line {self.line}, column {group}_confidence"
        source = self.cells.get(f"{group}_source", "")
        return PublishedFigure(
            text=text,
            value=_number(text),
            confidence=_confidence(own, where) if own else self.confidence,
            source=source if source else self.source,
        )


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """The rows of one file, in its order."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]

    def where(self, **cells: str) -> list[PublishedRow]:
        """The rows whose cells are exactly these; raises PublishedError for a column that is not there."""
        for column in cells:
            if column not in self.columns:
                raise PublishedError(f"{self.name}: there is no column {column}: {', '.join(self.columns)}")
        return [row for row in self.rows if all(row.cells[column] == text for column, text in cells.items())]

    def one(self, **cells: str) -> PublishedRow:
        """The only row with these cells; raises PublishedError where there is none, or more than one."""
        found = self.where(**cells)
        if len(found) != 1:
            asked = ", ".join(f"{column}={text}" for column, text in cells.items())
            lines = f"lines {', '.join(str(row.line) for row in found)} have" if found else "no line has"
            raise PublishedError(f"{self.name}: {lines} {asked}, and one is needed")
        return found[0]


def read_published(path: Path) -> PublishedFile:
    """Read one CSV file. Raises PublishedError for a line of another length, an unknown confidence, no source."""
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise PublishedError(f"{path.name} cannot be read: {why}") from None
    if not lines:
        raise PublishedError(f"{path.name} is empty: a line of column names is needed")
    columns = tuple(lines[0])
    if len(set(columns)) < len(columns) or "" in columns:
        raise PublishedError(f"{path.name}, line 1: every column needs a name of its own")
    rows = [_row(path.name, number, columns, line) for number, line in enumerate(lines[1:], start=2)]
    return PublishedFile(name=path.name, columns=columns, rows=tuple(rows))


def confidence_notes(marks: Sequence[str]) -> list[str]:
    """A sentence for each mark among ``marks``, in the order of :data:`MARKS`."""
    return [f"{mark}: {sentence}" for mark, sentence in MARKS.values() if mark and mark in marks]


def _row(file: str, line: int, columns: Sequence[str], texts: Sequence[str]) -> PublishedRow:
    if len(texts) != len(columns):
        raise PublishedError(f"{file}, line {line}: it has {len(texts)} cells, and there are {len(columns)} columns")
    cells = dict(zip(columns, texts, strict=True))
    if file in WITHOUT_SOURCE:
        source = f"log {cells['log']}"
    else:
        source = cells.get("source", "")
        if not source:
            raise PublishedError(f"{file}, line {line}, column source: a figure without a source cannot be shown")
    if file in LOGS:
        return PublishedRow(file=file, line=line, cells=cells, source=source, confidence="authors_log")
    confidence = _confidence(cells.get("confidence", ""), f"{file}, line {line}, column confidence")
    return PublishedRow(file=file, line=line, cells=cells, source=source, confidence=confidence)


def _confidence(text: str, where: str) -> Confidence:
    for known in get_args(Confidence):
        if text == known:
            return known
    shown = text if text else "nothing"
    raise PublishedError(f"{where}: {shown} is no level of confidence: choose {', '.join(get_args(Confidence))}")


def _number(text: str) -> float | int | None:
    if text.isdecimal():
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None
