"""How the pool deals out its places: order, float networks, GPUs, runs of others, full disks, processes that die.

The processes here are stand-ins that end at once, as a list says; tests/slow/test_sweep_survives.py has real ones.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY
from factories import make_record
from sweep_factories import job

from bnn_ablate.outcome import Outcome
from bnn_ablate.states import status_of
from bnn_ablate.store import Store
from bnn_ablate.sweep import disk as disk_module
from bnn_ablate.sweep import pool as pool_module
from bnn_ablate.sweep.board import Board
from bnn_ablate.sweep.pool import Pool
from bnn_ablate.sweep.view import View

DONE = Outcome("done", "test top-1 50.00 % of 24 images")
BUSY = Outcome("busy", "run 000000000000 is being worked on by process 7 on h: wait for it")
FULL = Outcome("disk full", "no space left on the disk")


class Processes:
    """Stands in for multiprocessing: each process ends as the next entry of its run's list says.

    An entry is an outcome, or the exit code of a process that could not tell one. Runs without a list are done.
    """

    def __init__(self) -> None:
        self.ends: dict[str, list[Outcome | int]] = defaultdict(list)
        self.started: list[str] = []
        self.gpus: list[tuple[str, ...]] = []
        self.at_once = self.most_at_once = 0
        #: What the next starts raise.
        self.refusals: list[Exception] = []

    def set_forkserver_preload(self, modules: list[str]) -> None:
        self.preload = modules

    @staticmethod
    def Pipe(duplex: bool):  # noqa: N802 - multiprocessing's name
        from multiprocessing import Pipe

        return Pipe(duplex)

    def Process(self, *, target, args, name):  # noqa: N802
        return StandIn(self, *args)


class StandIn:
    def __init__(self, processes: Processes, one, connection, gpus) -> None:
        self.processes, self.job, self.connection, self.gpus = processes, one, connection, gpus
        self.exitcode = 0
        self.pid = 2**30  # nobody's

    def start(self) -> None:
        processes = self.processes
        if processes.refusals:
            raise processes.refusals.pop()
        processes.started.append(self.job.run_id)
        processes.gpus.append(self.gpus)
        processes.at_once += 1
        processes.most_at_once = max(processes.most_at_once, processes.at_once)
        ends = processes.ends[self.job.run_id]
        end = ends.pop(0) if ends else DONE
        if isinstance(end, Outcome):
            self.connection.send(end)
        else:
            self.exitcode = end
        self.sentinel, write = os.pipe()
        os.close(write)  # what waits for the end of the process finds that it has ended

    def join(self, timeout: float | None = None) -> None:
        self.processes.at_once -= 1
        os.close(self.sentinel)


@pytest.fixture
def processes(monkeypatch) -> Processes:
    processes = Processes()
    monkeypatch.setattr(pool_module.multiprocessing, "get_context", lambda _: processes)
    monkeypatch.setattr(pool_module, "_start_server", lambda: None)
    for module in (pool_module, disk_module):
        monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(View, "seconds_between_ticks", 0.0)
    return processes


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def run_pool(store: Store, jobs, *, n_jobs: int = 1, gpus=()) -> dict[str, str]:
    board = Board(total=len(jobs), skipped=0, n_jobs=n_jobs)
    pool = Pool(store, View(board, jobs, store), n_jobs=n_jobs, timeout=None, gpus=gpus)
    return {run_id: outcome.kind for run_id, outcome in pool.run(jobs).items()}


@pytest.fixture
def jobs(make_settings, store):
    settings = replace(make_settings(*TINY), runs=str(store.root))
    return [job(settings, number) for number in range(4)]


def test_runs_start_in_the_order_of_the_command_and_no_more_than_asked_for_at_a_time(processes, store, jobs):
    assert run_pool(store, jobs, n_jobs=2) == {one.run_id: "done" for one in jobs}
    assert processes.started == [one.run_id for one in jobs]
    assert processes.most_at_once == 2


def test_wandb_is_loaded_for_all_only_where_runs_are_tracked(processes, store, jobs):
    run_pool(store, jobs[:1])
    assert "wandb" not in processes.preload
    tracked = replace(jobs[0].settings, tracking=replace(jobs[0].settings.tracking, name="wandb"))
    run_pool(store, [replace(jobs[0], settings=tracked)])
    assert "wandb" in processes.preload


def test_a_float_network_goes_before_what_starts_from_it_and_others_fill_the_gap(processes, store, jobs):
    first, second, third, other = jobs
    waiting = [replace(one, needs=first.run_id) for one in (second, third)]
    run_pool(store, [*waiting, first, other], n_jobs=2)
    assert processes.started == [first.run_id, other.run_id, second.run_id, third.run_id]


@pytest.mark.parametrize("end", [Outcome("failed", "on purpose"), Outcome("diverged", "nan"), -9])
def test_without_its_float_network_a_run_is_not_started(end, processes, store, jobs):
    first, second, other, _ = jobs
    processes.ends[first.run_id] = [end]
    outcomes = run_pool(store, [first, replace(second, needs=first.run_id), other])
    assert processes.started == [first.run_id, other.run_id]
    assert outcomes[second.run_id] == "failed"
    assert outcomes[other.run_id] == "done"


def test_a_float_network_that_is_no_job_of_the_sweep_is_left_to_the_run(processes, store, jobs):
    assert run_pool(store, [replace(jobs[0], needs="f" * 12)]) == {jobs[0].run_id: "done"}


def test_gpus_are_dealt_out_and_given_back(processes, store, make_settings):
    gpu = make_settings(*TINY, "trainer=gpu", "trainer.binary_forward=float")
    pair = make_settings(*TINY, "trainer=gpu", "trainer.binary_forward=float", "trainer.devices=2")
    jobs = [job(one, number) for number, one in enumerate((gpu, gpu, pair, gpu))]
    assert set(run_pool(store, jobs, n_jobs=4, gpus=["0", "1", "5"]).values()) == {"done"}
    dealt = dict(zip(processes.started, processes.gpus, strict=True))
    assert [len(dealt[one.run_id]) for one in jobs] == [1, 1, 2, 1]
    assert {name for names in dealt.values() for name in names} <= {"0", "1", "5"}
    # the pair finds one free GPU and waits, and the last run takes that one
    assert processes.started[:3] == [jobs[0].run_id, jobs[1].run_id, jobs[3].run_id]
    assert {name for names in processes.gpus[:3] for name in names} == {"0", "1", "5"}


def test_a_run_that_another_process_holds_is_taken_up_when_it_lets_go(processes, store, jobs):
    processes.ends[jobs[0].run_id] = [BUSY, BUSY]
    assert run_pool(store, jobs[:2]) == {jobs[1].run_id: "done", jobs[0].run_id: "done"}
    assert processes.started.count(jobs[0].run_id) == 3


def test_a_run_that_another_process_finished_is_done(processes, store, jobs, monkeypatch):
    one = jobs[0]
    processes.ends[one.run_id] = [BUSY]
    (store.root / one.run_id).mkdir()
    (store.root / one.run_id / "record.json").write_text("{}")
    monkeypatch.setattr(View, "_top1", lambda *_: None)
    assert run_pool(store, [one]) == {one.run_id: "done"}
    assert processes.started == [one.run_id]


def test_a_run_that_diverged_in_another_process_is_an_outcome_here_too(processes, store, jobs):
    one = jobs[0]
    processes.ends[one.run_id] = [BUSY]
    (store.root / one.run_id).mkdir()
    store.run(one.run_id).write_status(status_of(one.settings, one.ids, "diverged", sentence="nan"))
    assert run_pool(store, [one]) == {one.run_id: "diverged"}


def test_a_run_that_found_the_disk_full_is_tried_again_once_there_is_room(processes, store, jobs):
    processes.ends[jobs[0].run_id] = [FULL, FULL]
    assert run_pool(store, jobs) == {one.run_id: "done" for one in jobs}
    assert processes.started == [jobs[0].run_id] * 3 + [one.run_id for one in jobs[1:]]


def test_a_run_that_never_finds_enough_room_is_given_up_and_the_others_go_on(processes, store, jobs):
    processes.ends[jobs[0].run_id] = [FULL] * 9
    outcomes = run_pool(store, jobs)
    assert processes.started.count(jobs[0].run_id) == pool_module.FULL_DISKS
    assert outcomes == {one.run_id: "disk full" if one is jobs[0] else "done" for one in jobs}


def test_nothing_is_started_on_a_disk_that_stays_full(processes, store, jobs, monkeypatch):
    processes.ends[jobs[0].run_id] = [FULL]
    monkeypatch.setattr(disk_module.Disk, "_can_write", lambda _: False)
    monkeypatch.setattr(disk_module, "PATIENCE", 0.0)
    run_pool(store, jobs)
    assert processes.started == [jobs[0].run_id]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (-9, "its process was killed by SIGKILL: if nobody did, memory ran out"),
        (3, "its process ended with exit code 3"),
    ],
)
def test_a_process_that_dies_has_its_status_written_for_it(code, sentence, processes, store, jobs):
    one = jobs[0]
    processes.ends[one.run_id] = [code]
    assert run_pool(store, [one, jobs[1]]) == {one.run_id: "failed", jobs[1].run_id: "done"}
    status = store.run(one.run_id).status()
    assert status is not None
    assert (status.state, status.seed) == ("failed", one.settings.seed)
    assert status.error is not None
    assert status.error.startswith(sentence)


def test_a_training_that_was_over_stays_trained_when_its_process_dies(processes, store, jobs):
    one = jobs[0]
    (store.root / one.run_id).mkdir()
    store.run(one.run_id).write_status(status_of(one.settings, one.ids, "trained"))
    processes.ends[one.run_id] = [-9]
    assert run_pool(store, [one]) == {one.run_id: "failed"}
    status = store.run(one.run_id).status()
    assert status is not None
    assert status.state == "trained"


def test_a_process_that_cannot_be_started_costs_its_run_only(processes, store, jobs):
    processes.refusals = [EOFError()]
    outcomes = run_pool(store, jobs[:2])
    assert outcomes == {jobs[0].run_id: "failed", jobs[1].run_id: "done"}


def test_a_record_that_was_written_before_the_process_died_is_a_result(processes, store, jobs):
    one = jobs[0]
    (store.root / one.run_id).mkdir()
    store.run(one.run_id).write_record(replace(make_record(), run_id=one.run_id))
    for end in (-9, Outcome("stopped", "stopped")):
        processes.ends[one.run_id] = [end]
        assert run_pool(store, [one]) == {one.run_id: "done"}


@pytest.mark.parametrize("end", [-9, BUSY])
def test_a_status_that_cannot_be_read_costs_its_run_only(end, processes, store, jobs):
    one = jobs[0]
    processes.ends[one.run_id] = [end]
    (store.root / one.run_id).mkdir()
    (store.root / one.run_id / "status.json").write_text("{")
    outcomes = run_pool(store, jobs[:2])
    assert outcomes[one.run_id] in ("failed", "refused")
    assert outcomes[jobs[1].run_id] == "done"


def test_a_heartbeat_of_the_process_that_died_is_taken_away_at_once(processes, store, jobs):
    one = jobs[0]
    folder = store.run(one.run_id)
    with folder.lock():
        beat = (folder.path / "heartbeat.json").read_bytes()
    (folder.path / "heartbeat.json").write_bytes(beat)
    folder.forget_holder(os.getpid() + 1)
    assert (folder.path / "heartbeat.json").exists()
    folder.forget_holder(os.getpid())
    assert not (folder.path / "heartbeat.json").exists()
