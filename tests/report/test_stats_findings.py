"""What may be said of an effect and of a claim: a table of intervals by hand, and the seeds that would decide."""

from __future__ import annotations

from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.findings import (
    Expectation,
    Judgement,
    Verdict,
    findings,
    judge,
    seeds_needed,
)

#: t(10, 0.95) and t(10, 0.975) as printed: the half-widths of the 90 % and the 95 % interval at se = 1, df = 10.
NARROW, WIDE = 1.812, 2.228


def at(value: float, se: float = 1.0, df: float = 10) -> Estimate:
    return Estimate(value=value, se=se, df=df, n=3)


def finding(estimate: Estimate, margin: float) -> str:
    return findings([estimate], margin)[0].text


@pytest.mark.parametrize(
    ("value", "margin", "said"),
    [
        (0.0, 1.81, "undecided"),  # the 90 % interval just reaches over the margin
        (0.0, 1.82, "equal within 1.82"),
        (2.2, 0.5, "undecided"),  # -0.03 to 4.43
        (2.26, 0.5, "difference"),  # 0.03 to 4.49
        (-2.26, 0.5, "difference"),
        (2.26, 4.05, "difference"),  # 90 %: 0.45 to 4.07
        (2.26, 4.1, "small difference, equal within 4.1"),
        (-2.26, 4.1, "small difference, equal within 4.1"),
        (2.7, 0.5, "difference"),  # 0.47 to 4.93: whether it is relevant is open
        (2.8, 0.5, "relevant difference"),  # 0.57 to 5.03
        (-2.8, 0.5, "relevant difference"),
    ],
)
def test_what_is_said_of_one_effect(value: float, margin: float, said: str) -> None:
    assert finding(at(value), margin) == said


def test_without_an_interval_that_is_all_there_is_to_say() -> None:
    assert finding(Estimate(value=3.0, se=None, df=None, n=1), 0.5) == "no interval"
    assert finding(Estimate(value=3.0, se=0.0, df=4, n=3), 0.5) == "no spread seen"
    assert judge(Estimate(value=3.0, se=None, df=None, n=1), "gain", 0.5) == Judgement(
        verdict="no verdict", why="no interval"
    )
    assert judge(Estimate(value=0.0, se=0.0, df=4, n=3), "equal", 0.5) == Judgement(
        verdict="no verdict", why="no spread seen"
    )


def test_in_a_family_a_difference_needs_the_adjusted_evidence() -> None:
    # p = 0.028 alone; of three the smallest must be below 0.05 / 3
    assert finding(at(2.56), 0.5) == "difference"
    family = findings([at(2.56), at(0.1), at(-0.3)], 0.5)
    assert [found.text for found in family] == ["undecided"] * 3
    assert family[0].p == pytest.approx(0.0284, abs=1e-4)
    assert family[0].p_holm == pytest.approx(3 * 0.0284, abs=3e-4)


def test_in_a_family_relevance_needs_the_adjusted_evidence_too() -> None:
    # beyond 0.5 at the 95 % level, and p of 0.0199 for an effect of 0.5 at most; of three it would need 0.0167
    assert finding(at(3.26), 0.5) == "relevant difference"
    assert [found.text for found in findings([at(3.26), at(5.0), at(0.0)], 0.5)] == [
        "relevant difference",
        "relevant difference",
        "undecided",
    ]
    assert findings([at(3.26), at(1.0), at(0.0)], 0.5)[0].text == "difference"


def test_an_effect_without_p_does_not_count_in_its_family() -> None:
    none = Estimate(value=1.0, se=None, df=None, n=1)
    assert [found.text for found in findings([at(2.56), none, none], 0.5)] == [
        "difference",
        "no interval",
        "no interval",
    ]


def test_equivalence_is_not_adjusted() -> None:
    assert [found.text for found in findings([at(0.0)] * 5, 1.82)] == ["equal within 1.82"] * 5


