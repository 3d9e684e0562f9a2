"""What a person sees of a sweep: one live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bnn_ablate.console import say
from bnn_ablate.job import outcome_line
from bnn_ablate.outcome import Outcome, Progress
from bnn_ablate.record import RecordError
from bnn_ablate.report.numbers import counted, duration
from bnn_ablate.store import Store
from bnn_ablate.sweep.board import Board, Row
from bnn_ablate.sweep.jobs import SweepJob


class View:
    """Keeps the board and says what happens, a line an event; :class:`LiveView` adds what changes in between."""

    #: How long a pool may sleep between two calls of :meth:`tick`.
    seconds_between_ticks = 2.0

    def __init__(self, board: Board, jobs: Sequence[SweepJob], store: Store) -> None:
        self.board = board
        self.left = {job.run_id: job for job in jobs}
        self.store = store

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: Any) -> None:
        return None

    def say(self, text: str) -> None:
        say(text)

    def started(self, job: SweepJob) -> None:
        self.board.start(job)
        self.say(f"run {job.run_id} starts  ({job.label})")

    def progress(self, job: SweepJob, progress: Progress) -> None:
        self.board.progress(job, progress)

    def waits(self, job: SweepJob, outcome: Outcome) -> None:
        """The run waits: for another process, or for room on the disk."""
        self.board.wait(job)
        self.say(f"run {job.run_id} waits: {outcome.sentence}  ({job.label})")

    def ended(self, job: SweepJob, outcome: Outcome) -> None:
        self.board.end(job, outcome, self._top1(job) if outcome.kind == "done" else None)
        del self.left[job.run_id]
        if outcome.kind == "stopped":
            self.say(f"run {job.run_id} {outcome.sentence}  ({job.label})")
        else:
            self.say(f"{outcome_line(job.run_id, outcome)}  ({job.label})  [{self.standing()}]")

    def stopping(self, running: int) -> None:
        self.say(
            f"stopping: no new runs; {counted(running, 'running one')} "
            f"write{'s' if running == 1 else ''} a checkpoint; Ctrl-C again kills what still runs"
        )

    def tick(self) -> None:
        """Time has passed."""

    def standing(self) -> str:
        """``5/12, about 3 min left``."""
        left = self.board.seconds_left(list(self.left.values()))
        about = f", about {duration(left)} left" if left is not None and left >= 1 else ""
        return f"{self.board.finished}/{self.board.total}{about}"

    def _top1(self, job: SweepJob) -> float | None:
        try:
            record = self.store.run(job.run_id).record()
        except RecordError:
            return None  # the table at the end says it
        return None if record is None else record.accuracy.top1


class LiveView(View):
    """The same lines above a block that is redrawn: a bar of the sweep and one of each running run."""

    seconds_between_ticks = 0.25

    def __init__(self, board: Board, jobs: Sequence[SweepJob], store: Store, console: Console) -> None:
        super().__init__(board, jobs, store)
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> View:
        self.live.__enter__()
        return self

    def __exit__(self, *_: Any) -> None:
        with suppress(OSError):
            self.live.__exit__(None, None, None)

    def say(self, text: str) -> None:
        with suppress(OSError):  # a terminal that has gone
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tick(self) -> None:
        with suppress(OSError):
            self.live.update(self.block(), refresh=True)

    def block(self) -> RenderableType:
        """The board as it stands."""
        board = self.board
        rows = Table.grid(padding=(0, 1))
        rows.add_column(no_wrap=True)
        rows.add_column(width=24)
        rows.add_column(no_wrap=True, overflow="ellipsis")
        rows.add_row("sweep", ProgressBar(total=max(1, board.total), completed=board.finished), self._sweep_text())
        for row in board.running.values():
            rows.add_row(row.job.run_id, ProgressBar(total=1, completed=row.share), run_text(row))
        return Group(Text(""), rows)

    def _sweep_text(self) -> str:
        ended = self.board.ended.values()
        bad = sum(outcome.kind not in ("done", "stopped") for outcome in ended)
        best = self.board.best
        return ", ".join(
            [
                self.standing(),
                *([f"{self.board.skipped} of them before"] if self.board.skipped else []),
                *([f"{bad} failed"] if bad else []),
                f"running {duration(max(1.0, time.monotonic() - self.board.began))}",
                *([f"best so far {100 * best.top1:.2f} % ({best.label})"] if best is not None else []),
            ]
        )


def run_text(row: Row) -> str:
    """A running run's newest figures and what it is."""
    last = None if row.progress is None else row.progress.row
    if last is None:
        return f"{row.job.label}"
    return f"epoch {last.epoch + 1}  loss {last.train_loss:.3f}  test {100 * last.test_top1:.2f} %  {row.job.label}"


def view_of(board: Board, jobs: Sequence[SweepJob], store: Store) -> View:
    """A live view where standard output is a terminal."""
    console = Console(file=sys.stdout)
    return LiveView(board, jobs, store, console) if console.is_terminal else View(board, jobs, store)
