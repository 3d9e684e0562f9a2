"""A sweep on a real SLURM of two nodes survives what happens to its jobs, and ends with the records of one machine."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import slurm_cluster
from cluster_sweeps import (
    Started,
    assert_same_as_on_one_machine,
    command,
    is_training,
    kill_training,
    records,
    resumes,
    state,
)
from slurm_cluster import Slurm

from bnn_ablate.store import RunFolder, Store
from hydra_plugins.bnn_ablate_cluster.slurm import Stoppable

pytestmark = pytest.mark.skipif(slurm_cluster.missing() is not None, reason=str(slurm_cluster.missing()))
pytest.importorskip("submitit", reason="needs pip install -e '.[slurm]'")


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    # a short path: names of sockets have 108 characters at most
    with tempfile.TemporaryDirectory(prefix="slurm.") as folder, slurm_cluster.slurm(Path(folder)) as cluster:
        yield cluster


class Sweep:
    """The sweep on SLURM, as often as it is started."""

    def __init__(self, folder: Path, cluster: Slurm) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.cluster = cluster
        self.starts: list[Started] = []

    def start(self, *overrides: str) -> Started:
        self.starts.append(
            Started(
                command(self.runs, "hydra/launcher=slurm", "hydra.launcher.mem_gb=1", *overrides),
                self.folder / f"said.{len(self.starts)}",
                self.cluster.environment,
            )
        )
        return self.starts[-1]

    def planned(self) -> list[RunFolder]:
        """The folders of the runs, in the order of the sweep."""
        study = json.loads((self.runs / "studies" / "cluster.json").read_text())
        return [Store(self.runs).run(job["run_id"]) for job in study["jobs"]]

    def send(self, name: str, folder: RunFolder) -> None:
        """Send a signal to the job that trains the run, as SLURM does it."""
        status = folder.status()
        assert status is not None
        # it may say that it failed when it did not at once: what comes of it is waited for
        self.cluster.run("scancel", f"--signal={name}", str(status.job_id), check=False)


@pytest.fixture
def sweep(tmp_path: Path, slurm: Slurm) -> Iterator[Sweep]:
    sweep = Sweep(tmp_path, slurm)
    yield sweep
    for started in sweep.starts:
        started.kill()


def test_killed_stopped_and_put_back_jobs_end_with_the_records_of_one_machine(sweep: Sweep) -> None:
    first = sweep.start()
    first.until(lambda: (sweep.runs / "studies" / "cluster.json").exists(), "study")
    killed, stopped, put_back, other = sweep.planned()

    first.until(lambda: is_training(killed) and is_training(stopped), "two trainings at once")
    kill_training(killed)
    sweep.send("TERM", stopped)  # what a preempted job gets before the end
    first.until(lambda: state(stopped) == "stopped", "checkpoint")

    first.until(lambda: is_training(put_back), "third training")
    sweep.send("USR2", put_back)  # what submitit asks for before the time limit
    first.until(lambda: put_back.record() is not None and other.record() is not None, "the other two")
    assert first.wait() == 1
    assert "2 of 4 runs have no record yet" in first.said()
    assert records(sweep.runs).keys() == {put_back.path.name, other.path.name}

    second = sweep.start()
    second.until(lambda: is_training(stopped), "training")  # some seconds: slurmctld saves its state now and then
    sweep.cluster.kill_controller()
    second.until(lambda: "SLURM does not answer" in second.said(), "word of it")
    sweep.cluster.start_controller()
    assert second.wait() == 0
    assert_same_as_on_one_machine(sweep.runs)
    # gone on with, not begun again
    assert [resumes(folder) for folder in (killed, stopped, put_back, other)] == [1, 1, 1, 0]


def test_a_run_of_a_node_that_dies_goes_on_on_the_other_one(sweep: Sweep) -> None:
    started = sweep.start()
    started.until(lambda: (sweep.runs / "studies" / "cluster.json").exists(), "study")
    started.until(lambda: all(is_training(folder) for folder in sweep.planned()[:2]), "two trainings at once")
    lost = next(folder for folder in sweep.planned() if host(folder) == "node-a")
    sweep.cluster.kill_node("node-a")
    assert started.wait() == 0, started.said()
    assert host(lost) == "node-b"
    assert resumes(lost) == 1
    assert_same_as_on_one_machine(sweep.runs)


def host(folder: RunFolder) -> str | None:
    status = folder.status()
    return None if status is None else status.host


def test_ctrl_c_cancels_the_jobs_with_a_checkpoint_and_the_same_command_goes_on(sweep: Sweep) -> None:
    first = sweep.start()
    first.until(lambda: (sweep.runs / "studies" / "cluster.json").exists(), "study")
    first.until(lambda: all(is_training(folder) for folder in sweep.planned()[:2]), "two trainings at once")
    first.interrupt()
    assert first.wait() == 130
    assert [state(folder) for folder in sweep.planned()] == ["stopped", "stopped", "none", "none"]
    assert sweep.cluster.run("squeue", "--noheader") == ""
    assert sweep.start().wait() == 0
    assert_same_as_on_one_machine(sweep.runs)


def test_a_signal_before_the_training_begins_stops_it_when_it_does_and_puts_the_job_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGTERM)}
    told: list[int] = []
    signal.signal(signal.SIGUSR2, lambda number, _: told.append(number))
    signal.signal(signal.SIGTERM, lambda *_: None)

    def run() -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # the training begins
        threading.Event().wait(60)

    try:
        with pytest.raises(KeyboardInterrupt):
            Stoppable(run)()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert told == [signal.SIGUSR2]