#: Interval ends are value - or + 1.812 (90 %) and 2.228 (95 %); the margin is 2.5 where nothing else is said.
VERDICTS: list[tuple[Expectation, float, float, Verdict]] = [
    ("equal", 0.0, 2.5, "holds"),
    ("equal", 0.68, 2.5, "holds"),
    ("equal", -0.68, 2.5, "holds"),
    ("equal", 0.7, 2.5, "undecided"),
    ("equal", -0.7, 2.5, "undecided"),
    ("equal", 4.7, 2.5, "undecided"),
    ("equal", 4.75, 2.5, "contradicted"),
    ("equal", -4.7, 2.5, "undecided"),
    ("equal", -4.75, 2.5, "contradicted"),
    ("no_gain", 0.68, 2.5, "holds"),
    ("no_gain", -9.0, 2.5, "holds"),
    ("no_gain", 0.7, 2.5, "undecided"),
    ("no_gain", 4.7, 2.5, "undecided"),
    ("no_gain", 4.75, 2.5, "contradicted"),
    ("at_least", -0.68, 2.5, "holds"),
    ("at_least", 9.0, 2.5, "holds"),
    ("at_least", -0.7, 2.5, "undecided"),
    ("at_least", -4.7, 2.5, "undecided"),
    ("at_least", -4.75, 2.5, "contradicted"),
    ("gain", 2.25, 2.5, "holds"),
    ("gain", 2.2, 2.5, "undecided"),  # 95 %: -0.03 to 4.43
    ("gain", 2.25, 9.0, "holds"),  # small, and sure
    ("gain", 2.0, 9.0, "undecided"),  # smaller than the margin; the 90 % interval lies above 0, the 95 % does not
    ("gain", 1.8, 9.0, "contradicted"),  # smaller than the margin, and 0 is in both
    ("gain", 0.7, 2.5, "undecided"),
    ("gain", 0.68, 2.5, "contradicted"),
    ("gain", -2.2, 2.5, "contradicted"),
    ("gain", -9.0, 2.5, "contradicted"),
]


@pytest.mark.parametrize(("expected", "value", "margin", "verdict"), VERDICTS)
def test_the_verdict_on_a_claim(expected: Expectation, value: float, margin: float, verdict: Verdict) -> None:
    assert judge(at(value), expected, margin).verdict == verdict


@pytest.mark.parametrize(
    ("expected", "value", "margin", "why"),
    [
        ("equal", 0.0, 2.5, "the 90 % interval (-1.81 to 1.81) lies inside the margin of 2.5"),
        ("equal", 5.0, 2.5, "the 95 % interval (2.77 to 7.23) lies above the margin of 2.5"),
        ("equal", -5.0, 2.5, "the 95 % interval (-7.23 to -2.77) lies below -2.5"),
        ("no_gain", 0.0, 2.5, "the 90 % interval (-1.81 to 1.81) lies below the margin of 2.5"),
        ("at_least", 0.0, 2.5, "the 90 % interval (-1.81 to 1.81) lies above -2.5"),
        ("at_least", -2.0, 2.5, "the 95 % interval (-4.23 to 0.23) is too wide or too near to the margin of 2.5"),
        ("gain", 5.0, 2.5, "the 95 % interval (2.77 to 7.23) lies above the margin of 2.5"),
        ("gain", 3.0, 2.5, "the 95 % interval (0.77 to 5.23) lies above 0"),
        ("gain", 3.0, 9, "the 95 % interval (0.77 to 5.23) lies above 0, the gain is smaller than the margin of 9"),
        ("gain", 0.0, 2.5, "the 90 % interval (-1.81 to 1.81) does not reach the margin of 2.5 and holds 0"),
        ("gain", -2.0, 2.5, "the 90 % interval (-3.81 to -0.19) lies below 0"),
        ("gain", -3.0, 2.5, "the 95 % interval (-5.23 to -0.77) lies below 0"),
        ("gain", 2.0, 9, "the 95 % interval (-0.23 to 4.23) holds 0, the 90 % interval (0.19 to 3.81) does not"),
        ("gain", 1.0, 2.5, "the 95 % interval (-1.23 to 3.23) holds 0, and a gain of 2.5 is not ruled out"),
    ],
)
def test_a_verdict_tells_the_interval_that_made_it(
    expected: Expectation, value: float, margin: float, why: str
) -> None:
    assert judge(at(value), expected, margin).why == why


