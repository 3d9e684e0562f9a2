"""What is left of a sweep on this machine, how many runs go at a time, and the room they find on the disk."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest
from conftest import TINY
from factories import make_record
from sweep_factories import job

from bnn_ablate import processor
from bnn_ablate.outcome import Outcome
from bnn_ablate.settings import SettingsError
from bnn_ablate.states import status_of
from bnn_ablate.store import Store
from bnn_ablate.sweep import disk as disk_module
from bnn_ablate.sweep import local
from bnn_ablate.sweep.disk import Disk
from bnn_ablate.sweep.local import check_timeout, jobs_at_a_time, summary
from bnn_ablate.sweep.remaining import Remaining, remaining, to_train_first


@pytest.fixture
def processors(monkeypatch):
    def have(number: int) -> None:
        monkeypatch.setattr(local, "processors", lambda: number)

    return have


@pytest.mark.parametrize(
    ("limit", "number"),
    [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), (None, 8)],
)
def test_a_container_has_no_more_processors_than_it_is_given(limit, number, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    if limit is not None:
        (tmp_path / "cpu.max").write_text(limit + "\n")
    assert processor.processors(tmp_path) == number


@pytest.mark.parametrize(
    ("processors_there", "overrides", "runs"),
    [(8, (), 8), (8, ("trainer.threads=3",), 2), (1, ("trainer.threads=2",), 1), (8, ("trainer=ddp",), 4)],
)
def test_as_many_runs_go_at_a_time_as_the_processors_have_room_for(
    processors_there, overrides, runs, processors, make_settings
):
    processors(processors_there)
    assert jobs_at_a_time("auto", [make_settings(*TINY, *overrides)]) == runs


def test_the_run_with_most_threads_decides(processors, make_settings):
    processors(8)
    assert jobs_at_a_time("auto", [make_settings(*TINY), make_settings(*TINY, "trainer.threads=4")]) == 2


def test_a_number_of_runs_is_taken_as_it_is(make_settings):
    assert jobs_at_a_time(5, [make_settings(*TINY)]) == 5
    for wrong in (0, -1, 1.5, True, "all"):
        with pytest.raises(SettingsError, match=f"n_jobs={wrong} must be auto or a whole number"):
            jobs_at_a_time(wrong, [make_settings(*TINY)])


def test_with_gpus_there_is_one_run_for_as_many_as_it_asks_for(monkeypatch, make_settings):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,5")
    gpu = ("trainer=gpu", "trainer.binary_forward=float")
    assert jobs_at_a_time("auto", [make_settings(*TINY, *gpu)]) == 3
    assert jobs_at_a_time("auto", [make_settings(*TINY, *gpu, "trainer.devices=2")]) == 1
    for n_jobs in ("auto", 2):  # beside a run that needs none, too
        with pytest.raises(SettingsError, match=r"trainer\.devices=4 .* is more than the 3 GPUs of this machine"):
            jobs_at_a_time(n_jobs, [make_settings(*TINY), make_settings(*TINY, *gpu, "trainer.devices=4")])


def test_a_gpu_that_is_named_several_times_trains_several_runs(monkeypatch, make_settings):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,0,0")
    settings = make_settings(*TINY, "trainer=gpu", "trainer.binary_forward=float")
    assert jobs_at_a_time("auto", [settings]) == len(processor.gpus()) == 3


def test_gpus_are_asked_of_the_drivers_own_tool(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert processor.gpus() == ["0", "1"]
    tool.write_text("#!/bin/sh\necho 'no driver'\nexit 9\n")
    assert processor.gpus() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert processor.gpus() == []


@pytest.mark.parametrize("minutes", [0, -1, "x", True, float("inf"), float("nan")])
def test_a_timeout_that_is_none_is_refused(minutes):
    with pytest.raises(SettingsError, match=f"timeout_minutes={minutes} must be null or more than 0"):
        check_timeout(minutes)


def test_the_summary_counts_every_run_and_says_why_one_is_not_done(make_settings):
    jobs = [job(make_settings(*TINY), number) for number in range(5)]
    outcomes = {
        jobs[0].run_id: Outcome("done", "test top-1 50.00 % of 24 images"),
        jobs[1].run_id: Outcome("failed", "ZeroDivisionError: on purpose\nTraceback"),
        jobs[2].run_id: Outcome("diverged", "DivergedError: nan"),
        jobs[3].run_id: Outcome("stopped", "stopped"),
    }
    before = Remaining(jobs, done=5, diverged=1, broken=1, best=None)
    assert summary(jobs, outcomes, before).splitlines() == [
        "",
        "12 runs: 5 already done, 1 diverged before, 1 with broken files, 1 trained, 1 failed, 1 diverged, 1 stopped, "
        "1 not started",
        "  000000000001  failed     seed=1: ZeroDivisionError: on purpose",
        "  000000000002  diverged   seed=2: DivergedError: nan",
        "  000000000003  stopped    seed=3: stopped",
    ]


class FullDisk:
    """A disk on which a file of the wanted size finds room, or not."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        self.full = True
        monkeypatch.setattr(disk_module.time, "monotonic", lambda: self.now)
        original = disk_module.Path.write_bytes

        def write_bytes(path, content):
            if self.full:
                original(path, b"")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(path, content)

        monkeypatch.setattr(disk_module.Path, "write_bytes", write_bytes)


