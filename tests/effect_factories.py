"""Tables of studies made by hand, for tests of their effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from factories import make_record

from bnn_ablate.analysis import Declaration
from bnn_ablate.record import Record
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.estimates import estimator_of
from bnn_ablate.report.effects.study import study_effects
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.runs import Run, RunState
from bnn_ablate.report.tables import Table, make_table
from bnn_ablate.study import Study

#: What became of the run of each seed, from 0 on: images right of ten, a record, a state, or None where it is missing.
Outcomes = Sequence[int | Record | RunState | None]


def run_of(record: Record) -> Run:
    return Run(
        run_id=record.run_id,
        cell_id=record.cell_id,
        seed=record.seed,
        state="done",
        config=record.config,
        record=record,
        error=None,
        packed=record.packed,
    )


def run_without(record: Record, state: RunState) -> Run:
    """A run that would have given ``record``; a missing one has left nothing that says so."""
    left = state != "missing"
    return Run(
        run_id=record.run_id,
        cell_id=record.cell_id if left else None,
        seed=record.seed,
        state=state,
        config=record.config if left else {},
        record=None,
        error="it went wrong" if state in ("failed", "diverged") else None,
    )


def cell_of(words: str, outcomes: Outcomes, **settings: Any) -> Cell:
    """The cell that ``words`` ask for, ``scaling=xnor grad=ste``; ``settings`` are of all its runs."""
    overrides = dict(word.split("=", 1) for word in words.split())
    runs = []
    for seed, outcome in enumerate(outcomes):
        correct = outcome if isinstance(outcome, int) else 9
        record = make_record(seed=seed, correct=correct, **{**settings, **overrides})
        if isinstance(outcome, Record):
            runs.append(run_of(outcome))
        elif isinstance(outcome, int):
            runs.append(run_of(record))
        else:
            runs.append(run_without(record, "missing" if outcome is None else outcome))
    return Cell(overrides, tuple(runs))


def table_of(cells: Mapping[str, Outcomes], name: str = "s", **settings: Any) -> Table:
    return make_table(name, [cell_of(words, outcomes, **settings) for words, outcomes in cells.items()])


def declare(
    baseline: Mapping[str, str] | None = None,
    *,
    margin: float = 5.0,
    seeds: Sequence[int] = (0, 1, 2),
    done: int = 0,
) -> Declaration:
    return Declaration(
        margin=margin,
        baseline=dict(baseline) if baseline is not None else {},
        seeds=list(seeds),
        time="2026-01-01T00:00:00+00:00",
        done=done,
    )


def study_of(*declared: Declaration) -> Study:
    return Study(schema=1, name="s", jobs=[], declared=list(declared))


def effects_by(table: Table, study: Study | None) -> StudyEffects | None:
    """The effects of a table, with the fits of its own cells."""
    return study_effects(table, study, estimator_of(table.cells))