def test_a_family_of_contrasts_is_judged_at_adjusted_levels() -> None:
    # t(10, 1 - 0.025 / 5) = 3.169: with five asked together the 95 % interval becomes the 99 % one
    assert judge(at(3.1), "gain", 0.5).verdict == "holds"
    assert judge(at(3.1), "gain", 0.5, family=5).verdict == "undecided"
    found = judge(at(3.2), "gain", 0.5, family=5)
    assert (found.verdict, found.why) == ("holds", "the 99 % interval (0.03 to 6.37) lies above 0")
    # t(10, 1 - 0.05 / 5) = 2.764
    assert judge(at(0.0), "equal", 2.75, family=5).verdict == "undecided"
    assert judge(at(0.0), "equal", 2.78, family=5).verdict == "holds"


@pytest.mark.parametrize("margin", [0, -0.5])
def test_a_margin_is_positive(margin: float) -> None:
    with pytest.raises(ValueError, match="a margin is a positive number of points"):
        judge(at(0.0), "equal", margin)
    with pytest.raises(ValueError, match="a margin is a positive number of points"):
        finding(at(0.0), margin)


estimates = st.builds(at, st.floats(-20, 20), st.floats(0.01, 5), st.floats(1, 60))
margins = st.floats(0.1, 5)


@settings(deadline=None)  # the first example imports scipy
@given(estimates, margins)
def test_claims_that_mean_the_same_get_the_same_verdict(estimate: Estimate, margin: float) -> None:
    mirrored = Estimate(value=-estimate.value, se=estimate.se, df=estimate.df, n=3)
    assert judge(estimate, "no_gain", margin).verdict == judge(mirrored, "at_least", margin).verdict
    assert judge(estimate, "equal", margin).verdict == judge(mirrored, "equal", margin).verdict
    both = (judge(estimate, "no_gain", margin).verdict, judge(estimate, "at_least", margin).verdict)
    assert (judge(estimate, "equal", margin).verdict == "holds") == (both == ("holds", "holds"))
    assert (judge(estimate, "equal", margin).verdict == "contradicted") == ("contradicted" in both)


@settings(deadline=None)  # the first example imports scipy
@given(estimates, margins)
def test_that_it_helps_falls_only_where_that_it_brings_nothing_stands(estimate: Estimate, margin: float) -> None:
    helps, nothing = judge(estimate, "gain", margin).verdict, judge(estimate, "no_gain", margin).verdict
    if helps == "contradicted":
        assert nothing == "holds"
    if nothing == "contradicted":
        assert helps == "holds"


def simple_effect(value: float, sd: float, n: int, cells: int = 8) -> Estimate:
    return Estimate(value=value, se=sd * sqrt(2 / n), df=(cells - 1) * (n - 1), n=n)


def naive_seeds(value: float, sd: float, expected: Expectation, margin: float, first: int) -> int:
    """The least n from ``first`` on that gives a verdict in four of five studies, by the ends of what gives one."""
    from scipy import stats

    n = first
    while True:
        se = sd * sqrt(2 / n)
        t90, t95 = stats.t.ppf(0.95, 7 * (n - 1)) * se, stats.t.ppf(0.975, 7 * (n - 1)) * se
        lies = stats.norm(value, se)
        if expected == "equal":
            inside = max(0.0, lies.cdf(margin - t90) - lies.cdf(t90 - margin))
            chance = inside + lies.sf(margin + t95) + lies.cdf(-margin - t95)
        else:
            chance = lies.sf(t95) + lies.cdf(min(margin - t90, t90))
        if chance >= 0.8:
            return n
        n += 1


