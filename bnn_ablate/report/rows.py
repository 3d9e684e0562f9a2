"""The measured part of a row: means over a cell's seeds, and in words what has no number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from bnn_ablate.record import Packed, Record
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.numbers import MIB, counted, duration, joined, one_line, percent, significant
from bnn_ablate.report.runs import Run, RunState
from bnn_ablate.report.stats.student import Mean, student_mean

#: Order in which states are told: what needs a person first.
TOLD: tuple[RunState, ...] = (
    *("broken", "failed", "diverged", "refused"),
    *("stopped", "running", "trained", "missing"),
)

DASH = "—"  # there is no such number; why, the state says


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A cell in numbers: accuracies in percent, size in MiB, MACs and seconds of one run; None without a done run.

    ``disagreeing`` counts the test images of all its runs on which float and packed network predict two classes.
    ``latency_ms`` has a mean for each :func:`place` of quiet measurements.
    """

    top1: Mean | None
    top5: float | None
    packed_top1: Mean | None
    disagreeing: int
    latency_ms: Mapping[str, float]
    size_mib: tuple[float, ...]
    macs: tuple[float, ...]
    train_seconds: float | None
    planned: int
    state: str


def measure(cell: Cell) -> Measured:
    """Means over the done runs. Size and MACs are properties of the cell: more than one value each is shown as such."""
    records = cell.records
    packed = [100 * packed.top1 for packed in cell.packed if packed.top1 is not None]
    return Measured(
        top1=student_mean([100 * record.accuracy.top1 for record in records]) if records else None,
        top5=_mean(records, lambda record: 100 * record.accuracy.top5),
        packed_top1=student_mean(packed) if packed else None,
        disagreeing=sum(filter(None, (packed.disagreeing_predictions for packed in cell.packed))),
        latency_ms=latencies(cell),
        size_mib=tuple(dict.fromkeys(record.cost.size_bits / MIB for record in records)),
        macs=tuple(dict.fromkeys(combined_macs(record) for record in records)),
        train_seconds=_mean(records, lambda record: record.provenance.train_seconds),
        planned=len(cell.runs),
        state=state_of(cell),
    )


def combined_macs(record: Record) -> float:
    """MACs of the convolutions for one image, 64 binary ones counted as one."""
    return record.cost.macs_float + record.cost.macs_binary / 64


def latencies(cell: Cell) -> dict[str, float]:
    """Milliseconds for one image, the mean over runs of medians, for each :func:`place`; busy measurements left out."""
    found: dict[str, list[float]] = {}
    for packed in cell.packed:
        if packed.median_latency_ms is not None:
            found.setdefault(place(packed), []).append(packed.median_latency_ms)
    return {where: fmean(values) for where, values in sorted(found.items())}


def place(packed: Packed) -> str:
    """What a latency depends on beside the network."""
    assert packed.threads is not None  # it is evaluated
    return f"kernel {packed.kernel}, {counted(packed.threads, 'thread')}, {packed.cpu}"


def state_of(cell: Cell) -> str:
    """``done``, or how many runs are and what became of the others, with the first line of an error."""
    runs = {state: [run for run in cell.runs if run.state == state] for state in TOLD}
    others = {state: found for state, found in runs.items() if found}
    if not others:
        return "done"
    several = len(cell.runs) > 1
    told = [f"{len(cell.records)} done"] if cell.records else []
    for state, found in others.items():
        errors = joined([error_of(run) for run in found if state in ("broken", "failed", "refused")])
        told.append((f"{len(found)} " if several else "") + state + (f": {errors}" if errors else ""))
    return ", ".join(told)


def error_of(run: Run) -> str:
    """The first line of what went wrong."""
    lines = run.error.strip().splitlines() if run.error is not None else []
    return one_line(lines[0]) if lines else "no message was written"


def state_word(cell: Cell) -> str:
    """The one word that stands in the place of an accuracy."""
    states = Counter(run.state for run in cell.runs)
    return next(state for state in TOLD if states[state])


#: Titles of the measured columns.
TITLES = ("top-1 %", "± 95 %", "n", "top-5 %", "packed %", "packed ms", "MiB", "MACs (M)", "time", "state")


def shown(cell: Cell, measured: Measured) -> tuple[str, ...]:
    """The measured columns as text, none of them empty."""
    top1 = measured.top1
    n = f"{top1.n if top1 is not None else 0} of {measured.planned}"
    if top1 is None:
        return (state_word(cell), DASH, n, *(DASH,) * 6, measured.state)
    return (
        percent(top1.mean),
        percent(top1.half_width) if top1.half_width is not None else DASH,
        n,
        percent(measured.top5) if measured.top5 is not None else DASH,
        _packed(measured, top1.n),
        joined([significant(value) for value in measured.latency_ms.values()]) if measured.latency_ms else DASH,
        joined([significant(size) for size in measured.size_mib]),
        joined([significant(macs / 1e6) for macs in measured.macs]),
        duration(measured.train_seconds) if measured.train_seconds is not None else DASH,
        measured.state,
    )


def _packed(measured: Measured, n: int) -> str:
    if measured.packed_top1 is None:
        return DASH  # a note says so
    of_some = f" ({measured.packed_top1.n} of {counted(n, 'run')})" if measured.packed_top1.n < n else ""
    apart = f" ({measured.disagreeing} differ)" if measured.disagreeing else ""
    return percent(measured.packed_top1.mean) + of_some + apart


def _mean(records: list[Record], value: Callable[[Record], float]) -> float | None:
    return fmean(value(record) for record in records) if records else None
