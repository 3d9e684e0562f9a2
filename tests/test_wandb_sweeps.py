"""Every sweep file of W&B asks for runs that there are, in a command that an agent can run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import composed
from wandb_sweeps import GridSweep

from bnn_ablate.job import settings_of
from bnn_ablate.settings import SettingsError
from bnn_ablate.wandb_access import check_agent

SWEEPS = Path(__file__).parent.parent / "sweeps"
NAMES = ("ablation_post_cifar10_narrow", "ablation_post_digits")


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((SWEEPS / "wandb" / f"{name}.yaml").read_text())


def test_there_are_sweep_files():
    assert sorted(path.stem for path in (SWEEPS / "wandb").iterdir()) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_is_the_programs_own(name):
    content = read(name)
    command = content["command"]
    assert command[:4] == ["${env}", "${interpreter}", "-m", "bnn_ablate"]
    assert command[-1] == "${args_no_hyphens}"
    assert {"tracking.mode=online", f"study={name}_agents"} <= set(command[4:-1])
    assert content["name"] == name
    assert content["metric"] == {"name": "top1", "goal": "maximize"}


@pytest.mark.parametrize("name", NAMES)
def test_agents_train_the_runs_of_the_sweep_of_the_same_name(name):
    theirs = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())["hydra"]["sweeper"]["params"]
    content = read(name)
    axes = {key: one["values"] for key, one in content["parameters"].items() if "values" in one}
    assert {key: ",".join(map(str, values)) for key, values in axes.items()} == theirs
    fixed = content["command"][4:-1]
    cells = [cell.args for cell in GridSweep(yaml.safe_dump(content, sort_keys=False)).cells]
    assert len(cells) == 8 * len(axes["seed"])
    for cell in (cells[0], cells[-1]):  # between them, both values of each axis
        ours = settings_of(composed(*fixed, *(f"{key}={one['value']}" for key, one in cell.items())))
        varied = (f"{key}={cell[key]['value']}" for key in axes)
        expected = settings_of(composed(f"+sweeps={name}", "tracking.mode=online", "data.download=true", *varied))
        # a sweep's jobs are told apart by what was asked for, which here is more: in one table they would stand twice
        expected = replace(expected, study=f"{name}_agents")
        if "data.download=true" not in fixed:
            expected = replace(expected, data=replace(expected.data, download=False))
        assert ours == expected


def test_an_agent_of_another_project_is_refused(make_settings, monkeypatch):
    settings = make_settings("tracking.mode=online", "tracking.project=bits")
    monkeypatch.delenv("WANDB_SWEEP_ID", raising=False)
    monkeypatch.setenv("WANDB_PROJECT", "other")
    check_agent(settings)  # no agent's: the project is the settings'
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "run1")
    with pytest.raises(SettingsError, match=r"tracking\.project=bits .* project other"):
        check_agent(settings)
    monkeypatch.setenv("WANDB_PROJECT", "bits")
    check_agent(settings)


def test_an_agent_of_an_offline_run_is_refused(make_settings, monkeypatch):
    settings = make_settings("tracking.mode=offline")
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_RUN_ID", "run1")
    with pytest.raises(SettingsError, match=r"tracking\.mode=offline .* agent"):
        check_agent(settings)
