"""An estimate's interval and p-value: printed quantiles, scipy.stats, and what is said where there is no spread."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn_ablate.report.stats.estimate import Estimate

values = st.floats(-5, 5, allow_subnormal=False)
errors = st.floats(0.01, 5)
freedoms = st.floats(1, 100)


def test_the_interval_by_hand() -> None:
    # t(4, 0.975) = 2.776 and t(4, 0.95) = 2.132, as printed in tables
    estimate = Estimate(value=1.0, se=0.5, df=4, n=3)
    assert estimate.interval(0.95) == pytest.approx((1 - 2.776 * 0.5, 1 + 2.776 * 0.5), abs=5e-4)
    assert estimate.interval(0.90) == pytest.approx((1 - 2.132 * 0.5, 1 + 2.132 * 0.5), abs=5e-4)


@pytest.mark.parametrize("df", [1, 2.5, 14])
def test_the_p_value_is_that_of_scipy(df: float) -> None:
    from scipy import stats

    for value in (-2.0, 0.0, 0.3):
        expected = 2 * stats.t.sf(abs(value) / 0.4, df)
        assert Estimate(value=value, se=0.4, df=df, n=2).p == pytest.approx(expected, rel=1e-12)


@settings(deadline=None)  # the first example imports scipy
@given(values, errors, freedoms)
def test_p_is_below_a_twentieth_exactly_where_the_interval_excludes_zero(value: float, se: float, df: float) -> None:
    estimate = Estimate(value=value, se=se, df=df, n=2)
    low, high = estimate.interval(0.95) or (0, 0)
    assert estimate.p is not None
    if abs(estimate.p - 0.05) > 1e-9:
        assert (estimate.p < 0.05) == (low > 0 or high < 0)


@settings(deadline=None)  # the first example imports scipy
@given(values, errors, freedoms, st.floats(0.1, 2))
def test_p_beyond_a_margin_is_small_exactly_where_the_interval_lies_beyond_it(
    value: float, se: float, df: float, margin: float
) -> None:
    estimate = Estimate(value=value, se=se, df=df, n=2)
    low, high = estimate.interval(0.95) or (0, 0)
    p = estimate.p_beyond(margin)
    assert p is not None
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == (low > margin or high < -margin)


def test_where_nothing_repeats_there_is_neither_interval_nor_p() -> None:
    estimate = Estimate(value=1.0, se=None, df=None, n=1)
    assert (estimate.interval(0.95), estimate.p, estimate.p_beyond(0.5)) == (None, None, None)
    assert not estimate.no_spread


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_runs_that_chance_has_not_moved_prove_nothing(value: float) -> None:
    estimate = Estimate(value=value, se=0.0, df=4, n=3)
    assert (estimate.interval(0.95), estimate.p, estimate.p_beyond(0.5)) == (None, None, None)
    assert estimate.no_spread
