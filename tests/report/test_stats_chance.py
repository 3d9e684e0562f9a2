"""Studies drawn from a known truth: how often intervals cover it, chance looks like an effect, and verdicts fall."""

from __future__ import annotations

from collections.abc import Hashable
from math import sqrt

import numpy as np
import pytest
from simulated_studies import (
    CUBE,
    MAIN,
    SEEDS,
    SIMPLE,
    Array,
    chance_of,
    covers,
    draw,
    draw_images,
    estimates,
    share,
    tolerance,
    true_accuracy,
)

from bnn_ablate.report.stats.blocks import fit
from bnn_ablate.report.stats.findings import Expectation, findings, judge
from bnn_ablate.report.stats.student import t_quantile

DRAWS = 3000
PAIR: dict[Hashable, float] = {"b": 1.0, "a": -1.0}

#: The seven others against (0, 0, 0): a family.
FAMILY: list[dict[Hashable, float]] = [{cell: 1.0, CUBE[0]: -1.0} for cell in CUBE[1:]]


def test_the_draws_are_estimated_as_the_fit_estimates_them() -> None:
    missing = np.zeros((8, 3))
    missing[1, 0] = missing[7, 2] = 1
    values = draw(8, 3, 5, sd=0.3, source=1)
    fast = estimates(CUBE, values, [MAIN, SIMPLE], missing)
    for place in range(5):
        runs = ((CUBE[c], s, float(values[place, c, s])) for c in range(8) for s in range(3) if not missing[c, s])
        whole = fit(runs)
        for weights, found in zip((MAIN, SIMPLE), fast, strict=True):
            expected = whole.contrast(weights)
            assert found[place].value == pytest.approx(expected.value, abs=1e-9)
            assert found[place].se == pytest.approx(expected.se, rel=1e-9)
            assert (found[place].df, found[place].n) == (expected.df, expected.n)


@pytest.mark.parametrize("seeds", [2, 3])
def test_two_cells_cover_the_truth_as_often_as_said(seeds: int) -> None:
    # 1 and 2 degrees of freedom: a wrong number of them shows (2 for 1 covers 85 %)
    (found,) = estimates("ab", draw(2, seeds, DRAWS, sd=0.3, means=[0, 0.4], source=seeds), [PAIR])
    for level in (0.90, 0.95):
        covered = share(covers(estimate, 0.4, level) for estimate in found)
        assert covered == pytest.approx(level, abs=tolerance(level, DRAWS))


def test_a_study_with_holes_covers_the_truth_as_often_as_said() -> None:
    missing = np.zeros((8, 3))
    missing[1:4, 0] = missing[4, 1:] = 1
    values = draw(8, 3, DRAWS, sd=0.3, sd_seeds=2, means=[0, 0, 0, 0, 0.7], source=3)
    simple, main = estimates(CUBE, values, [SIMPLE, MAIN], missing)
    assert share(covers(one, 0.7) for one in simple) == pytest.approx(0.95, abs=tolerance(0.95, DRAWS))
    assert share(covers(one, 0.175) for one in main) == pytest.approx(0.95, abs=tolerance(0.95, DRAWS))


def test_where_nothing_differs_a_family_finds_a_difference_in_a_twentieth_of_all_studies() -> None:
    found = estimates(CUBE, draw(8, 3, 1500, sd=0.3, source=5), FAMILY)
    studies = [findings(family, 0.5) for family in zip(*found, strict=True)]
    false = share(any("difference" in one.text for one in study) for study in studies)
    unadjusted = share(any((one.p or 0) < 0.05 for one in study) for study in studies)
    # contrasts share a baseline, so that Holm is somewhat careful here; without it a fifth of the studies would err
    assert 0.02 < false < 0.05 + tolerance(0.05, 1500)
    assert unadjusted > 0.15


def region(expected: Expectation, verdict: str, df: int, margin: float, se: Array) -> tuple[Array, Array]:
    """Where the estimate must lie for a verdict, by its standard error: from the definitions, not from the code."""
    narrow, wide = t_quantile(df, 0.95) * se, t_quantile(df, 0.975) * se
    nowhere = np.full_like(se, np.inf)
    return {
        ("equal", "holds"): (narrow - margin, margin - narrow),
        ("no_gain", "holds"): (-nowhere, margin - narrow),
        ("no_gain", "contradicted"): (margin + wide, nowhere),
        ("at_least", "holds"): (narrow - margin, nowhere),
        ("at_least", "contradicted"): (-nowhere, -margin - wide),
        ("gain", "holds"): (wide, nowhere),
        ("gain", "contradicted"): (-nowhere, np.minimum(margin - narrow, narrow)),
    }[expected, verdict]


@pytest.mark.parametrize("seeds", SEEDS)
def test_verdicts_fall_as_often_as_theory_says(seeds: int) -> None:
    # a simple effect in a study of 8 cells, runs spread by 0.3, margin 0.5
    df, se, margin, draws = 7 * (seeds - 1), 0.3 * sqrt(2 / seeds), 0.5, 1000
    for truth in (0.0, 0.5, 1.0):
        (found,) = estimates(CUBE, draw(8, seeds, draws, sd=0.3, source=seeds), [SIMPLE])
        moved = [type(one)(value=one.value + truth, se=one.se, df=one.df, n=one.n) for one in found]
        for expected in ("equal", "no_gain", "at_least", "gain"):
            fallen = [judge(one, expected, margin).verdict for one in moved]
            for verdict in ("holds", "contradicted"):
                if (expected, verdict) == ("equal", "contradicted"):
                    continue  # two regions: their sum is no_gain's and at_least's
                theory = chance_of(lambda e, x=expected, v=verdict: region(x, v, df, margin, e), truth, se, df)
                seen = share(one == verdict for one in fallen)
                assert seen == pytest.approx(theory, abs=tolerance(theory, draws)), (expected, verdict, truth)


def test_intervals_over_seeds_and_images_cover_where_those_over_seeds_alone_do_not() -> None:
    chance = np.random.default_rng(7)
    thresholds: dict[Hashable, float] = {"a": 1.0, "b": 1.3, "c": 1.1, "d": 1.2}
    truth = true_accuracy(1.3, 0.03) - true_accuracy(1.0, 0.03)
    over_seeds, over_both, draws = [], [], 600
    for _ in range(draws):
        images = draw_images(thresholds, 3, 300, chance, sd_runs=0.03)
        both = images.contrast(PAIR)
        assert both is not None
        over_seeds.append(covers(images.fit.contrast(PAIR), truth))
        over_both.append(covers(both, truth))
    assert share(over_both) == pytest.approx(0.955, abs=tolerance(0.95, draws))
    assert share(over_seeds) < 0.85
