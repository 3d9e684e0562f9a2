"""A cell that spreads unlike the others is noticed, whatever runs are missing; the residuals' share by a projection."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pytest

from bnn_ablate.report.stats.blocks import fit
from bnn_ablate.report.stats.spread import Uneven, uneven_spread

Observation = tuple[Hashable, Hashable, float]


def study(spreads: str, sds: list[float], seeds: int = 4, source: int = 0) -> list[Observation]:
    draw = np.random.default_rng(source)
    of_seeds = draw.normal(0, 2, seeds)
    return [
        (cell, s, float(90 + of_seeds[s] + draw.normal(0, sd)))
        for cell, sd in zip(spreads, sds, strict=True)
        for s in range(seeds)
    ]


def test_an_even_spread_is_not_remarked_on() -> None:
    assert uneven_spread(fit(study("abcd", [0.3] * 4))) is None


def test_the_cell_that_spreads_furthest_is_named_with_its_ratio() -> None:
    # and a seed that only one run has, one missing run, a cell with one run
    runs = [run for run in study("abcde", [0.1, 0.1, 2.0, 0.1, 0.1], seeds=5) if run[:2] != ("a", 2)]
    runs = [run for run in runs if run[0] != "e" or run[1] == 0] + [("b", "alone", 80.0)]
    found = uneven_spread(fit(runs))
    assert isinstance(found, Uneven)
    assert found.cell == "c"
    assert found.p < 0.01

    cells, seeds = "abcde", [0, 1, 2, 3, 4, "alone"]
    matrix = np.array([[run[0] == c for c in cells] + [run[1] == s for s in seeds] for run in runs], dtype=float)
    remaining = np.eye(len(runs)) - matrix @ np.linalg.pinv(matrix)
    residuals = remaining @ np.array([run[2] for run in runs])
    of_c = [place for place, run in enumerate(runs) if run[0] == "c"]
    variance = (residuals[of_c] ** 2).sum() / np.diag(remaining)[of_c].sum()
    assert found.ratio == pytest.approx(np.sqrt(variance / ((residuals**2).sum() / np.trace(remaining))), rel=1e-6)


def test_of_two_cells_nobody_can_say_which_spreads() -> None:
    assert uneven_spread(fit(study("ab", [0.1, 9.0]))) is None


def test_where_nothing_repeats_nothing_is_uneven() -> None:
    assert uneven_spread(fit(study("abc", [0.1, 0.1, 9.0], seeds=1))) is None
    assert uneven_spread(fit(study("a", [0.1], seeds=4))) is None
    assert uneven_spread(fit((cell, s, 90.0) for cell in "abc" for s in range(3))) is None


def test_the_same_runs_give_the_same_p() -> None:
    runs = study("abcd", [0.1, 0.1, 2.0, 0.1])
    assert uneven_spread(fit(runs)) == uneven_spread(fit(runs))


def test_a_stricter_level_says_less() -> None:
    runs = study("abcd", [0.1, 0.1, 0.6, 0.1])
    loose = uneven_spread(fit(runs), level=0.2)
    assert loose is not None
    assert uneven_spread(fit(runs), level=loose.p) is None


def test_two_of_eight_cells_that_spread_five_times_as_far_are_noticed_in_half_of_the_studies_with_three_seeds() -> None:
    """docs/STATISTICS.md says 45 %: one standard error of 300 studies is 3 points."""
    noticed = sum(
        uneven_spread(fit(study("abcdefgh", [0.1] * 6 + [0.5] * 2, seeds=3, source=source))) is not None
        for source in range(300)
    )
    assert 0.35 <= noticed / 300 <= 0.55
