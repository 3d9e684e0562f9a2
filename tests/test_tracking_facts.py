"""What W&B is told of a run: a name of what differs, flat columns, and the group of its sweep."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from conftest import TINY

from bnn_ablate.identity import ids_of
from bnn_ablate.store import Store
from bnn_ablate.study import Job, study_path
from bnn_ablate.study_axes import Axis, axes_of, cell_of, name_among
from bnn_ablate.tracked_facts import opening_facts
from bnn_ablate.tracking import tracker_for

GRID = [
    ["model.width=0.25", "scaling=none", "recipe.optimizer.lr=0.01", "seed=0"],
    ["model.width=0.25", "scaling=channel", "recipe.optimizer.lr=0.01", "seed=0"],
    ["model.width=0.25", "scaling=channel", "recipe.optimizer.lr=0.1", "seed=1"],
]


def jobs(*overrides: list[str]) -> list[Job]:
    return [Job(overrides=one, run_id=None) for one in overrides]


def test_axes_are_what_differs_seeds_aside_in_the_order_of_the_command_line():
    assert [axis.key for axis in axes_of(jobs(*GRID))] == ["scaling", "recipe.optimizer.lr"]
    # one factor at a time: who does not name an axis has its baseline
    factors = jobs([], ["+grad=approxsign"], ["recipe/optimizer=sgd"])
    assert [axis.key for axis in axes_of(factors)] == ["grad", "recipe/optimizer"]
    assert axes_of(jobs(GRID[0])) == []
    assert axes_of([]) == []


def test_a_column_has_no_sign_that_wandb_reads_otherwise():
    columns = [Axis(key).column for key in ("grad", "grad.clip", "recipe/optimizer")]
    assert columns == ["grad", "grad_clip", "recipe_optimizer"]


def test_an_axis_knows_its_value_in_a_configuration():
    config = {"grad": {"name": "ste", "clip": 1.3}, "recipe": {"optimizer": {"name": "sgd", "lr": 0.1}}}
    keys = ("grad", "grad.clip", "recipe/optimizer", "recipe.optimizer.lr", "growth.rate")
    assert [Axis(key).value(config) for key in keys] == ["ste", 1.3, "sgd", 0.1, None]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        (" ".join(GRID[1]), "scaling=channel recipe.optimizer.lr=0.01 seed=0"),
        ("scaling=channel seed=0", "scaling=channel seed=0"),  # a launcher that says only what differs
        ("baseline", "baseline"),
        ("the float network of pretrain=relu", "the float network of pretrain=relu"),
    ],
)
def test_a_name_says_what_differs_and_not_what_all_share(label, name):
    assert name_among(label, jobs(*GRID)) == name


def test_the_job_that_asks_nothing_of_its_own_is_the_baseline():
    assert name_among("data=digits", jobs(["data=digits"], ["data=digits", "grad=ste"])) == "baseline"


def test_a_single_run_is_named_by_all_it_asks():
    assert name_among("scaling=none seed=0", jobs(["scaling=none", "seed=0"])) == "scaling=none seed=0"
    assert name_among("scaling=none seed=0", []) == "scaling=none seed=0"


def test_a_cell_is_a_name_without_the_seed():
    assert cell_of("scaling=channel seed=1 grad.clip=1.3") == "scaling=channel grad.clip=1.3"
    assert cell_of("seed=1") == "baseline"


def test_columns_are_flat_and_hold_every_axis_that_the_sweep_varies(make_settings, tmp_path):
    settings = make_settings(*TINY, *GRID[1], "tracking=wandb", "study=lr", f"runs={tmp_path}")
    studies = Store(tmp_path).studies
    studies.mkdir()
    planned = [{"overrides": one, "run_id": None} for one in GRID]
    study_path(studies, "lr").write_text(json.dumps({"schema": 1, "name": "lr", "jobs": planned}))
    ids = ids_of(settings)
    facts = opening_facts(settings, ids, " ".join(GRID[1]), "train")
    config = facts["config"]
    assert facts["name"] == "scaling=channel recipe.optimizer.lr=0.01 seed=0"
    assert (facts["group"], facts["job_type"]) == ("lr", "train")
    assert {"scaling=channel", "grad=ste", "data=synthetic", "recipe=quick"} <= set(facts["tags"])
    assert config["cell"] == "scaling=channel recipe.optimizer.lr=0.01"
    assert config["recipe_optimizer_lr"] == 0.01
    assert (config["scaling"], config["grad"], config["seed"]) == ("channel", "ste", 0)
    assert (config["run_id"], config["cell_id"]) == (ids.run_id, ids.cell_id)
    assert all(not isinstance(value, dict) for key, value in config.items() if key != "settings")
    assert config["settings"]["recipe"]["optimizer"]["lr"] == 0.01


def test_a_run_without_a_label_is_named_by_its_id(make_settings, tmp_path):
    settings = make_settings(*TINY, "tracking=wandb", f"runs={tmp_path}")
    ids = ids_of(settings)
    facts = opening_facts(settings, ids, "", "train")
    assert (facts["name"], facts["config"]["cell"]) == (ids.run_id, ids.cell_id)


def test_long_names_and_tags_are_cut_to_what_wandb_takes(make_settings, tmp_path):
    settings = make_settings(*TINY, "tracking=wandb", f"runs={tmp_path}")
    long = replace(settings, model=replace(settings.model, name="x" * 100))
    facts = opening_facts(long, ids_of(long), "y" * 200, "train")
    assert facts["name"] == "y" * 128
    assert f"model={'x' * 58}" in facts["tags"]


def test_under_an_agent_the_run_is_the_agents_and_a_float_network_is_not_told(make_settings, monkeypatch, tmp_path):
    settings = make_settings(*TINY, "tracking=wandb", "tracking.mode=online", f"runs={tmp_path}")
    ids = ids_of(settings)
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    assert tracker_for(settings, ids, "", "pretrain").wandb_id == ids.run_id
    assert tracker_for(settings, ids, "", "pretrain").facts["job_type"] == "pretrain"
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "theirs")
    assert tracker_for(settings, ids, "", "train").wandb_id == "theirs"
    assert tracker_for(settings, ids, "", "pretrain") is None
    assert tracker_for(make_settings(*TINY), ids, "", "train") is None
