"""W&B's pages for a sweep, saved by a server of our own; needs the extra `dashboard`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dashboard_pages import JOBS, panels_of, write_sweep
from wandb_server import WandbServer

from bnn_ablate.dashboard.__main__ import main
from bnn_ablate.study import Job

pytest.importorskip("wandb_workspaces", reason="the extra `dashboard` is not installed")
pytest_plugins = ["online_runs"]


@pytest.fixture
def runs(tmp_path) -> Path:
    write_sweep(tmp_path, "lr", [Job(overrides=overrides, run_id=None) for overrides in JOBS])
    return tmp_path


def dashboard(server: WandbServer, runs: Path, *arguments: str) -> Any:
    """The command in a process of its own that knows this server and nothing else of W&B."""
    command = [sys.executable, "-m", "bnn_ablate.dashboard", "sweep=lr", f"runs={runs}", *arguments]
    return subprocess.run(
        command, env=server.environment(runs), capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )


def test_both_pages_are_saved_in_the_project(runs, server):
    done = dashboard(server, runs, "project=bits")
    assert done.returncode == 0, done.stderr
    assert f"report: {server.url}/someone/bits/reports/" in done.stdout
    assert f"workspace: {server.url}/someone/bits?nw=" in done.stdout
    assert server.unknown == []
    assert {(saved["type"], saved["projectName"], saved["entityName"]) for saved in server.pages.saved} == {
        ("runs", "bits", "someone"),
        ("project-view", "bits", "someone"),
    }
    for saved in server.pages.saved:
        assert len(panels_of(json.loads(saved["spec"]))) >= 8


def test_a_project_that_is_not_there_is_told_and_nothing_is_saved(runs, server):
    done = dashboard(server, runs, "project=elsewhere")
    assert done.returncode == 1
    assert "error: W&B did not take the dashboard of lr in project elsewhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert server.pages.saved == []


def test_saving_needs_a_key_and_a_server(runs, server, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert main(["sweep=lr", f"runs={runs}", "project=bits"]) == 1
    assert capsys.readouterr().err.startswith("error: W&B needs the environment variable WANDB_API_KEY")
    server.close()
    done = dashboard(server, runs, "project=bits")
    assert done.returncode == 1
    assert f"error: the W&B server {server.url} cannot be reached" in done.stderr
