"""The effects of a study's choices, estimated from its runs: one model for all of them, so that chance is pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bnn_ablate.analysis import UNDECLARED_MARGIN, Declaration
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.confounded import Besides
from bnn_ablate.report.effects.costs import cost_change
from bnn_ablate.report.effects.estimates import Estimator, Part
from bnn_ablate.report.effects.identity import is_identity, part_identity
from bnn_ablate.report.effects.interim import interim_finding
from bnn_ablate.report.effects.layout import (
    Contrast,
    Layout,
    Weights,
    interaction_contrasts,
    lay_out,
    main_contrasts,
    simple_contrasts,
)
from bnn_ablate.report.effects.notes import Evidence, effect_notes, smoke_tests
from bnn_ablate.report.effects.values import IDENTITY_CHECK, Effect, Kind, StudyEffects
from bnn_ablate.report.sources import Sources
from bnn_ablate.report.stats.blocks import NotEstimableError
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.findings import ALPHA, findings
from bnn_ablate.report.tables import Table
from bnn_ablate.study import Study


def study_effects(
    table: Table, study: Study | None, estimator: Estimator, conf: Path = Sources.conf
) -> StudyEffects | None:
    """The effects of ``table`` by what its ``study`` declared; None where its rows differ on no axis.

    ``estimator`` holds the fits of the table's cells. Main effects and interactions are taken over the cells that have
    runs and are fitted with the baseline; simple effects that lack some are told. ``conf`` says what an option brings
    along.
    """
    declared = tuple(study.declared) if study is not None else ()
    layout = lay_out(table, declared[0].baseline if declared else {})
    if not layout.axes:
        return None
    done = {place for place, cell in enumerate(table.cells) if cell.records}
    home = _home(layout, estimator)
    context = _Context(
        cells=table.cells,
        layout=layout,
        estimator=estimator,
        besides=Besides(table.cells, conf),
        margin=declared[0].margin if declared else UNDECLARED_MARGIN,
        declared=declared[0] if declared else None,
        seeds=[{record.seed for record in cell.records} for cell in table.cells],
        diverged=[sum(run.state == "diverged" for run in cell.runs) for cell in table.cells],
    )
    asked = list(simple_contrasts(layout))
    simple, apart = context.effects("simple", [one for one in asked if done.issuperset(one.weights)])
    if layout.one_factor:
        simple = sorted(simple, key=lambda effect: _place_after(layout, effect))
    together = layout.only(home.cells if home is not None else ())
    main, _ = context.effects("main", list(main_contrasts(together)))
    interactions, _ = context.effects("interaction", list(interaction_contrasts(together)))
    main = [_told_of_interactions(effect, interactions) for effect in main]
    evidence = Evidence(
        table=table,
        layout=layout,
        declared=declared,
        estimator=estimator,
        without_runs=tuple(one for one in asked if not done.issuperset(one.weights)),
        apart=tuple(apart),
        effects=(*simple, *main, *interactions),
    )
    return StudyEffects(
        study=table.name,
        axes=layout.axes,
        baseline=layout.baseline,
        margin=context.margin,
        declared=declared[0].digest if declared and declared[0].done == 0 else None,
        planned=len(declared[0].seeds) if declared else None,
        sd=home.fit.sd if home is not None else None,
        df=home.fit.df if home is not None else 0,
        one_factor=layout.one_factor,
        simple=tuple(simple),
        main=tuple(main),
        interactions=tuple(interactions),
        notes=effect_notes(evidence),
        warnings=smoke_tests(table.cells),
    )


def _home(layout: Layout, estimator: Estimator) -> Part | None:
    """The cells that are fitted with the baseline; without its results the largest number of cells in one fit."""
    start = layout.cells.get(layout.origin)
    part = estimator.part_of(start) if start is not None else None
    return part if part is not None else max(estimator.parts, key=lambda one: len(one.cells), default=None)


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What the effects of one study have in common."""

    cells: Sequence[Cell]
    layout: Layout
    estimator: Estimator
    besides: Besides
    margin: float
    declared: Declaration | None
    #: Of each cell the seeds of its results, and how many of its runs diverged.
    seeds: Sequence[set[int]]
    diverged: Sequence[int]

    def effects(
        self, kind: Kind, contrasts: Sequence[Contrast]
    ) -> tuple[list[Effect], list[tuple[Contrast, NotEstimableError]]]:
        """The effects of one family, and the contrasts that cannot be estimated, each with its reason.

        Identity checks stay out of the family: they are no treatments, and would make its others look weaker. An
        interim effect counts in it, so that the others are not found the sooner for it.
        """
        estimates: list[tuple[Contrast, Estimate]] = []
        apart: list[tuple[Contrast, NotEstimableError]] = []
        for contrast in contrasts:
            try:
                estimates.append((contrast, self.estimator.estimate(contrast.weights)))
            except NotEstimableError as error:
                apart.append((contrast, error))
        checks = [is_identity(contrast, self.cells) for contrast, _ in estimates]
        family = [estimate for (_, estimate), check in zip(estimates, checks, strict=True) if not check]
        said = iter(findings(family, self.margin))
        found = []
        for (contrast, estimate), check in zip(estimates, checks, strict=True):
            effect = self.effect(kind, contrast, estimate)
            if not check:
                finding, interim = next(said), self.interim(contrast)
                effect = (
                    replace(effect, finding=finding.text, p=finding.p, p_holm=finding.p_holm)
                    if interim is None
                    else replace(effect, finding=interim, p=finding.p)
                )
            found.append(effect)
        return found, apart

    def effect(self, kind: Kind, contrast: Contrast, estimate: Estimate) -> Effect:
        """One effect as it stands before its family has been asked."""
        weights = contrast.weights
        cost = None
        if kind == "simple":
            before, after = sorted(weights, key=lambda place: weights[place])
            cost = cost_change(self.cells[before], self.cells[after])
        seeds = set().union(*(self.seeds[place] for place in weights))
        planned = set(self.declared.seeds) if self.declared is not None else seeds
        return Effect(
            kind=kind,
            axes=contrast.axes,
            before=contrast.before,
            after=contrast.after,
            at={axis: option for axis, option in self.layout.baseline.items() if axis not in contrast.axes}
            if kind == "simple"
            else {},
            estimate=estimate,
            with_images=self.estimator.with_images(weights),
            p=estimate.p,
            p_holm=None,
            finding=IDENTITY_CHECK,
            cost=cost,
            over=contrast.over,
            remarks=(
                *self.besides.of(contrast),
                *self.survivors(kind, contrast.weights),
                *part_identity(contrast, self.cells),
            ),
            added_seeds=tuple(sorted(seeds - planned)),
        )

    def interim(self, contrast: Contrast) -> str | None:
        """What stands in the place of a finding while declared seeds are still to come."""
        if self.declared is None:
            return None
        return interim_finding([self.cells[place] for place in contrast.weights], self.declared.seeds)

    def survivors(self, kind: Kind, weights: Weights) -> list[str]:
        """A clause where more runs diverged on one side of a contrast than on the other."""
        sides = [[place for place, weight in weights.items() if (weight > 0) == positive] for positive in (True, False)]
        after, before = (sum(self.diverged[place] for place in side) for side in sides)
        if after == before:
            return []
        return [
            "among survivors" if kind == "interaction" else f"among survivors ({before} diverged before, {after} after)"
        ]


def _place_after(layout: Layout, effect: Effect) -> int:
    """The row of the cell that a simple effect leads to."""
    return layout.cells[layout.moved(layout.origin, {effect.axes[0]: effect.after[0]})]


def _told_of_interactions(effect: Effect, interactions: Sequence[Effect]) -> Effect:
    """A main effect with the axes on which it depends, where an interaction is a difference."""
    on = [
        axis
        for other in interactions
        if other.p_holm is not None and other.p_holm < ALPHA and effect.axes[0] in other.axes
        for axis in other.axes
        if axis != effect.axes[0]
    ]
    remarks = [f"depends on {axis}: see the simple effects" for axis in dict.fromkeys(on)]
    return replace(effect, remarks=(*effect.remarks, *remarks))
