"""Means and intervals against hand tables and scipy.stats."""

from __future__ import annotations

import random
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn_ablate.report.stats.student import student_mean, t_quantile

#: Two-sided 95 % quantiles of Student's t as printed in tables, by number of values.
PRINTED = {2: 12.706, 3: 4.303, 5: 2.776, 10: 2.262}

accuracies = st.lists(st.floats(0, 100), min_size=2, max_size=12)


@pytest.mark.parametrize("n", PRINTED)
def test_quantiles_are_the_printed_ones(n: int) -> None:
    assert t_quantile(n - 1, 0.975) == pytest.approx(PRINTED[n], abs=5e-4)


@pytest.mark.parametrize("n", PRINTED)
@pytest.mark.parametrize("level", [0.90, 0.95])
def test_the_interval_is_that_of_scipy(n: int, level: float) -> None:
    from scipy import stats

    draw = random.Random(n)
    values = [draw.gauss(90, 0.4) for _ in range(n)]
    found = student_mean(values, level)
    low, high = stats.t.interval(level, n - 1, loc=sum(values) / n, scale=stats.sem(values))
    assert found.n == n
    assert found.half_width is not None
    assert found.mean - found.half_width == pytest.approx(low, rel=1e-12)
    assert found.mean + found.half_width == pytest.approx(high, rel=1e-12)


def test_the_interval_of_three_values_by_hand() -> None:
    # 90, 91, 92: s = 1, t(2) = 4.3027, half-width = 4.3027 / sqrt(3)
    found = student_mean([90.0, 91.0, 92.0])
    assert (found.n, found.mean) == (3, 91.0)
    assert found.half_width == pytest.approx(4.3027 / sqrt(3), abs=1e-4)


def test_one_value_has_a_mean_and_no_interval() -> None:
    found = student_mean([91.5])
    assert (found.n, found.mean, found.half_width) == (1, 91.5, None)


def test_no_values_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no mean of no values"):
        student_mean([])


@given(accuracies, st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(values: list[float], order: random.Random) -> None:
    shuffled = list(values)
    order.shuffle(shuffled)
    assert student_mean(shuffled) == student_mean(values)


@given(st.floats(0, 100), st.integers(2, 12))
def test_equal_values_have_an_interval_of_no_width(value: float, n: int) -> None:
    found = student_mean([value] * n)
    assert found.half_width == 0
    assert found.mean == pytest.approx(value)


@given(accuracies)
def test_a_wider_level_is_a_wider_interval(values: list[float]) -> None:
    narrow, wide = student_mean(values, 0.90), student_mean(values, 0.95)
    assert narrow.half_width is not None
    assert wide.half_width is not None
    assert narrow.half_width <= wide.half_width
