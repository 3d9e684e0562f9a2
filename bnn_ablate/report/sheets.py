"""A table as CSV in full precision: a line a cell, and a line a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bnn_ablate.report.numbers import MIB
from bnn_ablate.report.rows import combined_macs, error_of
from bnn_ablate.report.tables import Table

#: What a CSV holds where there is no number: pandas and R read it as missing.
NOT_AVAILABLE = "NA"


def cells_csv(table: Table) -> str:
    """A line a cell in full precision: accuracies in percent, MACs and seconds of one run."""
    head = [
        *table.labels.columns,
        *("top1_percent", "top1_half_width_95", "n", "planned", "top5_percent", "packed_top1_percent", "packed_n"),
        *("size_mib", "macs_combined", "train_seconds", "state"),
    ]
    lines: list[Sequence[object]] = []
    for label, measured in zip(table.labels.rows, table.measured, strict=True):
        top1, packed = measured.top1, measured.packed_top1
        lines.append(
            [
                *label,
                top1.mean if top1 is not None else None,
                top1.half_width if top1 is not None else None,
                top1.n if top1 is not None else 0,
                measured.planned,
                measured.top5,
                packed.mean if packed is not None else None,
                packed.n if packed is not None else 0,
                " / ".join(map(repr, measured.size_mib)) if measured.size_mib else None,
                " / ".join(map(repr, measured.macs)) if measured.macs else None,
                measured.train_seconds,
                measured.state,
            ]
        )
    return _csv([head, *lines])


def runs_csv(table: Table) -> str:
    """A line a run, done or not: the values behind the means."""
    head = [
        *table.labels.columns,
        *("run_id", "cell_id", "seed", "state", "top1_percent", "top5_percent", "last5_top1_percent"),
        *("packed_top1_percent", "size_mib", "macs_combined", "train_seconds", "error"),
    ]
    lines: list[Sequence[object]] = []
    for label, cell in zip(table.labels.rows, table.cells, strict=True):
        for run in cell.runs:
            values: Sequence[object] = (None,) * 7
            if run.record is not None:
                record = run.record
                values = (
                    100 * record.accuracy.top1,
                    100 * record.accuracy.top5,
                    100 * record.last5_top1,
                    100 * record.packed.top1 if record.packed.top1 is not None else None,
                    record.cost.size_bits / MIB,
                    combined_macs(record),
                    record.provenance.train_seconds,
                )
            error = error_of(run) if run.state in ("failed", "diverged", "broken") else None
            lines.append([*label, run.run_id, run.cell_id, run.seed, run.state, *values, error])
    return _csv([head, *lines])


def _csv(lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([NOT_AVAILABLE if value is None else value for value in line] for line in lines)
    return text.getvalue()
