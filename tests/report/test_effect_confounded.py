"""Cells that differ in more than the axis of an effect: told beside the effect, unless the option brings it along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from effect_factories import Outcomes, cell_of, effects_by
from factories import make_record

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.values import Effect, StudyEffects
from bnn_ablate.report.tables import make_table

MINUS_ONE: dict[str, Any] = {"padding": {"name": "minus_one", "side": "symmetric"}}
ZERO: dict[str, Any] = {"padding": {"name": "zero", "side": "symmetric"}}


def effects_of(*cells: Cell) -> StudyEffects:
    effects = effects_by(make_table("s", cells), None)
    assert effects is not None
    return effects


def lr(value: float) -> dict[str, Any]:
    return {"recipe": {"optimizer": {"name": "adam", "lr": value}}}


def remarks(effects: Sequence[Effect]) -> list[tuple[str, ...]]:
    """Those on settings, of each effect."""
    return [tuple(one for one in effect.remarks if one.startswith("also differs")) for effect in effects]


def test_a_default_that_has_changed_between_two_cells_is_told() -> None:
    effects = effects_of(
        cell_of("scaling=none", [5, 6, 7], **lr(0.01)), cell_of("scaling=xnor", [6, 8, 8], **lr(0.001))
    )
    assert remarks(effects.simple) == [("also differs in recipe.optimizer.lr",)]
    assert effects.simple[0].estimate.value == pytest.approx(40 / 3)


def test_of_many_settings_three_are_named() -> None:
    other = {"recipe": {"epochs": 20, "batch_size": 32, "optimizer": {"name": "sgd", "lr": 0.1}}}
    effects = effects_of(cell_of("scaling=none", [5, 6]), cell_of("scaling=xnor", [6, 8], **other))
    told = "also differs in recipe.epochs, recipe.batch_size, recipe.optimizer and 1 more"
    assert remarks(effects.simple) == [(told,)]


def test_the_fields_of_an_option_are_its_own() -> None:
    ste = cell_of("grad=ste", [5, 6], grad={"name": "ste", "clip": 1.0})
    # what the factory merges: the name and another clip
    record = [make_record(seed=seed, correct=7 + seed, grad={"name": "approxsign", "clip": 1.3}) for seed in (0, 1)]
    assert remarks(effects_of(ste, cell_of("grad=approxsign", record)).simple) == [()]


def test_what_an_option_brings_along_is_its_own_too() -> None:
    """conf/activations/float.yaml overrides the padding."""
    cells = cell_of("activations=sign", [5, 6], **MINUS_ONE), cell_of("activations=float", [8, 9], **ZERO)
    assert remarks(effects_of(*cells).simple) == [()]
    slow = cell_of("activations=float", [8, 9], **ZERO, **lr(0.001))
    assert remarks(effects_of(cells[0], slow).simple) == [("also differs in recipe.optimizer.lr",)]
    by_scaling = cell_of("scaling=none", [5, 6], **MINUS_ONE), cell_of("scaling=xnor", [8, 9], **ZERO)
    assert remarks(effects_of(*by_scaling).simple) == [("also differs in padding",)]


def test_of_an_option_that_is_not_in_conf_nobody_knows_what_it_brings() -> None:
    cells = cell_of("activations=sign", [5, 6], **MINUS_ONE), cell_of("activations=mine", [8, 9], **ZERO)
    assert remarks(effects_of(*cells).simple) == [("also differs in padding",)]


def test_one_number_in_two_spellings_and_names_of_sizes_are_no_difference() -> None:
    cells = (
        cell_of("scaling=none", [5, 6], model={"width": 1}),
        cell_of("scaling=xnor", [6, 7], model={"width": 1.0, "name": "mine"}),
    )
    assert remarks(effects_of(*cells).simple) == [()]


def test_in_a_grid_a_setting_that_goes_with_one_axis_is_told_beside_its_effects_alone() -> None:
    def cell(scaling: str, grad: str, right: list[int], value: float) -> Cell:
        return cell_of(f"scaling={scaling} grad={grad}", right, **lr(value))

    with_scaling = effects_of(
        cell("none", "ste", [5, 6, 7], 0.01),
        cell("none", "approxsign", [6, 7, 9], 0.01),
        cell("xnor", "ste", [6, 8, 8], 0.001),
        cell("xnor", "approxsign", [4, 5, 5], 0.001),
    )
    told = ("also differs in recipe.optimizer.lr",)
    assert remarks(with_scaling.simple) == [told, ()]
    assert remarks(with_scaling.main) == [told, ()]
    assert remarks(with_scaling.interactions) == [()]  # which the axis and the setting share
    in_one_cell = effects_of(
        cell("none", "ste", [5, 6, 7], 0.01),
        cell("none", "approxsign", [6, 7, 9], 0.01),
        cell("xnor", "ste", [6, 8, 8], 0.01),
        cell("xnor", "approxsign", [4, 5, 5], 0.001),
    )
    assert remarks(in_one_cell.simple) == [(), ()]
    assert remarks(in_one_cell.main) == [told, told]
    assert remarks(in_one_cell.interactions) == [told]


def of_version(outcomes: Outcomes, version: int, scaling: str) -> Cell:
    records = [
        replace(make_record(seed=seed, correct=right, scaling=scaling), results_version=version)
        for seed, right in enumerate(outcomes)
        if isinstance(right, int)
    ]
    return cell_of(f"scaling={scaling}", records)


def test_results_of_two_versions_are_not_compared() -> None:
    effects = effects_of(of_version([5, 6, 7], 1, "none"), of_version([6, 8, 8], 2, "xnor"))
    assert effects.simple == ()
    assert (
        "Results of different versions are fitted apart, and the older ones can be run again. Not estimated: "
        "scaling=xnor." in effects.notes
    )
    assert not any(note.startswith("Nothing repeats") for note in effects.notes)  # it does, in each cell


def test_cells_on_different_test_images_are_not_compared() -> None:
    others = [make_record(seed=seed, correct=7, scaling="xnor") for seed in (0, 1, 2)]
    others = [replace(one, data=replace(one.data, checksum="e" * 64)) for one in others]
    effects = effects_of(
        cell_of("scaling=none", [5, 6, 7]), cell_of("scaling=xnor", others), cell_of("scaling=learned", [6, 7, 7])
    )
    assert [effect.after for effect in effects.simple] == [("learned",)]
    assert any(
        note.startswith("Cells on different test images are fitted apart") and "scaling=xnor" in note
        for note in effects.notes
    )