@pytest.mark.parametrize(
    ("expected", "value", "sd"), [("equal", 0.1, 0.6), ("equal", 1.1, 0.5), ("gain", 0.4, 0.6), ("equal", 0.2, 0.3)]
)
def test_the_seeds_that_would_decide_are_a_range_from_the_uncertain_spread(
    expected: Expectation, value: float, sd: float
) -> None:
    from scipy import stats

    estimate = simple_effect(value, sd, n=3)
    found = seeds_needed(estimate, expected, 0.5, sd=sd, df=14, cells=8, squared_weights=2)
    low, high = (sd * sqrt(14 / stats.chi2.ppf(share, 14)) for share in (0.9, 0.1))
    assert found is not None
    assert (found.low, found.high) == tuple(naive_seeds(value, each, expected, 0.5, 4) for each in (low, high))


def test_more_than_a_hundred_seeds_is_said_as_such() -> None:
    needed = {"sd": 1.0, "df": 14, "cells": 8, "squared_weights": 2}
    far = seeds_needed(simple_effect(0.45, 1.0, n=3), "equal", 0.5, **needed)
    assert far is not None
    assert (far.low, far.high, far.text) == (None, None, "more than 100")
    near = seeds_needed(simple_effect(0.1, 1.0, n=3), "equal", 0.5, **needed)
    assert near is not None
    assert near.low is not None
    assert (near.high, near.text) == (None, f"{near.low} to more than 100")
    one = seeds_needed(simple_effect(0.2, 0.3, n=3), "equal", 0.5, sd=0.3, df=14, cells=8, squared_weights=2)
    assert one is not None
    assert one.text == f"{one.low} to {one.high}"


def test_a_range_of_one_number_is_that_number() -> None:
    found = seeds_needed(simple_effect(0.0, 0.37, n=3), "equal", 0.5, sd=0.35, df=1000, cells=8, squared_weights=2)
    assert found is not None
    assert found.low == found.high
    assert found.text == str(found.low)


def test_the_seeds_needed_are_more_than_there_are() -> None:
    # were the spread as small as it may be, three seeds would have done
    found = seeds_needed(simple_effect(0.6, 0.37, n=3), "gain", 0.5, sd=0.37, df=2, cells=8, squared_weights=2)
    assert found is not None
    assert found.low == 4


def test_no_number_of_seeds_decides_an_effect_on_the_border() -> None:
    needed = {"sd": 0.5, "df": 14, "cells": 8, "squared_weights": 2}
    for expected, value in (("equal", 0.5), ("equal", -0.5), ("no_gain", 0.5), ("at_least", -0.5)):
        assert seeds_needed(simple_effect(value, 0.5, n=3), expected, 0.5, **needed) is None


def test_a_verdict_that_is_there_needs_no_seeds_and_one_seed_says_nothing_about_them() -> None:
    needed = {"sd": 0.1, "df": 14, "cells": 8, "squared_weights": 2}
    assert seeds_needed(simple_effect(0.0, 0.1, n=3), "equal", 0.5, **needed) is None
    assert seeds_needed(Estimate(value=0.2, se=None, df=None, n=1), "equal", 0.5, **needed) is None


def test_more_contrasts_asked_together_need_more_seeds() -> None:
    needed = {"sd": 0.6, "df": 14, "cells": 8, "squared_weights": 2}
    alone = seeds_needed(simple_effect(0.1, 0.6, n=3), "equal", 0.5, **needed)
    among = seeds_needed(simple_effect(0.1, 0.6, n=3), "equal", 0.5, family=4, **needed)
    assert alone is not None
    assert among is not None
    assert alone.low is not None
    assert among.low is not None
    assert among.low > alone.low
