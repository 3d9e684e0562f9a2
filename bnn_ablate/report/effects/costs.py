"""What a change of one option costs beside accuracy."""

from __future__ import annotations

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.values import CostChange
from bnn_ablate.report.numbers import MIB
from bnn_ablate.report.rows import combined_macs, latencies


def cost_change(before: Cell, after: Cell) -> CostChange:
    """Size, combined MACs and packed latency of ``after`` less those of ``before``.

    Size and MACs are properties of a cell: where its runs have several, none is taken. Latencies are compared only
    where both were measured in one place.
    """
    old, new = latencies(before), latencies(after)
    common = next((place for place in old if place in new), None)
    return CostChange(
        mib=_difference(_sizes(before), _sizes(after)),
        macs=_difference(_macs(before), _macs(after)),
        latency_ms=None if common is None else new[common] - old[common],
        latency_place=common,
    )


def _difference(before: set[float], after: set[float]) -> float | None:
    if len(before) != 1 or len(after) != 1:
        return None
    return next(iter(after)) - next(iter(before))


def _sizes(cell: Cell) -> set[float]:
    return {record.cost.size_bits / MIB for record in cell.records}


def _macs(cell: Cell) -> set[float]:
    return {combined_macs(record) for record in cell.records}
