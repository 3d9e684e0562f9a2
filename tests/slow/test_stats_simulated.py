"""The tables of docs/STATISTICS.md, drawn anew: coverage, false findings, power of each verdict at 2 to 10 seeds."""

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
    covers,
    draw,
    draw_images,
    estimates,
    share,
    tolerance,
    true_accuracy,
)

from bnn_ablate.report.stats.blocks import fit
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.findings import Expectation, findings, judge, seeds_needed
from bnn_ablate.report.stats.spread import uneven_spread

DRAWS = 4000

#: Half a unit of the tables' last digit.
ROUNDED = 0.005

#: Share of studies in which a claim (holds, is contradicted), by true effect and seeds: a simple effect in a study of 8
#: cells, runs spread by 0.3 points, margin 0.5.
POWER: dict[tuple[float, int], dict[Expectation, tuple[float, float]]] = {
    (0.0, 2): {"equal": (0.10, 0.00), "no_gain": (0.45, 0.00), "at_least": (0.45, 0.00), "gain": (0.02, 0.45)},
    (0.0, 3): {"equal": (0.26, 0.00), "no_gain": (0.62, 0.00), "at_least": (0.61, 0.00), "gain": (0.02, 0.62)},
    (0.0, 5): {"equal": (0.64, 0.00), "no_gain": (0.82, 0.00), "at_least": (0.82, 0.00), "gain": (0.03, 0.82)},
    (0.0, 10): {"equal": (0.96, 0.00), "no_gain": (0.98, 0.00), "at_least": (0.98, 0.00), "gain": (0.03, 0.95)},
    (0.25, 2): {"equal": (0.07, 0.00), "no_gain": (0.19, 0.00), "at_least": (0.73, 0.00), "gain": (0.11, 0.18)},
    (0.25, 3): {"equal": (0.16, 0.00), "no_gain": (0.25, 0.00), "at_least": (0.89, 0.00), "gain": (0.15, 0.25)},
    (0.25, 5): {"equal": (0.35, 0.00), "no_gain": (0.36, 0.00), "at_least": (0.99, 0.00), "gain": (0.25, 0.35)},
    (0.25, 10): {"equal": (0.57, 0.00), "no_gain": (0.57, 0.00), "at_least": (1.00, 0.00), "gain": (0.46, 0.42)},
    (0.5, 2): {"equal": (0.03, 0.02), "no_gain": (0.05, 0.02), "at_least": (0.91, 0.00), "gain": (0.30, 0.05)},
    (0.5, 3): {"equal": (0.04, 0.02), "no_gain": (0.05, 0.02), "at_least": (0.99, 0.00), "gain": (0.48, 0.05)},
    (0.5, 5): {"equal": (0.05, 0.03), "no_gain": (0.05, 0.03), "at_least": (1.00, 0.00), "gain": (0.72, 0.05)},
    (0.5, 10): {"equal": (0.05, 0.03), "no_gain": (0.05, 0.03), "at_least": (1.00, 0.00), "gain": (0.96, 0.02)},
    (1.0, 2): {"equal": (0.00, 0.30), "no_gain": (0.00, 0.30), "at_least": (1.00, 0.00), "gain": (0.82, 0.00)},
    (1.0, 3): {"equal": (0.00, 0.48), "no_gain": (0.00, 0.48), "at_least": (1.00, 0.00), "gain": (0.97, 0.00)},
    (1.0, 5): {"equal": (0.00, 0.72), "no_gain": (0.00, 0.72), "at_least": (1.00, 0.00), "gain": (1.00, 0.00)},
    (1.0, 10): {"equal": (0.00, 0.96), "no_gain": (0.00, 0.96), "at_least": (1.00, 0.00), "gain": (1.00, 0.00)},
}

#: Share of studies of 8 cells with at least one false difference among 7, nothing differing: with Holm, and without.
FALSE_FINDINGS = {2: (0.03, 0.20), 3: (0.04, 0.21), 5: (0.04, 0.22), 10: (0.04, 0.22)}


@pytest.mark.parametrize(("truth", "seeds"), list(POWER))
def test_each_verdict_falls_as_often_as_the_table_says(truth: float, seeds: int) -> None:
    (found,) = estimates(CUBE, draw(8, seeds, DRAWS, sd=0.3, means=[0] * 4 + [truth], source=seeds), [SIMPLE])
    for expected, chances in POWER[truth, seeds].items():
        fallen = [judge(one, expected, 0.5).verdict for one in found]
        for verdict, chance in zip(("holds", "contradicted"), chances, strict=True):
            seen = share(one == verdict for one in fallen)
            # the table is drawn as well, hence the root of 2
            assert seen == pytest.approx(chance, abs=sqrt(2) * tolerance(chance, DRAWS) + ROUNDED), (expected, verdict)


