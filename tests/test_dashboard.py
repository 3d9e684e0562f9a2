"""W&B's pages for a sweep: its axes and nothing else, made offline or saved, and errors that are sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dashboard_pages import JOBS, begin_run, panels_of, write_sweep

from bnn_ablate.dashboard.__main__ import main
from bnn_ablate.study import Job


@pytest.fixture
def runs(tmp_path) -> Path:
    write_sweep(tmp_path, "lr", [Job(overrides=overrides, run_id=None) for overrides in JOBS])
    return tmp_path


# --- errors ---


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "sweep=NAME is missing"),
        (["lr"], "lr is not an argument: give sweep=, runs=, project=, entity= or --dry-run"),
        (["sweep="], "sweep= is not an argument"),
        (["sweep=lr", "sweep=lr"], "sweep= can be given once"),
    ],
)
def test_a_wrong_command_is_told(arguments, sentence, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


def test_an_unknown_sweep_names_the_known_ones(runs, capsys):
    write_sweep(runs, "another", [])
    assert main(["sweep=rl", f"runs={runs}"]) == 1
    assert capsys.readouterr().err == f"error: sweep=rl: {runs} has no sweep of this name; choose one of another, lr\n"


def test_a_folder_without_sweeps_says_so(tmp_path, capsys):
    assert main(["sweep=lr", f"runs={tmp_path / 'none'}"]) == 1
    assert "has no sweep of this name; it has none yet" in capsys.readouterr().err


def test_a_sweep_over_seeds_alone_has_nothing_to_compare(runs, capsys):
    write_sweep(runs, "seeds", [Job(overrides=[f"seed={seed}"], run_id=None) for seed in range(3)])
    assert main(["sweep=seeds", f"runs={runs}"]) == 1
    assert capsys.readouterr().err.startswith("error: sweep=seeds: its runs differ in no axis")


def test_a_project_that_the_runs_do_not_tell_is_asked_for(runs, capsys):
    assert main(["sweep=lr", f"runs={runs}"]) == 1
    assert capsys.readouterr().err == "error: sweep=lr: its runs have not begun; give project=NAME\n"
    ids = ["a" * 12, "b" * 12]
    write_sweep(runs, "lr", [Job(overrides=JOBS[i], run_id=ids[i]) for i in range(2)])
    begin_run(runs, ids[0], "one")
    begin_run(runs, ids[1], "two")
    assert main(["sweep=lr", f"runs={runs}"]) == 1
    assert capsys.readouterr().err == "error: sweep=lr: its runs went to the projects one, two; give project=NAME\n"


def test_a_damaged_configuration_is_named(runs, capsys):
    write_sweep(runs, "lr", [Job(overrides=JOBS[0], run_id="a" * 12), Job(overrides=JOBS[1], run_id=None)])
    begin_run(runs, "a" * 12, "[")
    assert main(["sweep=lr", f"runs={runs}"]) == 1
    assert f"{runs / ('a' * 12) / 'config.yaml'} is damaged" in capsys.readouterr().err


def test_a_missing_extra_is_told_with_the_command_that_brings_it(runs, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert main(["sweep=lr", f"runs={runs}", "project=bits", "--dry-run"]) == 1
    assert capsys.readouterr().err == "error: wandb-workspaces is not installed: pip install -e '.[dashboard]'\n"


def test_help_needs_neither_torch_nor_wandb():
    code = (
        "import sys; from bnn_ablate.dashboard.__main__ import main; main(['--help'])\n"
        "assert not {'torch', 'wandb', 'pytorch_lightning'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("python -m bnn_ablate.dashboard sweep=NAME")


# --- pages ---


@pytest.fixture
def workspaces() -> None:
    pytest.importorskip("wandb_workspaces", reason="the extra `dashboard` is not installed")


@pytest.fixture
def pages(workspaces, runs, monkeypatch, capsys) -> dict[str, Any]:
    """What a dry run prints, without a key, and with no server to be had."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(runs / "netrc"))
    write_sweep(runs, "lr", [Job(overrides=overrides, run_id="a" * 12) for overrides in JOBS])
    begin_run(runs, "a" * 12, "bits")
    assert main(["sweep=lr", f"runs={runs}", "--dry-run"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("page", ["workspace", "report"])
def test_each_axis_has_bars_with_an_error_and_seeds_are_no_axis(pages, page):
    bars = [panel["config"] for panel in panels_of(pages[page]) if panel["viewType"] == "Bar Chart"]
    shown = {(bar["groupBy"], bar["metrics"][0], bar["groupAgg"], bar["groupArea"]) for bar in bars}
    assert shown == {
        ("scaling.value", "summary_metrics.top1", "mean", "stderr"),
        ("recipe_optimizer_lr.value", "summary_metrics.top1", "mean", "stderr"),
        ("cell.value", "summary_metrics.top1", "mean", "stddev"),
        ("cell.value", "summary_metrics.packed_top1", "mean", "stddev"),
    }


@pytest.mark.parametrize("page", ["workspace", "report"])
def test_coordinates_importance_and_costs_are_shown(pages, page):
    panels = {panel["viewType"]: panel["config"] for panel in panels_of(pages[page])}
    accessors = [column["accessor"] for column in panels["Parallel Coordinates Plot"]["columns"]]
    assert accessors == ["config:scaling.value", "config:recipe_optimizer_lr.value", "summary:top1"]
    assert panels["Parameter Importance"]["targetKey"] == "top1"
    plots = [panel["config"] for panel in panels_of(pages[page]) if panel["viewType"] == "Scatter Plot"]
    assert [(plot["xAxis"], plot["yAxis"]) for plot in plots] == [
        ("summary:size_mib", "summary:top1"),
        ("summary:macs_combined", "summary:top1"),
        ("summary:latency_ms", "summary:packed_top1"),
    ]


def test_only_the_trained_runs_of_the_sweep_are_shown(pages):
    (runset,) = pages["workspace"]["spec"]["section"]["runSets"]
    grids = [block for block in pages["report"]["spec"]["blocks"] if block["type"] == "panel-grid"]
    for one in (runset, *(grid["metadata"]["runSets"][0] for grid in grids)):
        conditions = [(item["key"]["name"], item["op"], item["value"]) for item in one["filters"]["filters"]]
        assert conditions == [("group", "=", "lr"), ("jobType", "=", "train")]
    assert pages["workspace"]["project"] == "bits"
    assert pages["report"]["project"]["name"] == "bits"
