"""The share of chance in the test images: a two-way table by loops, and what images cannot stand in for."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from bnn_ablate.record import pack_bits
from bnn_ablate.report.stats.blocks import Fit, NotEstimableError, fit
from bnn_ablate.report.stats.images import bits_from_base64, fit_images

Bits = dict[tuple[Hashable, Hashable], NDArray[np.bool_]]

NUM_IMAGES = 60
EFFECT: Mapping[Hashable, float] = {"b": 1, "a": -1}


def drawn_bits(source: int, seeds: int = 4, cells: str = "ab") -> Bits:
    """Images that differ in difficulty, and suit one cell more than another."""
    draw = np.random.default_rng(source)
    difficulty = draw.normal(0, 1, NUM_IMAGES)
    found: Bits = {}
    for cell in cells:
        suited = difficulty + draw.normal(0.5, 0.8, NUM_IMAGES)
        for seed in range(seeds):
            found[cell, seed] = suited + draw.normal(0, 0.1) + draw.normal(0, 0.7, NUM_IMAGES) > 0
    return found


def fit_of(bits: Bits) -> Fit:
    return fit((cell, seed, 100 * float(right.mean())) for (cell, seed), right in bits.items())


@pytest.mark.parametrize("source", range(3))
def test_a_complete_pair_is_the_two_way_table_of_its_differences(source: int) -> None:
    bits = drawn_bits(source)
    found = fit_images(fit_of(bits), bits).contrast(EFFECT)
    # one difference an image and seed; analysis of variance of seeds x images, by loops
    table = [[100.0 * (int(bits["b", s][i]) - int(bits["a", s][i])) for i in range(NUM_IMAGES)] for s in range(4)]
    whole = sum(map(sum, table)) / (4 * NUM_IMAGES)
    of_seed = [sum(row) / NUM_IMAGES for row in table]
    of_image = [sum(table[s][i] for s in range(4)) / 4 for i in range(NUM_IMAGES)]
    ms_seeds = NUM_IMAGES * sum((mean - whole) ** 2 for mean in of_seed) / 3
    ms_images = 4 * sum((mean - whole) ** 2 for mean in of_image) / (NUM_IMAGES - 1)
    rest = sum((table[s][i] - of_seed[s] - of_image[i] + whole) ** 2 for s in range(4) for i in range(NUM_IMAGES)) / (
        3 * (NUM_IMAGES - 1)
    )
    assert ms_images > rest
    assert found is not None
    assert found.value == pytest.approx(whole)
    assert found.se == pytest.approx(sqrt((ms_seeds + ms_images - rest) / (4 * NUM_IMAGES)), rel=1e-9)
    # squares of half-widths add: t(3, 0.975) = 3.182 and t(59, 0.975) = 2.001, as printed
    half_width = sqrt((3.182**2 * ms_seeds + 2.001**2 * (ms_images - rest)) / (4 * NUM_IMAGES))
    assert found.interval(0.95) == pytest.approx((whole - half_width, whole + half_width), rel=1e-3)
    assert found.n == 4


def test_missing_runs_weigh_images_as_the_fit_weighs_runs() -> None:
    bits = drawn_bits(5, seeds=5, cells="abc")
    del bits["a", 0], bits["b", 1], bits["b", 2]
    design = fit_of(bits)
    found = fit_images(design, bits).contrast(EFFECT)
    over_seeds = design.contrast(EFFECT)
    assert over_seeds.se is not None
    weights = {
        (cell, seed): design.run_weights(EFFECT)[design.cells.index(cell), design.seeds.index(seed)]
        for cell, seed in bits
    }
    of_image = [sum(100 * w * int(bits[run][i]) for run, w in weights.items()) for i in range(NUM_IMAGES)]
    spread = float(np.var(of_image, ddof=1))

    rest = 0.0
    for seed in range(5):
        beyond = np.zeros(NUM_IMAGES)
        for cell in "abc":
            if (cell, seed) in bits:
                runs = np.array([100.0 * bits[run] for run in bits if run[0] == cell])
                own = 100.0 * bits[cell, seed] - runs.mean(axis=0)
                beyond += weights[cell, seed] * sqrt(len(runs) / (len(runs) - 1)) * (own - own.mean())
        rest += float((beyond**2).sum()) / (NUM_IMAGES - 1)
    assert spread > rest
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(over_seeds.value), 3)
    assert found.se == pytest.approx(sqrt(over_seeds.se**2 + (spread - rest) / NUM_IMAGES), rel=1e-9)


def test_images_that_add_nothing_leave_the_interval_over_seeds() -> None:
    # each image is right or wrong by the luck of the run alone
    draw = np.random.default_rng(2)
    bits: Bits = {(cell, seed): draw.random(NUM_IMAGES) < 0.5 for cell in "ab" for seed in range(4)}
    design = fit_of(bits)
    assert fit_images(design, bits).contrast(EFFECT) == design.contrast(EFFECT)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_images_never_make_an_interval_narrower(seeds: int) -> None:
    for source in range(15):
        bits = drawn_bits(source, seeds)
        design = fit_of(bits)
        found, over_seeds = fit_images(design, bits).contrast(EFFECT), design.contrast(EFFECT)
        if over_seeds.no_spread:
            continue
        assert found is not None
        for level in (0.90, 0.95):
            wider, narrower = found.interval(level), over_seeds.interval(level)
            assert wider is not None
            assert narrower is not None
            assert wider[1] - wider[0] >= 0.98 * (narrower[1] - narrower[0])
            if level == 0.95:
                assert wider[1] - wider[0] >= (narrower[1] - narrower[0]) * (1 - 1e-9)


def test_a_cell_with_one_run_errs_on_the_wide_side() -> None:
    # nothing of its luck with single images can be told from the images themselves, so nothing is taken off
    bits = drawn_bits(3, seeds=3, cells="abc")
    del bits["b", 1], bits["b", 2]
    design = fit_of(bits)
    found, over_seeds = fit_images(design, bits).contrast(EFFECT), design.contrast(EFFECT)
    assert found is not None
    assert found.se is not None
    assert over_seeds.se is not None
    of_runs = design.run_weights(EFFECT)
    beyond_b = np.var(100.0 * bits["b", 0], ddof=1) / NUM_IMAGES
    assert of_runs[design.cells.index("b"), 0] == pytest.approx(1)
    assert found.se**2 - over_seeds.se**2 > 0.2 * beyond_b


@pytest.mark.parametrize("seeds", [1, 2])
def test_images_do_not_stand_in_for_seeds(seeds: int) -> None:
    # one seed; or two that got equally many right, so that chance was not seen
    bits = drawn_bits(0, seeds=1)
    if seeds == 2:
        bits |= {(cell, 1): right[::-1] for (cell, _), right in bits.items()}
    assert fit_images(fit_of(bits), bits).contrast(EFFECT) is None


def test_designs_that_cannot_answer_are_refused_as_by_the_fit() -> None:
    bits = drawn_bits(0, seeds=2)
    bits = {("a", 0): bits["a", 0], ("b", 1): bits["b", 1]}
    with pytest.raises(NotEstimableError):
        fit_images(fit_of(bits), bits).contrast(EFFECT)


def test_bits_that_do_not_belong_to_the_fit_are_refused() -> None:
    bits = drawn_bits(0, seeds=2)
    design = fit_of(bits)
    with pytest.raises(ValueError, match="images of cell b, seed 1 are missing"):
        fit_images(design, {run: right for run, right in bits.items() if run != ("b", 1)})
    with pytest.raises(ValueError, match="cell b, seed 1 has 59 images, not 60"):
        fit_images(design, bits | {("b", 1): bits["b", 1][:-1]})
    with pytest.raises(ValueError, match="right images of cell b, seed 1 do not make"):
        fit_images(design, bits | {("b", 1): ~bits["b", 1]})


@pytest.mark.parametrize("num_images", [1, 7, 8, 9, 64, 1797])
def test_the_bits_of_a_record_are_read_in_its_order(num_images: int) -> None:
    draw = np.random.default_rng(num_images)
    correct = [bool(bit) for bit in draw.random(num_images) < 0.5]
    found = bits_from_base64(pack_bits(correct), num_images)
    assert found.dtype == np.bool_
    assert found.tolist() == correct


def test_too_few_or_too_many_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="1 bytes do not hold one bit for each of 9 images"):
        bits_from_base64(pack_bits([True] * 8), 9)
    with pytest.raises(ValueError, match="2 bytes do not hold one bit for each of 8 images"):
        bits_from_base64(pack_bits([True] * 9), 8)
