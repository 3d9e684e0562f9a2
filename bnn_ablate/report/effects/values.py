"""What each choice of a study does to the accuracy: simple effects, main effects, interactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bnn_ablate.report.stats.estimate import Estimate

Kind = Literal["simple", "main", "interaction"]

#: The finding of a change that algebra cancels: whatever comes out of it is chance, so it is no treatment.
IDENTITY_CHECK = "identity check"

#: How the finding begins of an effect of which declared seeds are still to come.
INTERIM = "interim"


@dataclass(frozen=True, kw_only=True)
class CostChange:
    """What the change costs: the option's cell less the baseline's; None where one of them does not say.

    ``latency_place`` is where both latencies were measured, the first such place where there are several.
    """

    mib: float | None
    macs: float | None
    latency_ms: float | None
    latency_place: str | None = None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Going from ``before`` to ``after`` on one axis (of two axes for an interaction), in points of top-1.

    ``at`` holds the other axes: at their baselines for a simple effect, empty for means over them. ``p_holm`` is
    adjusted within the study's family of its kind; an interim effect counts there and has none itself. ``with_images``
    includes the sample of test images.
    """

    kind: Kind
    axes: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    at: Mapping[str, str]
    estimate: Estimate
    with_images: Estimate | None
    p: float | None
    p_holm: float | None
    #: What may be said of it, a few words: "relevant difference", "equal within 0.5", "interim, 2 of 8 seeds", ...
    finding: str
    cost: CostChange | None = None
    #: Combinations of the other axes that it is a mean over; 1 for a simple effect.
    over: int = 1
    #: What qualifies the finding, each a clause: settings that differ besides, an interaction that a mean hides, ...
    remarks: tuple[str, ...] = ()
    #: Seeds among its runs that were not declared.
    added_seeds: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyEffects:
    """The effects of one study. ``axes`` have their options in the order of the study, the baseline's in ``baseline``.

    ``declared`` is the digest of what was declared before the first run, None where nothing was; ``notes`` say what a
    reader must know: missing cells, uneven seeds, seeds added later, a declaration that came after results.
    """

    study: str
    axes: Mapping[str, tuple[str, ...]]
    baseline: Mapping[str, str]
    margin: float
    declared: str | None
    #: Runs a cell that were declared, whenever that was; None where nothing was.
    planned: int | None
    #: Standard deviation of a run from chance alone, in points, and its degrees of freedom: pooled over the cells that
    #: are fitted with the baseline.
    sd: float | None
    df: int
    one_factor: bool
    simple: tuple[Effect, ...]
    main: tuple[Effect, ...]
    interactions: tuple[Effect, ...]
    notes: tuple[str, ...]
    #: Notes that come before everything else: images that prove nothing.
    warnings: tuple[str, ...] = ()
