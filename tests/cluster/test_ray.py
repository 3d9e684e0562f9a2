"""A sweep on a real Ray cluster of two nodes survives what befalls them, and ends with the records of one machine."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray_cluster
from cluster_sweeps import Started, assert_same_as_on_one_machine, command, is_training, kill_training, resumes, state
from ray_cluster import Ray

from bnn_ablate.store import RunFolder, Store

pytest.importorskip("ray", reason="needs pip install -e '.[ray]'")


@pytest.fixture
def ray() -> Iterator[Ray]:
    # a short path: names of sockets have 108 characters at most
    with tempfile.TemporaryDirectory(prefix="ray.") as folder, ray_cluster.ray(Path(folder)) as cluster:
        yield cluster


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def start(runs: Path, cluster: Ray, *overrides: str) -> Started:
    """The sweep, given in the folder of the runs: workers of Ray start in another one."""
    runs.mkdir(exist_ok=True)
    number = len(list(runs.parent.glob("said.*")))
    arguments = command(Path("../runs"), "hydra/launcher=ray_cluster", *overrides)
    return Started(arguments, runs.parent / f"said.{number}", cluster.environment, cwd=runs)


def planned(runs: Path) -> list[RunFolder]:
    """The folders of the runs, in the order of the sweep."""
    study = json.loads((runs / "studies" / "cluster.json").read_text())
    return [Store(runs).run(job["run_id"]) for job in study["jobs"]]


def two_trainings(started: Started, runs: Path) -> tuple[RunFolder, RunFolder]:
    """Two runs that train at this moment."""
    started.until(lambda: (runs / "studies" / "cluster.json").exists(), "study")
    started.until(lambda: sum(is_training(folder) for folder in planned(runs)) == 2, "two trainings at once")
    one, two = (folder for folder in planned(runs) if is_training(folder))
    return one, two


def host(folder: RunFolder) -> str:
    status = folder.status()
    assert status is not None
    return status.host


@pytest.mark.skipif(os.geteuid() != 0, reason="nodes have names of their own as root only")
def test_a_killed_run_and_one_of_a_node_that_dies_go_on_in_the_same_sweep(runs: Path, ray: Ray) -> None:
    started = start(runs, ray)
    try:
        one, two = two_trainings(started, runs)
        on_head, on_other = sorted((one, two), key=host)
        kill_training(on_head)  # Ray starts it again by itself
        ray.kill_node("ray-b")
        assert started.wait() == 0, started.said()
    finally:
        started.kill()
    assert host(on_other) == "ray-a"
    assert resumes(on_head) == resumes(on_other) == 1
    assert_same_as_on_one_machine(runs)


def test_a_sweep_whose_tasks_are_not_started_again_goes_on_with_the_same_command(runs: Path, ray: Ray) -> None:
    first = start(runs, ray, "hydra.launcher.max_retries=0")
    try:
        lost, other = two_trainings(first, runs)
        kill_training(lost)
        assert first.wait() == 1
    finally:
        first.kill()
    assert "1 of 4 runs have no record yet" in first.said()
    assert state(other) == "done"
    second = start(runs, ray)
    try:
        assert second.wait() == 0, second.said()
    finally:
        second.kill()
    assert [resumes(folder) for folder in (lost, other)] == [1, 0]
    assert_same_as_on_one_machine(runs)


def test_ctrl_c_ends_the_tasks_with_a_checkpoint_and_the_same_command_goes_on(runs: Path, ray: Ray) -> None:
    first = start(runs, ray)
    try:
        one, two = two_trainings(first, runs)
        first.interrupt()
        assert first.wait() == 130, first.said()
    finally:
        first.kill()
    assert (state(one), state(two)) == ("stopped", "stopped")
    second = start(runs, ray)
    try:
        assert second.wait() == 0, second.said()
    finally:
        second.kill()
    assert resumes(one) == resumes(two) == 1
    assert_same_as_on_one_machine(runs)
