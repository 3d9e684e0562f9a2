"""A study as claims are judged by it: its cells, its baseline, and chance as fits of its runs see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.claims.cells import Candidate, Leaves, Match
from bnn_ablate.report.claims.counts import is_smoke
from bnn_ablate.report.claims.planned import leaves_of
from bnn_ablate.report.effects.estimates import MOST_RUNS, Estimator, estimator_of
from bnn_ablate.report.effects.layout import lay_out
from bnn_ablate.report.notes import LOST
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.published.options import Options
from bnn_ablate.report.rows import combined_macs
from bnn_ablate.report.runs import RunState
from bnn_ablate.report.stats.spread import uneven_spread
from bnn_ablate.report.tables import Table
from bnn_ablate.study import Study

#: States of which no result will come by itself.
GONE: tuple[RunState, ...] = tuple(dict.fromkeys((*LOST, "broken")))


@dataclass(frozen=True, kw_only=True)
class Chance:
    """What estimates a contrast; ``notes`` say where it is not all cells of their kind."""

    estimator: Estimator
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """``declared`` are the first declaration's seeds, ``added`` those that runs have beside them; None and none where
    nothing was declared. ``notes`` qualify every verdict from this study.
    """

    table: Table
    cells: tuple[Candidate, ...]
    baseline: Mapping[str, str]
    declared: tuple[int, ...] | None
    added: frozenset[int]
    notes: tuple[str, ...]
    #: Fits that were made, by cells, and whether they see the declared seeds alone.
    _fits: dict[tuple[tuple[int, ...], bool], Chance] = field(default_factory=dict, repr=False)

    def has_results(self, match: Match) -> bool:
        return all(self.table.cells[place].records for place in match.cells)

    def can_be_judged(self, match: Match) -> bool:
        """Whether results are there, or may have been: not of a combination that makes no sense."""
        return not any(
            runs and all(run.state == "refused" for run in runs)
            for runs in (self.table.cells[place].runs for place in match.cells)
        )

    def is_smoke_test(self, match: Match) -> bool:
        return is_smoke(self.cells[match.last].leaves)

    def interim(self, match: Match) -> tuple[int, int] | None:
        """How many of how many declared seeds are done in all cells; None where none of them is still to come."""
        if self.declared is None:
            return None
        states = [{run.seed: run.state for run in self.table.cells[place].runs} for place in match.cells]
        open_seeds = [seed for seed in self.declared if any(one.get(seed) not in ("done", *GONE) for one in states)]
        done = [seed for seed in self.declared if all(one.get(seed) == "done" for one in states)]
        return (len(done), len(self.declared)) if open_seeds else None

    def added_seeds(self, match: Match) -> list[int]:
        """Seeds of these cells that the study's first declaration does not have."""
        seeds = {record.seed for place in match.cells for record in self.table.cells[place].records}
        return sorted(seeds & self.added)

    def chance(self, match: Match, *, declared_alone: bool = False) -> Chance:
        """The fit of all cells like those of the match: on the same images, and like them binary or float.

        Where the spread is uneven among those, the fit of the match's own cells: the pooled spread is not theirs.
        """
        alike = tuple(
            place for place, cell in enumerate(self.cells) if _kind(cell.leaves) == _kind(self.cells[match.last].leaves)
        )
        chance = self._fit(alike, declared_alone=declared_alone)
        return chance if not chance.notes else replace(self._own(match, declared_alone), notes=chance.notes)

    def _own(self, match: Match, declared_alone: bool) -> Chance:
        return Chance(estimator=self._estimator(match.cells, declared_alone=declared_alone), notes=())

    def _fit(self, places: tuple[int, ...], *, declared_alone: bool) -> Chance:
        key = places, declared_alone and bool(self.added)
        if key not in self._fits:
            estimator = self._estimator(places, declared_alone=declared_alone)
            self._fits[key] = Chance(estimator=estimator, notes=self._uneven(estimator))
        return self._fits[key]

    def _estimator(self, places: Sequence[int], *, declared_alone: bool) -> Estimator:
        """Of these cells, which keep their places in the table."""
        cells = [
            replace(cell, runs=tuple(run for run in cell.runs if not declared_alone or run.seed not in self.added))
            if place in places
            else replace(cell, runs=())
            for place, cell in enumerate(self.table.cells)
        ]
        return estimator_of(cells)

    def _uneven(self, estimator: Estimator) -> tuple[str, ...]:
        if estimator.fit is None or estimator.fit.observed.sum() > MOST_RUNS:
            return ()
        uneven = uneven_spread(estimator.fit)
        if uneven is None:
            return ()
        assert isinstance(uneven.cell, int)
        labels = self.table.labels
        row = zip(labels.columns, labels.rows[uneven.cell], strict=True)
        name = " ".join(f"{axis}={option}" for axis, option in row)
        return (
            f"the spread of the study is uneven ({name}: {uneven.ratio:.1f} times the pooled one, p = {uneven.p:.2g}), "
            "so that its own cells alone estimate it",
        )


def subject_of(table: Table, study: Study, options: Options) -> Subject:
    """The cells of ``table``, also those that are planned only, by what ``study`` declared."""
    first = study.declared[0] if study.declared else None
    seeds = {record.seed for cell in table.cells for record in cell.records}
    notes = []
    if first is None:
        notes.append("nothing was declared before the study")
    elif first.done:
        notes.append(f"declared when {counted(first.done, 'run')} had been done")
    leaves = leaves_of(table.cells, options)
    return Subject(
        table=table,
        cells=tuple(_candidate(cell, there) for cell, there in zip(table.cells, leaves, strict=True)),
        baseline=lay_out(table, {} if first is None else first.baseline).baseline,
        declared=None if first is None else tuple(first.seeds),
        added=frozenset(seeds) - frozenset(first.seeds) if first is not None else frozenset(),
        notes=tuple(notes),
    )


def _kind(leaves: Leaves) -> tuple[str | None, ...]:
    """What cells must have in common for one standard deviation to be thought of as theirs."""
    is_float = leaves.get("weights") == "float" and leaves.get("activations") == "float"
    return leaves.get("data"), leaves.get("data.checksum"), leaves.get("results_version"), str(is_float)


def _candidate(cell: Cell, leaves: Leaves) -> Candidate:
    if not cell.records:
        return Candidate(leaves=leaves)
    record = cell.records[0]
    return Candidate(
        leaves=leaves,
        size=record.cost.size_bits,
        macs=combined_macs(record),
        images=(record.data.num_train, record.data.num_test),
    )
