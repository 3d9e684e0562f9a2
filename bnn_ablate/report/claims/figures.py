"""The published figures that claims.yaml refers to, looked up with their source and confidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bnn_ablate.report.claims.declared import Claims, ClaimsError, Figure, Published
from bnn_ablate.report.numbers import percent
from bnn_ablate.report.published.figures import MARKS, PublishedError, PublishedFigure, PublishedFile, read_published

#: The logs and their column: the last epoch's accuracy, as our records have it, and not the best one on the test set.
LOGS, LAST = "runs", "last_top1"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What others found, as people read it. ``value`` is after less before in points; None where there is no figure."""

    text: str
    value: float | None
    mark: str
    source: str


class Figures:
    """The files of one folder, each read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, PublishedFile] = {}

    def change(self, published: Published) -> Change:
        """Raises PublishedError where a figure is not there, or is no number."""
        if published.before is None or published.after is None:
            assert published.says is not None
            assert published.source is not None
            assert published.confidence is not None
            mark = MARKS[published.confidence][0]
            return Change(text=published.says, value=None, mark=mark, source=published.source)
        before, after = self._value(published.before), self._value(published.after)
        assert before.value is not None
        assert after.value is not None
        difference = after.value - before.value
        note = "" if published.note is None else f" ({published.note})"
        sources = dict.fromkeys(
            (f"{_name(published.before)}: {before.source}", f"{_name(published.after)}: {after.source}")
        )
        return Change(
            text=f"{percent(before.value)} to {percent(after.value)}, {difference:+.2f}{note}",
            value=difference,
            mark=" ".join(dict.fromkeys(figure.mark for figure in (before, after) if figure.mark)),
            source="; ".join(sources),
        )

    def _value(self, figure: Figure) -> PublishedFigure:
        if figure.log is not None:
            found = self._file(LOGS).one(log=figure.log).figure(LAST)
        else:
            assert figure.table is not None
            assert figure.row is not None
            assert figure.column is not None
            found = self._file(figure.table).one(**figure.row).figure(figure.column)
        if found is None or found.value is None:
            raise PublishedError(f"{_name(figure)}: there is no number")
        return found

    def _file(self, name: str) -> PublishedFile:
        if name not in self._files:
            self._files[name] = read_published(self._folder / f"{name}.csv")
        return self._files[name]


def check_figures(claims: Claims, figures: Figures, path: Path) -> None:
    """Look every figure up. Raises ClaimsError that names the contrast, for the file ``path``."""
    for claim in claims.claims:
        for contrast in claim.contrasts:
            for published in (*contrast.published_for, *contrast.published_against):
                try:
                    figures.change(published)
                except PublishedError as error:
                    raise ClaimsError(f"{path}: claim {claim.number}, {contrast.name}: {error}") from None


def marks_of(changes: Iterable[Change]) -> list[str]:
    """The marks that occur, each once."""
    return list(dict.fromkeys(mark for change in changes for mark in change.mark.split()))


def _name(figure: Figure) -> str:
    if figure.log is not None:
        return f"log {figure.log}"
    row = figure.row if figure.row is not None else {}
    return f"{figure.table}, {', '.join(row.values())}"
