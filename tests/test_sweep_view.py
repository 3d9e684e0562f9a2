"""How a sweep stands, and what a person sees of it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from conftest import TINY
from factories import make_record
from rich.console import Console
from sweep_factories import job

from bnn_ablate.outcome import Outcome, Progress
from bnn_ablate.record import Epoch
from bnn_ablate.store import Store
from bnn_ablate.sweep.board import Best, Board
from bnn_ablate.sweep.view import LiveView, View

DONE = Outcome("done", "test top-1 50.00 % of 24 images")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(make_settings):
    return [job(make_settings(*TINY), number) for number in range(6)]


def row(epoch: int) -> Epoch:
    return replace(make_record().curve[0], epoch=epoch, train_loss=1.5, test_top1=0.625)


def test_nothing_is_said_of_the_time_left_before_anything_is_known(jobs, clock):
    board = Board(total=6, skipped=0, n_jobs=2, clock=clock)
    assert board.seconds_left(jobs) is None
    board.start(jobs[0])
    assert board.seconds_left(jobs) is None


def test_runs_to_come_take_what_the_ended_ones_took(jobs, clock):
    board = Board(total=6, skipped=0, n_jobs=2, clock=clock)
    for number, seconds in ((0, 10.0), (1, 30.0)):
        board.start(jobs[number])
        clock.now += seconds
        board.end(jobs[number], DONE, 0.5)
    assert board.seconds_left(jobs[2:]) == 4 * 20 / 2


def test_a_running_run_takes_what_its_own_progress_says(jobs, clock):
    board = Board(total=1, skipped=0, n_jobs=1, clock=clock)
    board.start(jobs[0])
    clock.now += 30
    board.progress(jobs[0], Progress(step=25, steps=100, row=None))
    assert board.seconds_left(jobs[:1]) == pytest.approx(90)
    # and the others take as long as it will have taken
    assert board.seconds_left(jobs[:2]) == pytest.approx(90 + 120)


def test_what_was_expected_counts_by_as_much_as_it_was_off_by_so_far(jobs, clock):
    expected = {jobs[0].run_id: 60.0, jobs[1].run_id: 30.0}
    board = Board(total=2, skipped=0, n_jobs=1, clock=clock, expected=expected)
    assert board.seconds_left(jobs[:2]) == 90
    board.start(jobs[0])
    clock.now += 120
    board.end(jobs[0], DONE, 0.5)
    assert board.seconds_left(jobs[1:2]) == 60


def test_failed_runs_say_nothing_about_how_long_a_run_takes(jobs, clock):
    board = Board(total=2, skipped=0, n_jobs=1, clock=clock)
    board.start(jobs[0])
    clock.now += 1
    board.end(jobs[0], Outcome("failed", "on purpose"), None)
    assert board.seconds_left(jobs[1:2]) is None
    assert board.finished == 1


def test_the_best_so_far_includes_what_was_done_before(jobs, clock):
    board = Board(total=3, skipped=1, n_jobs=1, clock=clock, best=Best(0.6, "before"))
    for number, top1 in ((0, 0.5), (1, 0.7)):
        board.start(jobs[number])
        board.end(jobs[number], DONE, top1)
    assert board.best == Best(0.7, "seed=1")
    assert board.finished == 3


def test_without_a_terminal_every_event_is_a_plain_line(jobs, clock, tmp_path, capsys):
    board = Board(total=4, skipped=1, n_jobs=1, clock=clock)
    with View(board, jobs[:3], Store(tmp_path)) as view:
        view.started(jobs[0])
        clock.now += 60
        view.ended(jobs[0], DONE)
        view.started(jobs[1])
        view.waits(jobs[1], Outcome("busy", "run 000000000001 is being worked on by process 7 on h: wait for it"))
        view.stopping(1)
        view.ended(jobs[2], Outcome("failed", "its process was killed by SIGKILL"))
    assert capsys.readouterr().out.splitlines() == [
        "run 000000000000 starts  (seed=0)",
        "run 000000000000 done: test top-1 50.00 % of 24 images  (seed=0)  [2/4, about 2.0 min left]",
        "run 000000000001 starts  (seed=1)",
        "run 000000000001 waits: run 000000000001 is being worked on by process 7 on h: wait for it  (seed=1)",
        "stopping: no new runs; 1 running one writes a checkpoint; Ctrl-C again kills what still runs",
        "run 000000000002 failed: its process was killed by SIGKILL  (seed=2)  [3/4, about 60 s left]",
    ]


def test_a_terminal_shows_the_sweep_and_each_running_run(jobs, clock, tmp_path):
    text = io.StringIO()
    console = Console(file=text, width=150, force_terminal=True)
    board = Board(total=4, skipped=1, n_jobs=1, clock=clock, best=Best(0.875, "seed=9"))
    view = LiveView(board, jobs[:3], Store(tmp_path), console)
    view.started(jobs[0])
    clock.now += 30
    view.progress(jobs[0], Progress(step=50, steps=100, row=row(4)))
    plain = Console(width=150, record=True, file=io.StringIO())
    plain.print(view.block())
    shown = plain.export_text()
    sweep, run = [line for line in shown.splitlines() if line.strip()]
    assert sweep.startswith("sweep")
    assert "1/4" in sweep
    assert "1 of them before" in sweep
    assert "best so far 87.50 % (seed=9)" in sweep
    assert run.startswith("000000000000")
    assert run.rstrip().endswith("epoch 5  loss 1.500  test 62.50 %  seed=0")
