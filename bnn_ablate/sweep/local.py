"""A sweep on this machine: what is left of it, how many runs at a time, and what became of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from bnn_ablate.console import say
from bnn_ablate.identity import ids_of
from bnn_ablate.job import diverged_line, done_line, session
from bnn_ablate.outcome import Outcome
from bnn_ablate.record import Record, RecordError
from bnn_ablate.report.numbers import counted
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.states import retry_hint
from bnn_ablate.store import Store
from bnn_ablate.sweep.board import Best, Board
from bnn_ablate.sweep.estimate import expected_seconds
from bnn_ablate.sweep.jobs import SweepJob, float_networks
from bnn_ablate.sweep.past import read_past
from bnn_ablate.sweep.pool import Pool
from bnn_ablate.sweep.standing import standing_of
from bnn_ablate.sweep.sweeping import Sweep, write_study
from bnn_ablate.sweep.view import view_of

NJobs = int | Literal["auto"]

#: More finished runs than this are counted, not named.
NAMED = 20


def run_here(planned: Sweep, *, n_jobs: NJobs, timeout_minutes: float | None) -> None:
    """Train what is left of a sweep in processes on this machine; the launcher ``local``.

    Failures are told and counted in the session. Raises SettingsError before anything starts, KeyboardInterrupt after
    a stop that was asked for.
    """
    jobs = planned.jobs.jobs
    check_timeout(timeout_minutes)
    left, best = left_of(planned.store, jobs)
    first = [job for job in float_networks(left) if record_of(planned.store, job) is None]
    at_a_time = jobs_at_a_time(n_jobs, [job.settings for job in (*first, *left)])
    write_study(planned)
    if planned.jobs.repeated:
        say(f"{counted(planned.jobs.repeated, 'combination')} the same run as another one: trained once")
    train_all(
        planned.store,
        [*first, *left],
        at_a_time,
        timeout_minutes,
        Board(
            total=len(jobs) + len(first),
            skipped=len(jobs) - len(left),
            n_jobs=at_a_time,
            best=best,
            expected=expected_of(planned.store, [*first, *left]),
        ),
    )


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
    at_a_time = jobs_at_a_time(n_jobs, settings)
    return train_all(store, jobs, at_a_time, timeout_minutes, Board(total=len(jobs), skipped=0, n_jobs=at_a_time))


def train_all(
    store: Store, jobs: Sequence[SweepJob], n_jobs: int, timeout_minutes: float | None, board: Board
) -> dict[str, Outcome]:
    """Train ``jobs`` and say how it went; failures are counted in the session."""
    if not jobs:
        return {}
    store.root.mkdir(parents=True, exist_ok=True)
    say(f"{counted(len(jobs), 'run')} to train, {n_jobs} at a time")
    with view_of(board, jobs, store) as view:
        pool = Pool(
            store,
            view,
            n_jobs=n_jobs,
            timeout=None if timeout_minutes is None else 60 * timeout_minutes,
            gpus=gpus() if uses_gpus(jobs[0].settings) else (),
        )
        outcomes = pool.run(jobs)
    say(summary(jobs, outcomes, board.skipped))
    session.failures += sum(outcome.kind not in ("done", "stopped") for outcome in outcomes.values())
    if pool.interrupts.count:
        raise KeyboardInterrupt
    session.failures += len(jobs) - len(outcomes)  # left because the disk stayed full
    return outcomes


def left_of(store: Store, jobs: Sequence[SweepJob]) -> tuple[list[SweepJob], Best | None]:
    """The jobs that are to be trained, and the best of the others. Diverged runs are outcomes: told, not repeated."""
    left = []
    done: list[tuple[SweepJob, Record]] = []
    for job in jobs:
        try:
            record = record_of(store, job)
            status = store.run(job.run_id).status() if record is None else None
        except RecordError as error:
            session.failures += 1
            say(f"error: {error}  ({job.label})")
            continue
        if record is not None:
            done.append((job, record))
        elif status is not None and status.state == "diverged":
            session.failures += 1
            folder = store.run(job.run_id)
            say(f"{diverged_line(folder)}; {retry_hint(folder)}  ({job.label})")
        else:
            left.append(job)
    if len(done) <= NAMED:
        for job, record in done:
            say(done_line(record, job.label, "already done"))
    else:
        say(f"{len(done)} of {len(jobs)} runs already done")
    best = max(done, key=lambda pair: pair[1].accuracy.top1, default=None)
    return left, None if best is None else Best(best[1].accuracy.top1, best[0].label)


def record_of(store: Store, job: SweepJob) -> Record | None:
    """The record of a done run."""
    return store.run(job.run_id).record()


def jobs_at_a_time(n_jobs: NJobs, settings: Sequence[Settings]) -> int:
    """How many runs are trained side by side; ``auto`` fills the processors, or the GPUs. Raises SettingsError."""
    if n_jobs != "auto":
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs < 1:
            raise SettingsError(f"hydra.launcher.n_jobs={n_jobs} must be auto or a whole number from 1 on")
        return n_jobs
    if not settings:
        return 1
    if any(uses_gpus(one) for one in settings):
        most = max(one.trainer.devices for one in settings)
        found = gpus()
        if most > len(found):
            raise SettingsError(
                f"trainer.devices={most} is more than the {counted(len(found), 'GPU')} of this machine: choose fewer, "
                "or trainer=cpu"
            )
        return max(1, len(found) // most)
    most = max(one.trainer.threads * one.trainer.devices for one in settings)
    return max(1, len(os.sched_getaffinity(0)) // most)


def uses_gpus(settings: Settings) -> bool:
    """Whether a run needs GPUs of its own."""
    return settings.trainer.accelerator == "gpu"


def gpus() -> list[str]:
    """The GPUs that runs may use, as CUDA_VISIBLE_DEVICES names them.

    Asked of the driver's own tool: this process must not touch CUDA, and does not need torch.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    asked = subprocess.run([tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return asked.stdout.split() if asked.returncode == 0 else []


def check_timeout(minutes: float | None) -> None:
    """Refuse a timeout that is none."""
    if minutes is not None and (isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes <= 0):
        raise SettingsError(f"hydra.launcher.timeout_minutes={minutes} must be null or more than 0")


def summary(jobs: Sequence[SweepJob], outcomes: Mapping[str, Outcome], skipped: int) -> str:
    """What became of a sweep: how many of each kind, and the reason of each run that is not done."""
    kinds = {
        "done": "trained",
        "refused": "refused",
        "failed": "failed",
        "diverged": "diverged",
        "disk full": "without room on the disk",
    }
    counts = [f"{skipped} already done"] if skipped else []
    for kind, word in {**kinds, "stopped": "stopped"}.items():
        number = sum(outcome.kind == kind for outcome in outcomes.values())
        counts += [f"{number} {word}"] if number else []
    left = len(jobs) - len(outcomes)
    counts += [f"{left} not started"] if left else []
    lines = [f"\n{counted(len(jobs) + skipped, 'run')}: {', '.join(counts)}"]
    labels = {job.run_id: job.label for job in jobs}
    for run_id, outcome in outcomes.items():
        if outcome.kind != "done":
            lines.append(f"  {run_id}  {outcome.kind:9}  {labels[run_id]}: {outcome.sentence.splitlines()[0]}")
    return "\n".join(lines)
