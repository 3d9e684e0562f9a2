"""What may be said of an effect, which verdict a claim deserves, and how many seeds would decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.holm import holm
from bnn_ablate.report.stats.student import t_quantile

Expectation = Literal["equal", "no_gain", "at_least", "gain"]
Verdict = Literal["holds", "contradicted", "undecided", "no verdict"]

ALPHA = 0.05
NO_INTERVAL = "no interval"
NO_SPREAD = "no spread seen"
UNDECIDED = "undecided"

#: Beyond this many seeds a number is not advice.
MOST_SEEDS = 100
#: Share of studies in which the seeds needed give a verdict.
POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Finding:
    """``text`` is what may be said; ``p_holm`` is ``p`` adjusted within the family it was asked with."""

    text: str
    p: float | None
    p_holm: float | None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict on a claim and the interval that made it, as a clause without a full stop."""

    verdict: Verdict
    why: str


@dataclass(frozen=True, kw_only=True)
class SeedsNeeded:
    """Seeds in all (those there are included); None stands for more than MOST_SEEDS."""

    low: int | None
    high: int | None

    @property
    def text(self) -> str:
        """As people say it: 5, 5 to 12, 40 to more than 100, more than 100."""
        if self.low == self.high:
            return _count(self.low)
        return f"{_count(self.low)} to {_count(self.high)}"


def findings(estimates: Sequence[Estimate], margin: float) -> list[Finding]:
    """What may be said of each effect of one family, in their order; ``margin`` in points.

    =============================  ====================================================================================
    relevant difference            the 95 % interval lies wholly beyond the margin, after Holm
    difference                     the 95 % interval excludes 0, after Holm; whether it is relevant is open
    small difference, equal within both of difference and equal: there is an effect, and it is smaller than the margin
    equal within                   the 90 % interval lies inside the margin (two one-sided tests, Schuirmann 1987)
    undecided                      none of these: more seeds, or a wider margin declared before the next study
    no interval                    nothing repeats (one seed)
    no spread seen                 runs repeat and chance moved none: nothing can be said about chance
    =============================  ====================================================================================

    "After Holm" means that the adjusted p-value, of no effect or of an effect within the margin, is below 0.05; in a
    family of one that is the interval itself. Equivalence is not adjusted: each one has its own error of 5 %.
    """
    if margin <= 0:
        raise ValueError(f"a margin is a positive number of points, not {margin:g}")
    differs = holm([estimate.p for estimate in estimates])
    relevant = holm([estimate.p_beyond(margin) for estimate in estimates])
    return [
        Finding(text=_text(estimate, margin, p_differs, p_relevant), p=estimate.p, p_holm=p_differs)
        for estimate, p_differs, p_relevant in zip(estimates, differs, relevant, strict=True)
    ]


def _text(estimate: Estimate, margin: float, p_differs: float | None, p_relevant: float | None) -> str:
    narrow = estimate.interval(1 - 2 * ALPHA)
    if narrow is None or p_differs is None or p_relevant is None:
        return NO_SPREAD if estimate.no_spread else NO_INTERVAL
    equal = -margin < narrow[0] and narrow[1] < margin
    if p_relevant < ALPHA:
        return "relevant difference"
    if p_differs < ALPHA:
        return f"small difference, equal within {margin:g}" if equal else "difference"
    return f"equal within {margin:g}" if equal else UNDECIDED


def judge(estimate: Estimate, expected: Expectation, margin: float, family: int = 1) -> Judgement:
    """The verdict on a claim about one contrast, oriented so that a gain is positive.

    ========  =======================================  ================================================================
    expected  holds                                    contradicted
    ========  =======================================  ================================================================
    equal     90 % interval inside (-margin, margin)   95 % interval wholly above margin, or wholly below -margin
    no_gain   90 % interval below margin               95 % interval wholly above margin
    at_least  90 % interval above -margin              95 % interval wholly below -margin
    gain      95 % interval wholly above 0             90 % interval below margin, and holds 0 or lies below it
    ========  =======================================  ================================================================

    Else undecided; "no verdict" where there is no interval. A gain that holds is told to be relevant where the 95 %
    interval lies above the margin, and to be small where the 90 % interval lies below it. science.md leaves open when
    "it helps" is contradicted: here when a gain that counts is ruled out and nothing points at a smaller one. So the
    claim that something helps falls where the one that it brings nothing stands, but for a small sure gain, of which
    both hold; and between holds and contradicted there is always a range that is undecided.

    ``family`` is the number of contrasts that were asked together: levels are then 1 - 0.05 / family and
    1 - 0.10 / family (Bonferroni), so that any wrong verdict among them has the error of one.
    """
    if margin <= 0:
        raise ValueError(f"a margin is a positive number of points, not {margin:g}")
    narrow, wide = estimate.interval(1 - 2 * ALPHA / family), estimate.interval(1 - ALPHA / family)
    if narrow is None or wide is None:
        return Judgement(verdict="no verdict", why=NO_SPREAD if estimate.no_spread else NO_INTERVAL)
    verdict, reason = _rule(expected, narrow, wide, margin)
    inner, outer = _clause(narrow, 1 - 2 * ALPHA / family), _clause(wide, 1 - ALPHA / family)
    return Judgement(verdict=verdict, why=WHY[reason].format(inner=inner, outer=outer, margin=f"{margin:g}"))


