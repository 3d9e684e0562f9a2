"""One table: labels, numbers and notes, and as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_ablate.report.cells import Cell, study_cells
from bnn_ablate.report.labels import Labels, label_cells
from bnn_ablate.report.notes import notes
from bnn_ablate.report.numbers import one_line
from bnn_ablate.report.rows import TITLES, Measured, measure, shown
from bnn_ablate.report.runs import read_runs
from bnn_ablate.store import Store
from bnn_ablate.study import read_study, study_path

#: Characters a line of a terminal may have before its last column, the state, is cut; it keeps at least STATE_WIDTH.
TERMINAL_WIDTH = 118
STATE_WIDTH = 24


@dataclass(frozen=True)
class Table:
    """A study's cells with what is shown of them."""

    name: str
    cells: tuple[Cell, ...]
    labels: Labels
    measured: tuple[Measured, ...]
    notes: tuple[str, ...]

    @property
    def shared(self) -> str:
        return "all runs: " + ", ".join(f"{key}={value}" for key, value in self.labels.shared.items())


class ReportError(ValueError):
    """A table cannot be made; the message is one sentence for the person who asked."""


def study_table(store_root: Path, study_name: str) -> str:
    """The table of one study as text for a terminal.

    Raises ReportError for a study that is not there, RecordError for one whose file is broken.
    """
    store = Store(store_root)
    path = study_path(store.studies, study_name)
    if not path.exists():
        known = ", ".join(sorted(found.stem for found in store.studies.glob("*.json")))
        raise ReportError(
            f"there is no study {study_name} under {store_root}: the studies are {known if known else 'none'}"
        )
    study = read_study(path)
    runs = read_runs(store, {job.run_id for job in study.jobs})
    return to_text(make_table(study_name, study_cells(study, runs)))


def make_table(name: str, cells: Sequence[Cell]) -> Table:
    """Label and measure ``cells``, a row each."""
    labels = label_cells(cells)
    return Table(name, tuple(cells), labels, tuple(measure(cell) for cell in cells), tuple(notes(cells, labels)))


def to_text(table: Table) -> str:
    """Aligned columns, with what all runs share above and the notes below.

    A state that would make the lines too long is cut; its note tells it whole.
    """
    titles = [one_line(title) for title in (*table.labels.columns, *TITLES)]
    rows = [
        [one_line(text) for text in (*label, *shown(cell, measured))]
        for label, cell, measured in zip(table.labels.rows, table.cells, table.measured, strict=True)
    ]
    others = sum(_widths([titles, *rows])[:-1]) + 2 * (len(titles) - 1)
    room = max(STATE_WIDTH, TERMINAL_WIDTH - others)
    rows = [[*row[:-1], row[-1] if len(row[-1]) <= room else row[-1][: room - 1] + "…"] for row in rows]
    widths = _widths([titles, *rows])
    rule = ["-" * width for width in widths]
    lines = [*_wrapped(table.name), *_wrapped(table.shared), ""]
    lines += ["  ".join(_aligned(row, widths, _left(table))).rstrip() for row in (titles, rule, *rows)]
    lines += ["", *(line for note in table.notes for line in _wrapped(note))]
    return "\n".join(lines).rstrip("\n") + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(one_line(text), TERMINAL_WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _left(table: Table) -> list[bool]:
    """Words stand left, numbers right."""
    return [*(True for _ in table.labels.columns), *(False for _ in TITLES[:-1]), True]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]


def _aligned(row: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> list[str]:
    aligned = zip(row, widths, left, strict=True)
    return [text.ljust(width) if is_left else text.rjust(width) for text, width, is_left in aligned]
