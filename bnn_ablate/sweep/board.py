"""How a sweep stands: counts, what runs, the best so far, the time that is left. No display, no processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import fmean

from bnn_ablate.outcome import Outcome, Progress
from bnn_ablate.sweep.jobs import SweepJob


@dataclass
class Row:
    """A run that is being trained."""

    job: SweepJob
    started: float
    progress: Progress | None = None

    @property
    def share(self) -> float:
        """How much of its training is done, from 0 to 1."""
        return 0.0 if self.progress is None or self.progress.steps == 0 else self.progress.step / self.progress.steps


@dataclass
class Best:
    """The finished run with the highest test accuracy, as told while a sweep goes on; it decides nothing."""

    top1: float
    label: str


@dataclass
class Board:
    """The state of a sweep of ``total`` runs, ``n_jobs`` at a time, ``skipped`` of which were done before.

    ``expected`` has the seconds that runs are expected to take, where something is known of them.
    """

    total: int
    skipped: int
    n_jobs: int
    expected: dict[str, float] = field(default_factory=dict)
    best: Best | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.running: dict[str, Row] = {}
        self.ended: dict[str, Outcome] = {}
        self.took: dict[str, float] = {}
        self.began = self.clock()

    def start(self, job: SweepJob) -> None:
        self.running[job.run_id] = Row(job, self.clock())

    def progress(self, job: SweepJob, progress: Progress) -> None:
        self.running[job.run_id].progress = progress

    def wait(self, job: SweepJob) -> None:
        """The run is no longer worked on here, and will be taken up again."""
        del self.running[job.run_id]

    def end(self, job: SweepJob, outcome: Outcome, top1: float | None) -> None:
        """``top1`` is the accuracy of a run that was trained here."""
        row = self.running.pop(job.run_id, None)
        self.ended[job.run_id] = outcome
        if outcome.kind == "done" and row is not None:
            self.took[job.run_id] = self.clock() - row.started
        if top1 is not None and (self.best is None or top1 > self.best.top1):
            self.best = Best(top1, job.label)

    @property
    def finished(self) -> int:
        """Runs of which nothing is left to do, however they ended."""
        return self.skipped + len(self.ended)

    def seconds_left(self, jobs: Iterator[SweepJob] | list[SweepJob]) -> float | None:
        """Seconds until all of ``jobs``, the ones not finished, are; None before anything is known.

        A run takes what its own progress says, or what was expected of it times what that was off by so far, or as long
        as those that have ended.
        """
        seconds = 0.0
        for job in jobs:
            row = self.running.get(job.run_id)
            whole = self._whole(job, row)
            if whole is None:
                return None
            seconds += whole if row is None else max(0.0, whole * (1 - row.share))
        return seconds / self.n_jobs

    def _whole(self, job: SweepJob, row: Row | None) -> float | None:
        if row is not None and row.share > 0.02:
            return (self.clock() - row.started) / row.share
        if job.run_id in self.expected:
            judged = {one for one in self.took if self.expected.get(one, 0.0) > 0}
            off_by = fmean(self.took[one] / self.expected[one] for one in judged) if judged else 1.0
            return self.expected[job.run_id] * off_by
        if self.took:
            return fmean(self.took.values())
        begun = [other for other in self.running.values() if other.share > 0.02]
        return fmean((self.clock() - other.started) / other.share for other in begun) if begun else None