def test_a_disk_that_was_full_is_tried_by_writing_until_there_is_room(monkeypatch, tmp_path):
    there, disk = FullDisk(monkeypatch), Disk(tmp_path)
    assert disk.has_room()  # nobody has complained
    assert disk.worth_waiting()
    there.now += 3
    assert not disk.has_room()
    there.full = False
    assert not disk.has_room()  # it looks every other second
    there.now += 3
    assert disk.has_room()
    assert not disk.given_up
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_stays_full_is_given_up(monkeypatch, tmp_path):
    there, disk = FullDisk(monkeypatch), Disk(tmp_path)
    assert disk.worth_waiting()
    there.now += disk_module.PATIENCE + 1
    assert not disk.has_room()
    assert disk.given_up
    assert not disk.worth_waiting()


def test_a_folder_that_cannot_be_written_for_another_reason_has_no_room_either(monkeypatch, tmp_path):
    there, disk = FullDisk(monkeypatch), Disk(tmp_path / "gone")
    there.full = False
    disk.worth_waiting()
    there.now += 3
    assert not disk.has_room()


def test_a_run_that_is_done_diverged_or_broken_is_not_left(make_settings, tmp_path, capsys):
    store = Store(tmp_path)
    jobs = [job(make_settings(*TINY), number) for number in range(4)]
    for one in jobs[:3]:
        store.run(one.run_id).path.mkdir()
    store.run(jobs[0].run_id).write_record(replace(make_record(), run_id=jobs[0].run_id))
    store.run(jobs[1].run_id).write_status(status_of(jobs[1].settings, jobs[1].ids, "diverged", sentence="nan"))
    (store.run(jobs[2].run_id).path / "record.json").write_text("{")
    found = remaining(store, jobs)
    assert found.left == [jobs[3]]
    assert (found.done, found.diverged, found.broken, found.failures) == (1, 1, 1, 2)
    assert found.best is not None
    assert found.best.label == "seed=0"
    said = capsys.readouterr().out
    assert "run 000000000000 already done" in said
    assert "run 000000000001 diverged: nan; to train it again" in said
    assert f"retry 000000000001 runs={tmp_path}  (seed=1)" in said
    assert "000000000002/record.json" in said


def test_a_float_network_that_is_over_is_not_trained_first(make_settings, tmp_path):
    store = Store(tmp_path)
    networks = [job(make_settings(*TINY), number) for number in range(4)]
    for one in networks[:3]:
        store.run(one.run_id).path.mkdir()
    store.run(networks[0].run_id).write_record(replace(make_record(), run_id=networks[0].run_id))
    for one, state in ((networks[1], "diverged"), (networks[2], "stopped")):
        store.run(one.run_id).write_status(status_of(one.settings, one.ids, state))
    assert to_train_first(store, networks) == networks[2:]
