"""What of a sweep is left to train, and what became of the rest before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bnn_ablate.console import say
from bnn_ablate.job import diverged_line, done_line
from bnn_ablate.record import Record, RecordError
from bnn_ablate.states import retry_hint
from bnn_ablate.store import Store
from bnn_ablate.sweep.board import Best
from bnn_ablate.sweep.jobs import SweepJob
from bnn_ablate.sweep.standing import standing_of

#: More finished runs than this are counted, not named.
NAMED = 20


@dataclass(frozen=True)
class Remaining:
    """``left`` are the jobs to train. ``done``, ``diverged`` and ``broken`` count the others."""

    left: list[SweepJob]
    done: int
    diverged: int
    broken: int
    best: Best | None

    @property
    def failures(self) -> int:
        return self.diverged + self.broken


def remaining(store: Store, jobs: Sequence[SweepJob]) -> Remaining:
    """Look at each job's folder and tell what is there. Diverged runs are outcomes: told, not repeated."""
    left = []
    done: list[tuple[SweepJob, Record]] = []
    diverged = broken = 0
    for job in jobs:
        folder = store.run(job.run_id)
        try:
            record = folder.record()
            status = folder.status() if record is None else None
        except RecordError as error:
            broken += 1
            say(f"error: {error}  ({job.label})")
            continue
        if record is not None:
            done.append((job, record))
        elif status is not None and status.state == "diverged":
            diverged += 1
            say(f"{diverged_line(status)}; {retry_hint(folder)}  ({job.label})")
        else:
            left.append(job)
    if len(done) <= NAMED:
        for job, record in done:
            say(done_line(record, job.label, "already done"))
    else:
        say(f"{len(done)} of {len(jobs)} runs already done")
    best = max(done, key=lambda pair: pair[1].accuracy.top1, default=None)
    return Remaining(
        left, len(done), diverged, broken, None if best is None else Best(best[1].accuracy.top1, best[0].label)
    )


def to_train_first(store: Store, networks: Sequence[SweepJob]) -> list[SweepJob]:
    """Float networks that are not over; what starts from a diverged or a broken one says so itself."""
    over = ("done", "diverged", "broken")
    return [job for job in networks if standing_of(store.run(job.run_id)).state not in over]
