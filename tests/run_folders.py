"""Folders of runs in every state, for the tests of the command that lists and changes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import make_record, make_status, packed, put_done, put_status

from bnn_ablate.record import Epoch, Record
from bnn_ablate.runs.__main__ import main
from bnn_ablate.store import Store
from bnn_ablate.study import Job, plan_jobs

Call = Callable[..., tuple[int, str, str]]

HEAD = "epoch,lr,train_loss,train_top1,test_loss,test_top1,test_top5,holdout_top1,frozen_weights,seconds\n"


def epochs(number: int) -> list[Epoch]:
    """A curve whose test accuracy is a tenth, two tenths, ... and whose epochs take ten seconds each."""
    return [
        Epoch(
            epoch=epoch,
            lr=0.01,
            train_loss=2.0 - epoch / 10,
            train_top1=0.05,
            test_loss=3.0,
            test_top1=(epoch + 1) / 10,
            test_top5=1.0,
            holdout_top1=None,
            frozen_weights=None,
            seconds=10.0,
        )
        for epoch in range(number)
    ]


def put_store(root: Path) -> dict[str, str]:
    """A run of each kind by the word for it: their ids. The first two are the study ``pair``, one of it is missing."""
    done = put_done(root, packed(finished(make_record(seed=0, correct=9), "2026-01-01T10:00:00+00:00"), 0.8))
    failed = put_status(root, make_record(seed=1, scaling="channel"), "failed", "OSError: no\nmore lines")
    diverged = put_status(root, make_record(seed=0, grad={"name": "ede", "clip": 1.3}), "diverged", "loss is nan")
    stopped = put_status(root, make_record(seed=2), "stopped")
    (root / stopped.run_id / "metrics.csv").write_text(
        HEAD
        + "0,0.01,2.0,0.05,3.0,0.1,1.0,,,10.0\n"
        + "1,0.01,1.9,0.05,3.0,0.2,1.0,,,10.0\n"
        + "2,0.01,1.8,0.05,3.0,0.3,1.0,,,1"  # cut off while it was written
    )
    broken = put_done(root, make_record(seed=3))
    (root / broken.run_id / "record.json").write_text("{")
    begun = root / "abcdef012345"
    begun.mkdir()
    (begun / "config.yaml").write_text("scaling: {name: learned}\nrecipe: {name: short, epochs: 5}\nseed: 7\n")
    jobs = [("scaling=none", done.run_id), ("scaling=channel", failed.run_id), ("scaling=xnor", "0" * 12)]
    plan_jobs(
        Store(root).studies,
        "pair",
        [Job(overrides=[text], run_id=run_id) for text, run_id in jobs] + [Job(overrides=["a=b"], run_id=None)],
    )
    return {
        "done": done.run_id,
        "failed": failed.run_id,
        "diverged": diverged.run_id,
        "stopped": stopped.run_id,
        "broken": broken.run_id,
        "begun": begun.name,
    }


def finished(record: Record, when: str) -> Record:
    """The same run, done at that time."""
    return replace(record, provenance=replace(record.provenance, finished=when))


def caller(root: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command on the store; returns exit status, standard output and standard error."""

    def call(*words: str) -> tuple[int, str, str]:
        status = main([*words, f"runs={root}"])
        return status, *capsys.readouterr()

    return call


def ids_of_list(output: str) -> list[str]:
    """The ids that ``list --json`` tells."""
    listed: Sequence[Any] = json.loads(output)
    return [one["run_id"] for one in listed]


def put_running(root: Path, record: Record) -> Record:
    """A run whose status says that it is running."""
    folder = Store(root).run(record.run_id)
    folder.path.mkdir(parents=True)
    folder.write_status(make_status(record, "running"))
    return record
