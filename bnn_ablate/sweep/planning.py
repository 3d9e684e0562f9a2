"""What a sweep would run, what of it is done, and what the rest would cost."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnn_ablate.console import say
from bnn_ablate.job import session
from bnn_ablate.record import CostFacts
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.sweep.estimate import Estimate, from_records, from_steps
from bnn_ablate.sweep.footprint import expected_bytes, free_bytes
from bnn_ablate.sweep.jobs import RefusedJob, SweepJob, float_networks
from bnn_ablate.sweep.local import NJobs, check_n_jobs, jobs_at_a_time
from bnn_ablate.sweep.past import Ask, Past, ask_of, read_past
from bnn_ablate.sweep.standing import Standing, folder_bytes, standing_of
from bnn_ablate.sweep.sweeping import Sweep

#: Formats of a plan: for people, and for scripts.
FORMATS = ("text", "json", "csv")


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan.

    ``whole`` and ``left`` are the time from its start, and from where it is now, to its record. None where nothing is
    left, and where ``remark`` says why nobody knows. ``bytes_left`` is by how much its folder will grow.
    """

    job: SweepJob
    standing: Standing
    whole: Estimate | None
    left: Estimate | None
    bytes_left: int | None
    remark: str | None


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep, those first that others start from.

    ``at_a_time`` is None where this machine cannot train them. ``unreadable`` counts records that told nothing.
    """

    study: str
    root: Path
    runs: tuple[PlannedRun, ...]
    refused: tuple[RefusedJob, ...]
    repeated: int
    at_a_time: int | None
    bytes_free: int
    unreadable: int

    @property
    def seconds_left(self) -> float:
        """Of the runs whose time is known, one after the other."""
        return sum(run.left.seconds for run in self.runs if run.left is not None)

    @property
    def wall_seconds(self) -> float | None:
        """The same with ``at_a_time`` runs side by side."""
        if self.at_a_time is None:
            return None
        return makespan([run.left.seconds for run in self.runs if run.left is not None], self.at_a_time)

    @property
    def bytes_left(self) -> int:
        """Of the runs whose size is known."""
        return sum(run.bytes_left for run in self.runs if run.bytes_left is not None)

    @property
    def unknown(self) -> list[PlannedRun]:
        """Runs that are left and have no estimate."""
        return [run for run in self.runs if run.standing.to_do and run.left is None]


def print_plan(planned: Sweep, *, n_jobs: NJobs, output: str) -> None:
    """Print the plan of a sweep. Raises SettingsError."""
    from bnn_ablate.sweep.plan_output import to_csv, to_json
    from bnn_ablate.sweep.plan_text import to_text

    if output not in FORMATS:
        raise SettingsError(f"hydra.launcher.format={output}: input should be one of {', '.join(FORMATS)}")
    plan = make_plan(planned, n_jobs)
    session.failures += sum(run.standing.state == "broken" for run in plan.runs)
    say({"text": to_text, "json": to_json, "csv": to_csv}[output](plan))


def make_plan(planned: Sweep, n_jobs: NJobs) -> Plan:
    """Look at every run and estimate what is left. Nothing is written; torch is imported only where records say too
    little."""
    store, jobs = planned.store, planned.jobs.jobs
    standings = {job.run_id: standing_of(store.run(job.run_id)) for job in jobs}
    needed = {job.needs for job in jobs if standings[job.run_id].to_do}
    first = []
    for job in float_networks(jobs):
        standing = standing_of(store.run(job.run_id))
        if standing.state == "done" or job.run_id in needed:
            first.append(job)
            standings[job.run_id] = standing
    every = [*first, *jobs]
    left = [job for job in every if standings[job.run_id].to_do]
    past = read_past(store) if left else Past((), {}, (), 0)
    outlook = look_ahead([job for job in left if _never(job, standings) is None], past, standings)
    runs = []
    for job in every:
        found = outlook.get(job.run_id)
        size = None
        if found is not None and found.cost is not None:
            whole = expected_bytes(found.ask, found.cost, past, job.settings.tracking)
            size = max(0, whole - folder_bytes(store.run(job.run_id)))
        standing = standings[job.run_id]
        remark = _never(job, standings) if found is None else found.remark
        runs.append(
            PlannedRun(
                job=job,
                standing=standing,
                whole=None if found is None else found.whole,
                left=None if found is None else found.left,
                bytes_left=size,
                remark=standing.remark if remark is None else remark,
            )
        )
    return Plan(
        study=planned.study,
        root=store.root,
        runs=tuple(runs),
        refused=planned.jobs.refused,
        repeated=planned.jobs.repeated,
        at_a_time=_at_a_time(n_jobs, [job.settings for job in left]),
        bytes_free=free_bytes(store.root),
        unreadable=past.unreadable,
    )


def _never(job: SweepJob, standings: dict[str, Standing]) -> str | None:
    """Why the run cannot be had, however long one waits."""
    first = None if job.needs is None else standings.get(job.needs)
    if first is None or first.state not in ("diverged", "broken"):
        return None
    return f"starts from run {job.needs}, which is {first.state}"


def _at_a_time(n_jobs: NJobs, settings: Sequence[Settings]) -> int | None:
    check_n_jobs(n_jobs)
    try:
        return jobs_at_a_time(n_jobs, settings)
    except SettingsError:  # they need GPUs and this machine has too few: a plan may be made elsewhere
        return None if n_jobs == "auto" else n_jobs


@dataclass
class Outlook:
    """What is known of a run that is left."""

    ask: Ask
    settings: Settings
    epochs_done: int
    cost: CostFacts | None = None
    whole: Estimate | None = None
    left: Estimate | None = None
    remark: str | None = None

    def estimate(self, by: Callable[[Ask, CostFacts, int], Estimate | None]) -> None:
        """Take what ``by`` says of a whole run and of the rest of this one, unless there is an estimate."""
        if self.cost is not None and self.left is None:
            self.whole = by(self.ask, self.cost, 0)
            self.left = by(self.ask, self.cost, self.epochs_done)


def look_ahead(jobs: Sequence[SweepJob], past: Past, standings: dict[str, Standing]) -> dict[str, Outlook]:
    """Time and size of each run: from records, else from its network's MACs and records of others or timed steps."""
    outlook = {job.run_id: Outlook(ask_of(job), job.settings, standings[job.run_id].epochs) for job in jobs}
    _count(list(outlook.values()), past)
    for found in outlook.values():
        found.estimate(lambda ask, cost, done: from_records(ask, cost, past, epochs_done=done))
    _time([found for found in outlook.values() if found.left is None and found.cost is not None])
    return outlook


