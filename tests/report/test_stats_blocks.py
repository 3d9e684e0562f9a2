"""Least squares over cells and seeds: statsmodels, scipy.stats, hand tables, and designs that cannot answer."""

from __future__ import annotations

from collections.abc import Hashable
from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from simulated_studies import CUBE, MAIN, SIMPLE

from bnn_ablate.report.stats.blocks import Fit, NotEstimableError, fit
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.student import t_quantile

Observation = tuple[Hashable, Hashable, float]


def cube(seeds: int, source: int = 0) -> list[Observation]:
    draw = np.random.default_rng(source)
    of_seeds = draw.normal(0, 1, seeds)
    return [(cell, s, float(90 + sum(cell) + of_seeds[s] + draw.normal(0, 0.3))) for cell in CUBE for s in range(seeds)]


def holed(source: int) -> list[Observation]:
    """Half of a study of 8 cells and 5 seeds, still connected, and a seed that only one run has."""
    draw = np.random.default_rng(100 + source)
    runs = cube(5, source)
    connected = [run for run in runs if run[0] == (0, 0, 0) or run[1] == 0]
    others = [run for run in runs if run not in connected]
    kept = [others[place] for place in draw.permutation(len(others))[: len(others) // 3]]
    return [*connected, *kept, ((1, 1, 1), "alone", 95.0)]


def dummies(runs: list[Observation]) -> tuple[list[Hashable], NDArray[np.float64]]:
    """A column a cell, and one a seed but the first: the textbook's way, in the order of first appearance."""
    cells = list(dict.fromkeys(run[0] for run in runs))
    seeds = list(dict.fromkeys(run[1] for run in runs))
    columns = [[float(run[0] == cell) for run in runs] for cell in cells]
    columns += [[float(run[1] == seed) for run in runs] for seed in seeds[1:]]
    return cells, np.array(columns).T


def half_width(estimate: Estimate) -> float:
    interval = estimate.interval(0.95)
    assert interval is not None
    return (interval[1] - interval[0]) / 2


@pytest.mark.parametrize("source", range(4))
def test_contrasts_are_those_of_statsmodels_where_runs_are_missing(source: int) -> None:
    import statsmodels.api

    runs = holed(source)
    cells, matrix = dummies(runs)
    theirs = statsmodels.api.OLS([run[2] for run in runs], matrix).fit()
    ours = fit(runs)
    assert ours.df == theirs.df_resid
    assert ours.sd == pytest.approx(sqrt(theirs.mse_resid), rel=1e-9)

    draw = np.random.default_rng(source)
    for weights in (MAIN, SIMPLE, dict(zip(cells, draw.permutation([3, -1, -1, -1, 0.5, -0.5, 0, 0]), strict=True))):
        row = np.zeros(matrix.shape[1])
        row[: len(cells)] = [weights.get(cell, 0.0) for cell in cells]
        test = theirs.t_test(row)
        found = ours.contrast(weights)
        assert found.value == pytest.approx(test.effect.item(), rel=1e-9, abs=1e-9)
        assert found.se == pytest.approx(test.sd.item(), rel=1e-9)
        assert found.df == theirs.df_resid
        assert found.p == pytest.approx(test.pvalue.item(), rel=1e-7)
        assert found.interval(0.9) == pytest.approx(tuple(test.conf_int(0.1)[0]), rel=1e-7)
        assert found.n == min(sum(run[0] == cell for run in runs) for cell in cells if weights.get(cell, 0.0) != 0)


def test_two_cells_are_a_paired_t_test() -> None:
    from scipy import stats

    a, b = [91.0, 90.2, 92.5, 90.9], [90.1, 89.9, 91.2, 90.4]
    found = fit([*(("a", s, v) for s, v in enumerate(a)), *(("b", s, v) for s, v in enumerate(b))])
    effect, theirs = found.contrast({"a": 1, "b": -1}), stats.ttest_rel(a, b)
    assert effect.df == theirs.df == 3
    assert effect.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert effect.interval(0.95) == pytest.approx(tuple(theirs.confidence_interval(0.95)), rel=1e-9)


def test_half_widths_at_three_seeds_are_those_of_the_protocol() -> None:
    # in standard deviations of a run: main effect of 2^3 0.9, simple effect 1.75, paired alone 3.5, unpaired 2.3
    whole = fit(cube(3))
    pair = fit(run for run in cube(3) if run[0] in SIMPLE)
    assert whole.sd is not None
    assert pair.sd is not None
    assert (whole.df, pair.df) == (14, 2)
    assert half_width(whole.contrast(MAIN)) / whole.sd == pytest.approx(0.9, abs=0.05)
    assert half_width(whole.contrast(SIMPLE)) / whole.sd == pytest.approx(1.75, abs=0.005)
    assert half_width(pair.contrast(SIMPLE)) / pair.sd == pytest.approx(3.5, abs=0.05)
    assert t_quantile(4, 0.975) * sqrt(2 / 3) == pytest.approx(2.3, abs=0.05)


def test_a_seed_that_moves_all_runs_alike_moves_no_effect() -> None:
    runs = holed(0)
    moved = [(cell, seed, value + 7 if seed == 3 else value) for cell, seed, value in runs]
    for weights in (MAIN, SIMPLE):
        before, after = fit(runs).contrast(weights), fit(moved).contrast(weights)
        assert after.value == pytest.approx(before.value, abs=1e-9)
        assert after.se == pytest.approx(before.se, rel=1e-9)


def test_a_seed_that_one_run_has_adds_nothing() -> None:
    runs = cube(3)
    before, after = fit(runs), fit([*runs, (CUBE[0], "alone", 10.0)])
    assert after.df == before.df
    assert after.sd == pytest.approx(before.sd, rel=1e-9)
    assert after.contrast(MAIN).value == pytest.approx(before.contrast(MAIN).value, abs=1e-9)
    assert after.contrast(MAIN).se == pytest.approx(before.contrast(MAIN).se, rel=1e-9)


def test_the_order_of_the_runs_does_not_matter() -> None:
    runs = holed(1)
    one, other = fit(runs).contrast(MAIN), fit(reversed(runs)).contrast(MAIN)
    assert (one.value, one.se) == pytest.approx((other.value, other.se), rel=1e-9)


def test_an_estimate_is_the_weighted_sum_of_its_runs_and_its_weights_cancel_every_seed() -> None:
    found = fit(holed(2))
    weights = found.run_weights(MAIN)
    assert np.nansum(weights * found.values) == pytest.approx(found.contrast(MAIN).value, abs=1e-9)
    assert weights.sum(axis=0) == pytest.approx(0, abs=1e-12)
    assert weights.sum(axis=1) == pytest.approx([MAIN[cell] for cell in found.cells], abs=1e-12)
    assert not weights[~found.observed].any()


def test_one_seed_gives_values_without_intervals() -> None:
    found = fit(cube(1))
    effect = found.contrast(SIMPLE)
    assert (found.sd, found.df) == (None, 0)
    assert (effect.se, effect.df, effect.n, effect.p) == (None, None, 1, None)
    assert effect.value == pytest.approx(cube(1)[4][2] - cube(1)[0][2])


def test_runs_that_just_connect_the_cells_leave_nothing_for_chance() -> None:
    found = fit([("a", 0, 90.0), ("b", 0, 91.0), ("b", 1, 92.0), ("c", 1, 95.0)])
    # a to b by seed 0, b to c by seed 1: (91 - 90) + (95 - 92)
    effect = found.contrast({"c": 1, "a": -1})
    assert (effect.value, effect.se, effect.n) == (pytest.approx(4.0), None, 1)


def test_cells_without_a_chain_of_shared_seeds_are_not_compared() -> None:
    runs: list[Observation] = [(cell, s, 90 + s * len(cell)) for cell, s in (("a", 0), ("bb", 0), ("a", 1), ("bb", 1))]
    runs += [("c", 2, 80.0), ("c", 3, 81.0), ("dd", 2, 82.0), ("dd", 3, 82.5)]
    found = fit(runs)
    assert found.df == 8 - 4 - 4 + 2
    assert found.contrast({"a": 1, "bb": -1}).value == pytest.approx(-0.5)
    assert found.contrast({"a": 1, "bb": -1, "c": 1, "dd": -1}).value == pytest.approx(-0.5 - 1.75)
    with pytest.raises(NotEstimableError, match="no chain of shared seeds connects a with c"):
        found.contrast({"a": 1, "c": -1})


def test_a_cell_without_a_run_is_named() -> None:
    with pytest.raises(NotEstimableError, match="there is no run of bb"):
        fit([("a", 0, 90.0), ("a", 1, 91.0)]).contrast({"a": 1, "bb": -1})


def test_a_cell_of_weight_nought_may_be_absent() -> None:
    found = fit([("a", 0, 90.0), ("b", 0, 91.0)])
    assert found.contrast({"a": -1, "b": 1, "c": 0}).value == pytest.approx(1.0)


def test_weights_that_are_no_contrast_are_refused() -> None:
    found = fit([("a", 0, 90.0), ("b", 0, 91.0)])
    with pytest.raises(ValueError, match="weights of a contrast sum to 0, not to 1"):
        found.contrast({"a": 1})
    with pytest.raises(ValueError, match="needs a weight that is not 0"):
        found.contrast({"a": 0, "b": 0})


def test_runs_that_cannot_be_fitted_are_refused() -> None:
    with pytest.raises(ValueError, match="no run to fit"):
        fit([])
    with pytest.raises(ValueError, match="cell a has two runs of seed 0"):
        fit([("a", 0, 90.0), ("a", 0, 90.0)])
    with pytest.raises(ValueError, match="cell a has the value nan at seed 0"):
        fit([("a", 0, float("nan"))])


def spread_of(*differences: float) -> Fit:
    return fit((cell, s, 90 + s + d * (cell == "b")) for s, d in enumerate(differences) for cell in "ab")


def test_equal_runs_have_no_spread_and_rounding_is_none() -> None:
    assert spread_of(0.7, 0.7, 0.7).sd == 0
    # differences of 1e-13, as sums of floats leave them
    assert spread_of(0.7, 0.7 + 1e-13, 0.7 - 1e-13).sd == 0
    assert spread_of(0.7, 0.7, 0.7).contrast({"b": 1, "a": -1}).no_spread


def test_one_image_of_fifty_thousand_is_a_spread() -> None:
    assert spread_of(0.7, 0.7, 0.702).sd == pytest.approx(sqrt(0.002**2 / 6))
