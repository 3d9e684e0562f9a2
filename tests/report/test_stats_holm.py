"""Holm's adjusted p-values: a table by hand, statsmodels, and the order and gaps of what was given."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn_ablate.report.stats.holm import holm

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_by_hand() -> None:
    # 0.01 x 4, 0.02 x 3, 0.03 x 2, and 0.04 x 1 is less than the one before it
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_as_in_statsmodels(size: int) -> None:
    from statsmodels.stats.multitest import multipletests

    draw = random.Random(size)
    given_values = [draw.random() ** 3 for _ in range(size)]
    assert holm(given_values) == pytest.approx(multipletests(given_values, method="holm")[1].tolist(), rel=1e-12)


def test_what_has_no_p_value_stays_without_and_does_not_count() -> None:
    assert holm([None, 0.01, None, 0.04]) == [None, pytest.approx(0.02), None, pytest.approx(0.04)]
    assert holm([None]) == [None]
    assert holm([]) == []


@given(p_values)
def test_none_gets_smaller_and_none_exceeds_one(given_values: list[float]) -> None:
    for p, adjusted in zip(given_values, holm(given_values), strict=True):
        assert adjusted is not None
        assert p <= adjusted <= 1


@given(p_values)
def test_the_order_of_evidence_stays(given_values: list[float]) -> None:
    adjusted = [p for p in holm(given_values) if p is not None]
    pairs = sorted(zip(given_values, adjusted, strict=True))
    assert [after for _, after in pairs] == sorted(adjusted)
