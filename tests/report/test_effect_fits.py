"""What shares a fit: networks of one kind on the same images; where the spread is uneven, an effect's own cells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from effect_factories import Outcomes, cell_of, effects_by, table_of
from factories import make_record
from scipy.stats import ttest_rel

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.estimates import FittedApartError, estimator_of
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.stats.blocks import NotEstimableError
from bnn_ablate.report.tables import make_table

BINARY: dict[str, Any] = {"weights": {"name": "sign"}, "activations": {"name": "sign"}}
FLOAT: dict[str, Any] = {"weights": {"name": "float"}, "activations": {"name": "float"}}
WILD = [0, 10, 0, 10, 1, 9]
#: A cell that spreads far more than five others, with six seeds.
UNEVEN: dict[str, Outcomes] = {
    **{
        f"scaling={scaling} grad={grad}": [5, 5, 6, 5, 6, 5]
        for scaling in ("none", "xnor", "learned")
        for grad in ("ste", "approxsign")
    },
    "scaling=none grad=approxsign": [5, 6, 6, 6, 6, 5],
    "scaling=learned grad=ste": WILD,
}


def effects_of(*cells: Cell) -> StudyEffects:
    effects = effects_by(make_table("s", cells), None)
    assert effects is not None
    return effects


def two_kinds() -> list[Cell]:
    """Binary networks of two scalings, and one in floats that spreads ten times as far."""
    return [
        cell_of("weights=sign activations=sign scaling=none", [5, 6, 5]),
        cell_of("weights=sign activations=sign scaling=xnor", [6, 6, 6]),
        cell_of("weights=float activations=float scaling=none", [1, 10, 3]),
        cell_of("weights=float activations=float scaling=xnor", [10, 2, 6]),
    ]


def test_float_networks_have_no_part_in_the_spread_of_binary_ones() -> None:
    effects = effects_of(*two_kinds())
    (effect,) = effects.simple
    expected = ttest_rel([60, 60, 60], [50, 60, 50])
    low, high = expected.confidence_interval(0.95)
    assert effect.p == pytest.approx(expected.pvalue)
    assert effect.estimate.interval(0.95) == pytest.approx((low, high))
    assert effects.df == 2
    assert effects.main == ()  # of the cells that are fitted with the baseline only one axis is left


def test_an_effect_between_binary_and_float_networks_is_in_another_table() -> None:
    cells = [cell_of("precision=sign", [5, 6, 7], **BINARY), cell_of("precision=float", [9, 9, 10], **FLOAT)]
    effects = effects_of(*cells)
    assert effects.simple == ()
    (note,) = (note for note in effects.notes if note.startswith("Float and binary networks are fitted apart"))
    assert note.endswith('in the table "Binary against float". Not estimated: precision=float.')


def test_a_network_with_one_of_both_in_floats_is_fitted_with_the_binary_ones() -> None:
    cells = [
        cell_of("activations=sign", [5, 6, 7], weights="sign"),
        cell_of("activations=float", [9, 9, 10], weights="sign"),
    ]
    assert effects_of(*cells).simple[0].estimate.value == pytest.approx(100 / 3)


def test_means_and_interactions_are_over_the_cells_that_are_fitted_with_the_baseline() -> None:
    seeds = {"none ste": [5, 6, 7], "none ede": [6, 7, 8], "xnor ste": [6, 8, 8], "xnor ede": [4, 4, 5]}
    cells = []
    for kind, weights in (("sign", BINARY), ("float", FLOAT)):
        for name, right in seeds.items():
            scaling, grad = name.split()
            words = f"precision={kind} scaling={scaling} grad={grad}"
            cells.append(cell_of(words, right if kind == "sign" else [10 - one for one in right], **weights))
    effects = effects_of(*cells)
    # as in the study of the binary cells alone: scaling +13.33 and -26.67, grad +10 and -30
    assert [effect.axes for effect in effects.main] == [("scaling",), ("grad",)]
    assert [effect.estimate.value for effect in effects.main] == pytest.approx([-20 / 3, -10])
    assert [effect.estimate.value for effect in effects.interactions] == pytest.approx([-40])
    assert "Main effects and interactions are over the cells that are fitted with the baseline." in effects.notes


def test_where_one_cell_spreads_further_each_effect_is_of_its_own_cells() -> None:
    table = table_of(UNEVEN)
    effects = effects_by(table, None)
    assert effects is not None
    found = {(effect.axes, effect.after): effect.estimate for effect in effects.simple}
    for key, other in ((("scaling",), ("learned",)), WILD), ((("grad",), ("approxsign",)), [5, 6, 6, 6, 6, 5]):
        paired = ttest_rel([10 * one for one in other], [50, 50, 60, 50, 60, 50])
        low, high = paired.confidence_interval(0.95)
        assert found[key].interval(0.95) == pytest.approx((low, high))
        assert found[key].df == 5


def test_the_interval_with_images_is_of_the_same_cells() -> None:
    effects = effects_by(table_of(UNEVEN), None)
    assert effects is not None
    xnor, learned, grad = effects.simple
    assert (xnor.finding, xnor.with_images) == ("no spread seen", None)  # its two cells are alike in each seed
    for effect in (learned, grad):
        assert effect.with_images is not None
        assert effect.with_images.se is not None
        assert effect.estimate.se is not None
        assert effect.with_images.value == pytest.approx(effect.estimate.value)
        assert effect.with_images.se >= effect.estimate.se


def test_an_even_study_is_one_fit() -> None:
    even: dict[str, Outcomes] = {"scaling=none": [5, 6, 7], "scaling=xnor": [6, 8, 8], "scaling=learned": [5, 5, 7]}
    estimator = estimator_of(table_of(even).cells)
    assert estimator.estimate({0: -1.0, 1: 1.0}).df == 4  # 9 runs - 3 cells - 3 seeds + 1
    assert estimator.fit_of({0: -1.0, 1: 1.0}).df == 4


def test_why_cells_are_not_compared_is_the_message() -> None:
    estimator = estimator_of(two_kinds())
    with pytest.raises(FittedApartError, match="binary and float networks are fitted apart"):
        estimator.estimate({0: -1.0, 2: 1.0})
    nothing = estimator_of([cell_of("scaling=none", [5, 6]), cell_of("scaling=xnor", [None])])
    with pytest.raises(NotEstimableError, match="there is no run of 1"):
        nothing.estimate({0: -1.0, 1: 1.0})


def test_seeds_of_one_cell_on_different_images_are_told() -> None:
    cells = []
    for scaling in ("none", "xnor"):
        records = [make_record(seed=seed, correct=5 + seed, scaling=scaling) for seed in range(4)]
        records[2:] = [replace(one, data=replace(one.data, checksum="f" * 64)) for one in records[2:]]
        cells.append(cell_of(f"scaling={scaling}", records))
    told = "Runs of one cell were tested on different images, and its mean is over them: scaling=none; scaling=xnor."
    assert told in effects_of(*cells).notes
    assert told not in effects_of(*two_kinds()).notes
