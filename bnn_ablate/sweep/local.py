"""A sweep on this machine: what is left of it, how many runs at a time, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Literal

from bnn_ablate.console import say
from bnn_ablate.identity import ids_of
from bnn_ablate.job import session
from bnn_ablate.outcome import Outcome
from bnn_ablate.processor import gpus, processors
from bnn_ablate.report.numbers import counted
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import Store
from bnn_ablate.sweep.board import Board
from bnn_ablate.sweep.estimate import expected_seconds
from bnn_ablate.sweep.jobs import SweepJob, float_networks
from bnn_ablate.sweep.past import read_past
from bnn_ablate.sweep.pool import Pool
from bnn_ablate.sweep.remaining import Remaining, remaining, to_train_first
from bnn_ablate.sweep.standing import standing_of
from bnn_ablate.sweep.sweeping import Sweep, write_study
from bnn_ablate.sweep.view import view_of

NJobs = int | Literal["auto"]


def run_here(planned: Sweep, *, n_jobs: NJobs, timeout_minutes: float | None) -> None:
    """Train what is left of a sweep in processes on this machine; the launcher ``local``.

    Failures are told and counted in the session. Raises SettingsError before anything starts, KeyboardInterrupt after
    a stop that was asked for.
    """
    check_timeout(timeout_minutes)
    check_n_jobs(n_jobs)
    before = remaining(planned.store, planned.jobs.jobs)
    first = to_train_first(planned.store, float_networks(before.left))
    jobs = [*first, *before.left]
    at_a_time = jobs_at_a_time(n_jobs, [job.settings for job in jobs])
    write_study(planned)
    session.failures += before.failures
    if planned.jobs.repeated:
        say(f"{counted(planned.jobs.repeated, 'combination')} the same run as another one: trained once")
    board = Board(
        total=len(planned.jobs.jobs) + len(first),
        skipped=before.done + before.failures,
        n_jobs=at_a_time,
        best=before.best,
        expected=expected_of(planned.store, jobs),
    )
    train_all(planned.store, jobs, timeout_minutes, board, before)


def expected_of(store: Store, jobs: Sequence[SweepJob]) -> dict[str, float]:
    """Seconds that each run will take by the records of runs like it, for those that have some."""
    if not jobs:
        return {}
    past = read_past(store)
    expected = {}
    for job in jobs:
        seconds = expected_seconds(job, past, epochs_done=standing_of(store.run(job.run_id)).epochs)
        if seconds is not None:
            expected[job.run_id] = seconds
    return expected


def run_settings(
    settings: Sequence[Settings], labels: Sequence[str], *, n_jobs: NJobs, timeout_minutes: float | None
) -> dict[str, Outcome]:
    """Train these runs, all of one folder of runs, side by side; the outcome of each that was begun, by run id.

    Raises SettingsError before anything starts, KeyboardInterrupt after a stop that was asked for.
    """
    check_timeout(timeout_minutes)
    jobs = [SweepJob((), label, one, ids_of(one), None) for one, label in zip(settings, labels, strict=True)]
    if not jobs:
        return {}
    store = Store(Path(jobs[0].settings.runs))
    board = Board(total=len(jobs), skipped=0, n_jobs=jobs_at_a_time(n_jobs, settings))
    return train_all(store, jobs, timeout_minutes, board, Remaining(jobs, 0, 0, 0, None))


def train_all(
    store: Store, jobs: Sequence[SweepJob], timeout_minutes: float | None, board: Board, before: Remaining
) -> dict[str, Outcome]:
    """Train ``jobs`` and say how it went; failures are counted in the session. ``before`` is what was there already."""
    if not jobs:
        return {}
    store.root.mkdir(parents=True, exist_ok=True)
    say(f"{counted(len(jobs), 'run')} to train, {board.n_jobs} at a time")
    with view_of(board, jobs, store) as view:
        pool = Pool(
            store,
            view,
            n_jobs=board.n_jobs,
            timeout=None if timeout_minutes is None else 60 * timeout_minutes,
            gpus=gpus() if any(uses_gpus(job.settings) for job in jobs) else (),
        )
        outcomes = pool.run(jobs)
    say(summary(jobs, outcomes, before))
    session.failures += sum(outcome.kind not in ("done", "stopped") for outcome in outcomes.values())
    if pool.interrupts.count:
        raise KeyboardInterrupt
    session.failures += len(jobs) - len(outcomes)  # left because the disk stayed full
    return outcomes


def jobs_at_a_time(n_jobs: NJobs, settings: Sequence[Settings]) -> int:
    """How many runs are trained side by side; ``auto`` fills the processors, or the GPUs. Raises SettingsError."""
    check_n_jobs(n_jobs)
    on_gpus = max((one.trainer.devices for one in settings if uses_gpus(one)), default=0)
    found = gpus() if on_gpus else []
    if on_gpus > len(found):
        raise SettingsError(
            f"trainer.devices={on_gpus} with trainer.accelerator=gpu is more than the {counted(len(found), 'GPU')} of "
            "this machine: choose fewer, or trainer=cpu"
        )
    if n_jobs != "auto":
        return n_jobs
    if on_gpus:
        return len(found) // on_gpus
    threads = max((one.trainer.threads * one.trainer.devices for one in settings), default=1)
    return max(1, processors() // threads)


def check_n_jobs(n_jobs: NJobs) -> None:
    """Refuse a number of runs at a time that is none."""
    if n_jobs != "auto" and (isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs < 1):
        raise SettingsError(f"hydra.launcher.n_jobs={n_jobs} must be auto or a whole number from 1 on")


def uses_gpus(settings: Settings) -> bool:
    """Whether a run needs GPUs of its own."""
    return settings.trainer.accelerator == "gpu"


def check_timeout(minutes: float | None) -> None:
    """Refuse a timeout that is none."""
    number = isinstance(minutes, int | float) and not isinstance(minutes, bool)
    if minutes is not None and not (number and 0 < minutes < inf):
        raise SettingsError(f"hydra.launcher.timeout_minutes={minutes} must be null or more than 0")


def summary(jobs: Sequence[SweepJob], outcomes: Mapping[str, Outcome], before: Remaining) -> str:
    """What became of a sweep: how many of each kind, and the reason of each run that is not done.

    ``before`` counts what was there already.
    """
    numbers = [
        (before.done, "already done"),
        (before.diverged, "diverged before"),
        (before.broken, "with broken files"),
        *(
            (sum(outcome.kind == kind for outcome in outcomes.values()), word)
            for kind, word in {
                "done": "trained",
                "refused": "refused",
                "failed": "failed",
                "diverged": "diverged",
                "disk full": "without room on the disk",
                "stopped": "stopped",
            }.items()
        ),
        (len(jobs) - len(outcomes), "not started"),
    ]
    total = sum(number for number, _ in numbers)
    told = ", ".join(f"{number} {word}" for number, word in numbers if number)
    lines = [f"\n{counted(total, 'run')}: {told}"]
    labels = {job.run_id: job.label for job in jobs}
    for run_id, outcome in outcomes.items():
        if outcome.kind != "done":
            lines.append(f"  {run_id}  {outcome.kind:9}  {labels[run_id]}: {outcome.sentence.splitlines()[0]}")
    return "\n".join(lines)
