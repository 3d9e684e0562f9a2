"""Test accuracy and sign flips by epoch, for each cell of a study."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bnn_ablate.record import RecordError
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.charts.cells import cell_names, naming, undrawn
from bnn_ablate.report.charts.lines import MOST, Line, lines_figure
from bnn_ablate.report.charts.style import make_chart
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.grid import Chart
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.tables import Table

#: Of a run, by its id: the share of latent signs that flipped in each epoch, counted from 1; empty where none is known.
Flips = Callable[[str], Mapping[int, float]]


def curves_chart(table: Table, effects: StudyEffects | None) -> Chart | None:
    """Test top-1 in percent by epoch; None where no run is done."""
    lines = [
        Line(name=name, seeds=cell_curves(cell))
        for name, cell in zip(cell_names(table, effects), table.cells, strict=True)
        if cell_curves(cell)
    ]
    if not lines:
        return None
    return make_chart(
        lines_figure(lines[:MOST], "test top-1, %", naming(table, effects)),
        name=f"{table.name}.curves",
        title=f"{table.name}: test accuracy by epoch",
        kind="curves",
        caption=_drawn(lines) + undrawn(table),
    )


def cell_curves(cell: Cell) -> tuple[dict[int, float], ...]:
    """Of each done run of a cell the test top-1 in percent by epoch, counted from 1."""
    return tuple(
        {row.epoch + 1: 100 * row.test_top1 for row in record.curve} for record in cell.records if record.curve
    )


def flips_chart(table: Table, effects: StudyEffects | None, flips: Flips) -> Chart | None:
    """Flipped signs in percent by epoch; None where no run has any."""
    lines = []
    for name, cell in zip(cell_names(table, effects), table.cells, strict=True):
        seeds = [flips(record.run_id) for record in cell.records]
        known = tuple({epoch: 100 * share for epoch, share in seed.items()} for seed in seeds if seed)
        if known:
            lines.append(Line(name=name, seeds=known))
    if not lines:
        return None
    without = sum(bool(cell.records) for cell in table.cells) - len(lines)
    unknown = f" {without} cells have no latent signs, or their runs did not write them down." if without else ""
    return make_chart(
        lines_figure(lines[:MOST], "flipped signs, %", naming(table, effects), from_zero=True),
        name=f"{table.name}.flips",
        title=f"{table.name}: signs that flip in an epoch",
        kind="flips",
        caption=_drawn(lines) + undrawn(table) + unknown,
    )


def read_flips(path: Path) -> dict[int, float]:
    """Of a run's diagnostics.csv the share of all latent signs that flipped, by epoch counted from 1.

    Empty where there is no file (runs of before there were diagnostics, records that were committed alone) and where
    no weight is binary. Raises RecordError, naming the file and the line, for one that cannot be read.
    """
    found: dict[int, float] = {}
    try:
        text = path.read_text()
    except FileNotFoundError:
        return found
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: {error}") from None
    for number, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            if (row["layer"], row["quantity"]) == ("all", "flipped_signs"):
                found[int(row["epoch"]) + 1] = float(row["value"])
        except (KeyError, TypeError, ValueError):
            raise RecordError(f"{path}: line {number} is not epoch,layer,quantity,value") from None
    return found


def _drawn(lines: Sequence[Line]) -> str:
    """How many cells and runs are drawn."""
    shown = lines[:MOST]
    runs = counted(sum(len(line.seeds) for line in shown), "run")
    if len(shown) < len(lines):
        return f"The first {len(shown)} of {len(lines)} cells in the order of the table, {runs}."
    return f"{counted(len(shown), 'cell')}, {runs}."
