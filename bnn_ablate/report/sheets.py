"""A table as CSV in full precision: a line a cell, and a line a run."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bnn_ablate.record import Packed
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
        *("packed_disagreeing", "packed_latency_ms", "packed_latency_of"),
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
                measured.disagreeing if packed is not None else None,
                " / ".join(map(repr, measured.latency_ms.values())) if measured.latency_ms else None,
                " / ".join(measured.latency_ms) if measured.latency_ms else None,
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
        *("size_mib", "macs_combined", "train_seconds"),
        *PACKED,
        "error",
    ]
    lines: list[Sequence[object]] = []
    for label, cell in zip(table.labels.rows, table.cells, strict=True):
        for run in cell.runs:
            values: Sequence[object] = (None,) * 6
            if run.record is not None:
                record = run.record
                values = (
                    100 * record.accuracy.top1,
                    100 * record.accuracy.top5,
                    100 * record.last5_top1,
                    record.cost.size_bits / MIB,
                    combined_macs(record),
                    record.provenance.train_seconds,
                )
            error = error_of(run) if run.state in ("failed", "diverged", "broken", "refused") else None
            lines.append([*label, run.run_id, run.cell_id, run.seed, run.state, *values, *_packed(run.packed), error])
    return _csv([head, *lines])


#: Columns of a run's packed network; its times are there only where nothing else ran.
PACKED = (
    *("packed_top1_percent", "packed_top5_percent", "packed_disagreeing", "packed_disagreeing_with_equal_signs"),
    *("packed_flipped_sign_bits", "packed_sign_bits", "packed_file_bytes", "packed_weight_bytes", "packed_work_bytes"),
    *("packed_latency_ms", "packed_images_per_second", "packed_throughput_batch"),
    *("packed_kernel", "packed_threads", "packed_cpu"),
)


def _packed(packed: Packed | None) -> Sequence[object]:
    if packed is None or packed.top1 is None or packed.top5 is None:
        return (None,) * len(PACKED)
    return (
        100 * packed.top1,
        100 * packed.top5,
        packed.disagreeing_predictions,
        packed.disagreeing_with_equal_signs,
        packed.flipped_sign_bits,
        packed.sign_bits,
        packed.file_bytes,
        packed.weight_bytes,
        packed.work_bytes,
        packed.median_latency_ms,
        None if packed.busy else packed.images_per_second,
        packed.throughput_batch,
        packed.kernel,
        packed.threads,
        packed.cpu,
    )


def _csv(lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([NOT_AVAILABLE if value is None else value for value in line] for line in lines)
    return text.getvalue()