def _count(outlook: Sequence[Outlook], past: Past) -> None:
    """Find each network's cost; those that no record has are built and counted."""
    costs: dict[str, CostFacts] = dict(past.costs)
    impossible: dict[str, str] = {}
    for found in outlook:
        key = found.ask.counted
        if found.ask.task.steps == 0:
            found.remark = f"recipe.batch_size={found.ask.task.batch_size} is more than its training images"
            continue
        if key not in costs and key not in impossible:
            from bnn_ablate.sweep.calibration import count

            try:
                costs[key] = count(found.settings)
            except SettingsError as error:
                impossible[key] = str(error)
        found.cost, found.remark = costs.get(key), impossible.get(key)


def _time(outlook: Sequence[Outlook]) -> None:
    """Time steps of what no record is like."""
    if not outlook:
        return
    from bnn_ablate.sweep.calibration import calibrate, why_not

    possible = []
    for found in outlook:
        found.remark = why_not(found.settings)
        if found.remark is None:
            possible.append(found)
    if not possible:
        return
    print(f"no record is like {len(possible)} of the runs: timing a few steps", file=sys.stderr, flush=True)
    asked = {found.ask: found.settings for found in possible}
    timed = calibrate(asked, {found.ask.counted: found.cost for found in possible if found.cost is not None})
    for found in possible:
        found.estimate(lambda ask, cost, done: from_steps(ask, cost, timed, epochs_done=done))
        if found.left is None:
            found.remark = "was not timed: too many different networks for a short calibration"


def makespan(seconds: Iterable[float], workers: int) -> float:
    """When the last of these is over, where each in turn goes to the worker that is free first."""
    free_at = [0.0] * workers
    for one in seconds:
        heapq.heapreplace(free_at, free_at[0] + one)
    return max(free_at)
