"""W&B as a view: offline without a question, whole for each run, never mixed up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from interruptions import command_line, train_and_die_at_step

from bnn_ablate.settings import SettingsError
from bnn_ablate.store import Store
from bnn_ablate.wandb_access import check_key

WITH_WANDB = [override for override in TINY if not override.startswith("tracking")]


def inspected(folder: Path, *flags: str) -> str:
    """What W&B's own reader says of an offline run."""
    reader = Path(sys.executable).parent / "wandb"
    done = subprocess.run(
        [reader, "leet", "inspect", *flags, "--json", str(folder)], capture_output=True, text=True, check=True
    )
    return done.stdout


def logged_losses(records: str) -> list[float]:
    """The training losses of the run's history, in order."""
    lines = [json.loads(line) for line in records.splitlines()]
    rows: list[dict[str, Any]] = [line["history"]["item"] for line in lines if line["type"] == "history"]
    return [row["train_loss"] for row in rows if "train_loss" in row]


def test_each_job_of_a_process_is_a_whole_offline_run_of_its_own(forked, tmp_path):
    arguments = ["-m", "hydra/launcher=basic", *WITH_WANDB, f"runs={tmp_path}", "grad=ste,approxsign", "study=both"]
    assert forked(command_line, arguments, str(tmp_path / "output.txt")) == 0
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    assert not list(tmp_path.rglob("wandb.json"))  # offline there is no address
    records = {run.path.name: run.record() for run in Store(tmp_path).runs()}
    for folder in folders:
        record = records[folder.name.rsplit("-", 1)[1]]
        seen = json.loads(inspected(folder, "--summary"))
        assert seen["config"]["grad"] == record.config["grad"]["name"]
        assert seen["config"]["settings"] == record.config
        assert seen["name"] == f"grad={record.config['grad']['name']}"  # what differs, and nothing of what does not
        assert seen["summary"]["top1"] == pytest.approx(record.accuracy.top1)
        assert f"grad={record.config['grad']['name']}" in seen["tags"]
        records_of_wandb = inspected(folder)
        assert logged_losses(records_of_wandb) == pytest.approx([row.train_loss for row in record.curve])
        assert '"run_group":"both"' in records_of_wandb


def test_a_resumed_run_tells_the_whole_curve(forked, make_settings, tmp_path):
    settings = make_settings(*WITH_WANDB, f"runs={tmp_path}")
    assert forked(train_and_die_at_step, settings, 14, 15) == 130
    assert forked(command_line, [*WITH_WANDB, f"runs={tmp_path}"], str(tmp_path / "output.txt")) == 0
    (record,) = (run.record() for run in Store(tmp_path).runs())
    newest = max((tmp_path / "wandb").glob("offline-run-*"), key=lambda folder: folder.stat().st_mtime_ns)
    assert logged_losses(inspected(newest)) == pytest.approx([row.train_loss for row in record.curve])


def test_tracking_none_leaves_nothing_of_wandb(forked, tmp_path):
    assert forked(command_line, [*TINY, f"runs={tmp_path}"], str(tmp_path / "output.txt")) == 0
    assert not (tmp_path / "wandb").exists()


def test_online_without_a_key_is_refused_before_anything_starts(make_settings, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    settings = make_settings(*WITH_WANDB, "tracking.mode=online")
    with pytest.raises(SettingsError, match=r"tracking\.mode=online needs the environment variable WANDB_API_KEY"):
        check_key(settings)