WHY = {
    "inside": "{inner} lies inside the margin of {margin}",
    "under": "{inner} lies below the margin of {margin}",
    "over minus": "{inner} lies above -{margin}",
    "beyond": "{outer} lies above the margin of {margin}",
    "beyond minus": "{outer} lies below -{margin}",
    "open": "{outer} is too wide or too near to the margin of {margin}",
    "gain": "{outer} lies above 0",
    "small gain": "{outer} lies above 0, the gain is smaller than the margin of {margin}",
    "loss": "{outer} lies below 0",
    "likely loss": "{inner} lies below 0",
    "no gain": "{inner} does not reach the margin of {margin} and holds 0",
    "gain open": "{outer} holds 0, and a gain of {margin} is not ruled out",
    "hint": "{outer} holds 0, {inner} does not",
}


def _rule(
    expected: Expectation, narrow: tuple[float, float], wide: tuple[float, float], margin: float
) -> tuple[Verdict, str]:
    """The table of ``judge``, with a key of WHY."""
    if expected == "gain":
        if wide[0] > 0:
            size = "beyond" if wide[0] > margin else "small gain" if narrow[1] < margin else "gain"
            return "holds", size
        if narrow[1] >= margin:
            return "undecided", "gain open"
        if narrow[0] > 0:
            return "undecided", "hint"
        return "contradicted", "loss" if wide[1] < 0 else "likely loss" if narrow[1] < 0 else "no gain"
    if expected in ("equal", "no_gain") and wide[0] > margin:
        return "contradicted", "beyond"
    if expected in ("equal", "at_least") and wide[1] < -margin:
        return "contradicted", "beyond minus"
    holds, reason = {
        "equal": (-margin < narrow[0] and narrow[1] < margin, "inside"),
        "no_gain": (narrow[1] < margin, "under"),
        "at_least": (narrow[0] > -margin, "over minus"),
    }[expected]
    return ("holds", reason) if holds else ("undecided", "open")


def seeds_needed(
    estimate: Estimate,
    expected: Expectation,
    margin: float,
    *,
    sd: float,
    df: int,
    cells: int,
    squared_weights: float,
    family: int = 1,
) -> SeedsNeeded | None:
    """How many seeds in all would give a verdict in four of five studies, if the effect is what it seems.

    ``sd`` and ``df`` are the fit's, ``cells`` their number, ``squared_weights`` the sum of the contrast's squared
    weights. With n seeds in every cell the standard error is sd sqrt(squared_weights / n) on (cells - 1) (n - 1)
    degrees of freedom. As sd is uncertain, the answer is a range: either end is the least n above today's that will do,
    with sd at an end of its 80 % chi-square interval. The share of chance that lies in the test images does not shrink
    with seeds and is not in it, nor is it known how far the effect is from what it seems.

    None where the verdict is another than "undecided" (without an interval sd is not known either), and where no number
    of seeds would do because the effect lies on a border.
    """
    if judge(estimate, expected, margin, family).verdict != "undecided":
        return None
    import numpy as np
    from scipy.special import chdtri, ndtri

    # What the next study may estimate, in standard errors from today's value: equally likely places.
    places = [float(place) for place in ndtri((np.arange(200) + 0.5) / 200)]

    def enough(n: float, chance: float) -> bool:
        se, freedom = chance * sqrt(squared_weights / n), (cells - 1) * (n - 1)
        narrow, wide = t_quantile(freedom, 1 - ALPHA / family) * se, t_quantile(freedom, 1 - ALPHA / 2 / family) * se
        drawn = [estimate.value + place * se for place in places]
        verdicts = [_rule(expected, (v - narrow, v + narrow), (v - wide, v + wide), margin)[0] for v in drawn]
        return sum(verdict != "undecided" for verdict in verdicts) >= POWER * len(verdicts)

    def least(chance: float) -> int | None:
        return next((n for n in range(estimate.n + 1, MOST_SEEDS + 1) if enough(n, chance)), None)

    if not enough(1e12, sd):
        return None
    # chdtri(df, p) is the value that a chi-square variable exceeds with probability p.
    low, high = (sd * sqrt(df / float(chdtri(df, exceeded))) for exceeded in (0.1, 0.9))
    return SeedsNeeded(low=least(low), high=least(high))


def _clause(interval: tuple[float, float], level: float) -> str:
    return f"the {100 * level:.3g} % interval ({interval[0]:z.2f} to {interval[1]:z.2f})"


def _count(seeds: int | None) -> str:
    return f"more than {MOST_SEEDS}" if seeds is None else str(seeds)