@pytest.mark.parametrize("seeds", SEEDS)
def test_false_findings_of_a_family_are_as_the_table_says(seeds: int) -> None:
    family: list[dict[Hashable, float]] = [{cell: 1.0, CUBE[0]: -1.0} for cell in CUBE[1:]]
    found = estimates(CUBE, draw(8, seeds, DRAWS, sd=0.3, source=10 + seeds), family)
    studies = [findings(each, 0.5) for each in zip(*found, strict=True)]
    with_holm = share(any("difference" in one.text for one in study) for study in studies)
    without = share(any((one.p or 0) < 0.05 for one in study) for study in studies)
    for seen, said in zip((with_holm, without), FALSE_FINDINGS[seeds], strict=True):
        assert seen == pytest.approx(said, abs=sqrt(2) * tolerance(said, DRAWS) + ROUNDED)
    assert with_holm < 0.05 + tolerance(0.05, DRAWS)


def test_real_effects_beside_them_make_no_more_false_findings() -> None:
    # four of seven differ by much, so that Holm's factor for the other three is three
    family: list[dict[Hashable, float]] = [{cell: 1.0, CUBE[0]: -1.0} for cell in CUBE[1:]]
    found = estimates(CUBE, draw(8, 3, DRAWS, sd=0.3, means=[0, 0, 0, 0, 3, 3, 3, 3], source=20), family)
    studies = [findings(each, 0.5) for each in zip(*found, strict=True)]
    assert share(any("difference" in one.text for one in study[:3]) for study in studies) < 0.05 + tolerance(
        0.05, DRAWS
    )
    assert share(all("difference" in one.text for one in study[3:]) for study in studies) > 0.99


def test_of_effects_just_within_the_margin_few_families_call_one_relevant() -> None:
    family: list[dict[Hashable, float]] = [{cell: 1.0, CUBE[0]: -1.0} for cell in CUBE[1:]]
    found = estimates(CUBE, draw(8, 3, DRAWS, sd=0.1, means=[0] + [0.5] * 7, source=21), family)
    studies = [findings(each, 0.5) for each in zip(*found, strict=True)]
    assert share(any(one.text == "relevant difference" for one in study) for study in studies) < 0.05


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("level", [0.90, 0.95])
def test_random_holes_leave_the_coverage_as_said(seeds: int, level: float) -> None:
    # a new pattern of missing runs in every study, through the fit itself
    chance, covered = np.random.default_rng(seeds), []
    for one in draw(8, seeds, 1500, sd=0.3, sd_seeds=2, source=30 + seeds):
        there = chance.random((8, seeds)) < 0.85
        there[:, 0] = True
        whole = fit((CUBE[c], s, float(one[c, s])) for c in range(8) for s in range(seeds) if there[c, s])
        if whole.df > 0:
            covered += [covers(whole.contrast(weights), 0, level) for weights in (MAIN, SIMPLE)]
    # two contrasts of one study fail together at times: counted as one
    assert share(covered) == pytest.approx(level, abs=tolerance(level, len(covered) // 2))


@pytest.mark.parametrize("seeds", SEEDS)
def test_intervals_over_seeds_and_images_cover(seeds: int) -> None:
    chance = np.random.default_rng(40 + seeds)
    thresholds: dict[Hashable, float] = {"a": 1.0, "b": 1.3, "c": 1.1, "d": 1.2}
    truth = true_accuracy(1.3, 0.03) - true_accuracy(1.0, 0.03)
    pair: dict[Hashable, float] = {"b": 1.0, "a": -1.0}
    both = [draw_images(thresholds, seeds, 300, chance, sd_runs=0.03).contrast(pair) for _ in range(800)]
    covered = share(covers(one, truth) for one in both if one is not None)
    # on the wide side where seeds are few
    assert 0.95 - tolerance(0.95, 800) < covered < 0.985


@pytest.mark.parametrize("seeds", [2, 5])
def test_an_even_spread_is_called_uneven_in_one_study_of_a_hundred(seeds: int) -> None:
    called = [
        uneven_spread(fit((cell, s, float(one[cell, s])) for cell in range(4) for s in range(seeds))) is not None
        for one in draw(4, seeds, 400, sd=0.3, source=50 + seeds)
    ]
    assert share(called) == pytest.approx(0.01, abs=tolerance(0.01, 400))


@pytest.mark.parametrize(("expected", "truth"), [("equal", 0.0), ("equal", 0.1), ("no_gain", 0.1), ("gain", 0.6)])
def test_at_the_seeds_needed_four_of_five_studies_are_decided(expected: Expectation, truth: float) -> None:
    # the truth is what the effect seemed, and the spread is known: both ends of the range are that number
    sd = 0.6
    today = Estimate(value=truth, se=sd * sqrt(2 / 3), df=14, n=3)
    needed = seeds_needed(today, expected, 0.5, sd=sd, df=10**9, cells=8, squared_weights=2)
    assert needed is not None
    assert needed.low is not None
    assert needed.low == needed.high
    decided = []
    for seeds in (needed.low - 1, needed.low):
        (found,) = estimates(CUBE, draw(8, seeds, DRAWS, sd=sd, means=[0] * 4 + [truth], source=60), [SIMPLE])
        decided.append(share(judge(one, expected, 0.5).verdict != "undecided" for one in found))
    assert decided[0] < 0.8 + 0.02
    assert decided[1] > 0.8 - 0.02
    assert decided[1] < 0.9
