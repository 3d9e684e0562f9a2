"""How long a run will take, from what is known of others: runs of its cell, runs like it, or steps that were timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from bnn_ablate.record import CostFacts
from bnn_ablate.sweep.jobs import SweepJob
from bnn_ablate.sweep.past import Ask, Pace, Past, ask_of
from bnn_ablate.sweep.work import other_work, training_work

Source = Literal["same cell", "like runs", "calibrated"]


@dataclass(frozen=True)
class Estimate:
    """Seconds, and where they come from."""

    seconds: float
    source: Source


def expected_seconds(job: SweepJob, past: Past, *, epochs_done: int = 0) -> float | None:
    """Seconds from the start of ``job`` to its record, from records alone; None where they tell nothing."""
    ask = ask_of(job)
    cost = past.cost_like(ask)
    if cost is None:
        return None
    found = from_records(ask, cost, past, epochs_done=epochs_done)
    return None if found is None else found.seconds


def from_records(ask: Ask, cost: CostFacts, past: Past, *, epochs_done: int) -> Estimate | None:
    """The time left of a run, from records of runs in the same place; None where there are none."""
    paces = [pace for pace in past.paces if pace.ask.place == ask.place]
    same_cell = [pace for pace in paces if pace.ask.cell_id == ask.cell_id]
    if same_cell:
        return Estimate(_seconds(ask, cost, same_cell, epochs_done), "same cell")
    like = nearest(ask, paces)
    return Estimate(_seconds(ask, cost, like, epochs_done), "like runs") if like else None


def from_steps(ask: Ask, cost: CostFacts, timed: Sequence[Pace], *, epochs_done: int) -> Estimate | None:
    """The time left of a run, from steps that were timed on this machine; None where none are like its own."""
    like = nearest(ask, [pace for pace in timed if pace.ask.place == ask.place])
    return Estimate(_seconds(ask, cost, like, epochs_done), "calibrated") if like else None


def nearest(ask: Ask, paces: Sequence[Pace]) -> list[Pace]:
    """Those of the same network, else of the same sizes, else of the same family of networks.

    The formula is one of processors: on a GPU only the same network at the same batch size is alike.
    """
    same = [pace for pace in paces if pace.ask.network == ask.network]
    if ask.place.gpu:
        return [pace for pace in same if pace.ask.task.batch_size == ask.task.batch_size]
    if same:
        return same
    sizes = [pace for pace in paces if pace.ask.sizes == ask.sizes]
    return sizes if sizes else [pace for pace in paces if pace.ask.family == ask.family]


def _seconds(ask: Ask, cost: CostFacts, paces: Sequence[Pace], epochs_done: int) -> float:
    """The formula times what it was off by: the mean within a cell, the median of networks that differ."""
    left = ask.task.epochs - epochs_done
    average = fmean if len({pace.ask.network for pace in paces}) == 1 else median
    training = average([pace.training for pace in paces])
    measured = [pace.other for pace in paces if pace.other is not None]
    other = max(0.0, average(measured)) if measured else training
    return training * training_work(cost, ask.task, left) + other * other_work(cost, ask.task, left)
