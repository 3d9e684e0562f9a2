"""Which jobs a swept command line asks for."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from bnn_ablate.settings import SettingsError
from bnn_ablate.sweep.expand import grid, one_factor


def parsed(*overrides: str):
    return OverridesParser.create().parse_overrides(list(overrides))


def test_a_grid_is_every_combination_with_the_last_override_varying_fastest():
    assert grid(parsed("scaling=none,channel", "model.width=0.25", "seed=0,1")) == [
        ("scaling=none", "model.width=0.25", "seed=0"),
        ("scaling=none", "model.width=0.25", "seed=1"),
        ("scaling=channel", "model.width=0.25", "seed=0"),
        ("scaling=channel", "model.width=0.25", "seed=1"),
    ]


def test_a_later_override_replaces_an_earlier_one_so_the_command_line_wins_over_a_file():
    assert grid(parsed("seed=0,1,2", "grad=ste", "seed=5")) == [("seed=5", "grad=ste")]


@pytest.mark.parametrize(
    ("override", "jobs"),
    [
        ("seed=range(3)", [("seed=0",), ("seed=1",), ("seed=2",)]),
        ("seed=choice(4)", [("seed=4",)]),
        ("model.channels=[8,16]", [("model.channels=[8,16]",)]),
        ("model.channels=[8,16],[4,8]", [("model.channels=[8,16]",), ("model.channels=[4,8]",)]),
        ("+x=1,2", [("+x=1",), ("+x=2",)]),
        ("~tracking", [("~tracking",)]),
    ],
)
def test_lists_ranges_additions_and_deletions_are_what_hydra_takes_them_for(override, jobs):
    assert grid(parsed(override)) == jobs


def test_no_override_is_one_job():
    assert grid([]) == [()]


def test_a_range_of_real_numbers_is_refused():
    with pytest.raises(SettingsError, match=r"recipe\.optimizer\.lr=interval\(0,1\) has no list of values"):
        grid(parsed("recipe.optimizer.lr=interval(0,1)"))


def test_one_factor_is_the_baseline_and_each_value_alone_for_every_seed():
    asked = parsed("scaling=none,channel", "grad=approxsign,ede", "model.width=0.25", "seed=0,1")
    assert one_factor(asked, factors=(), crossed=("seed",)) == [
        ("model.width=0.25", "seed=0"),
        ("model.width=0.25", "seed=0", "scaling=none"),
        ("model.width=0.25", "seed=0", "scaling=channel"),
        ("model.width=0.25", "seed=0", "grad=approxsign"),
        ("model.width=0.25", "seed=0", "grad=ede"),
        ("model.width=0.25", "seed=1"),
        ("model.width=0.25", "seed=1", "scaling=none"),
        ("model.width=0.25", "seed=1", "scaling=channel"),
        ("model.width=0.25", "seed=1", "grad=approxsign"),
        ("model.width=0.25", "seed=1", "grad=ede"),
    ]


def test_a_factor_that_a_file_names_may_have_one_value():
    asked = parsed("scaling=channel", "grad=ste")
    assert one_factor(asked, factors=("scaling",), crossed=("seed",)) == [
        ("grad=ste",),
        ("grad=ste", "scaling=channel"),
    ]


def test_what_is_crossed_is_no_factor():
    asked = parsed("scaling=none,channel", "model=resnet_e18,resnet_e34", "seed=3")
    assert one_factor(asked, factors=("scaling", "seed"), crossed=("seed", "model")) == [
        ("model=resnet_e18", "seed=3"),
        ("model=resnet_e18", "seed=3", "scaling=none"),
        ("model=resnet_e18", "seed=3", "scaling=channel"),
        ("model=resnet_e34", "seed=3"),
        ("model=resnet_e34", "seed=3", "scaling=none"),
        ("model=resnet_e34", "seed=3", "scaling=channel"),
    ]


def test_one_factor_without_a_factor_is_refused():
    with pytest.raises(SettingsError, match="needs something to vary"):
        one_factor(parsed("scaling=channel", "seed=0,1"), factors=(), crossed=("seed",))
