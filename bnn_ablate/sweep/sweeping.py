"""A sweep from its overrides to its end: jobs, study, launcher, exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from bnn_ablate.console import first_line, say
from bnn_ablate.job import session
from bnn_ablate.record import RecordError
from bnn_ablate.settings import SettingsError, check_study
from bnn_ablate.store import Store
from bnn_ablate.study import Job, asked, default_name, plan_jobs
from bnn_ablate.sweep.declaring import check_declared, declaration_of
from bnn_ablate.sweep.expand import Overrides
from bnn_ablate.sweep.jobs import SweepJobs, sweep_jobs
from bnn_ablate.sweep.remaining import remaining


class ConfigLoader(Protocol):
    """What composes a job's configuration: Hydra's own loader."""

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig: ...

    def get_sources(self) -> list[Any]: ...


@dataclass(frozen=True)
class Sweep:
    """What a launcher of ours is given: the study's name, the store of its runs, and all its jobs."""

    study: str
    store: Store
    jobs: SweepJobs


def sweep(
    overrides: Sequence[Override],
    expand: Callable[[Sequence[Override]], list[Overrides]],
    launcher: Any,
    loader: ConfigLoader,
    config: DictConfig,
    *,
    way: str = "",
) -> list[JobReturn]:
    """Do what the command line asks with ``launcher``; failures are counted in :data:`bnn_ablate.job.session`.

    ``launcher`` is one of ours, which takes the composed jobs, or any other of Hydra's, which gets the overrides of the
    runs that are not done. ``way`` is how ``expand`` makes jobs of overrides, where that is not all of their
    combinations: the same overrides then are another study.
    """
    with one_sentence():
        expanded = expand(overrides)
        if any(override.get_key_element() == "study" and override.is_sweep_override() for override in overrides):
            raise SettingsError("study= is the name of the whole sweep: give one name")
        if any(_is_of_analysis(override) and override.is_sweep_override() for override in overrides):
            raise SettingsError("analysis. is asked of the whole sweep: give one value")
        name = study_name(config, [str(override.input_line) for override in overrides], way)
    return _launched([(*one, f"study={name}") for one in expanded], name, launcher, loader, config, whole=True)


def _is_of_analysis(override: Override) -> bool:
    return override.get_key_element().lstrip("+").startswith("analysis.")


def launch(
    job_overrides: Sequence[Sequence[str]], launcher: Any, loader: ConfigLoader, config: DictConfig
) -> list[JobReturn]:
    """The same for the jobs of another sweeper, which come as overrides; of several batches each is a call."""
    with one_sentence():
        name = study_name(config, list(config.hydra.overrides.task), config.hydra.runtime.choices["hydra/sweeper"])
    return _launched([(*one, f"study={name}") for one in job_overrides], name, launcher, loader, config, whole=False)


def _launched(
    overrides: Sequence[Overrides], name: str, launcher: Any, loader: ConfigLoader, config: DictConfig, *, whole: bool
) -> list[JobReturn]:
    jobs = sweep_jobs(overrides, lambda one: loader.load_sweep_config(config, list(one)), folders_of(loader))
    planned = Sweep(name, Store(Path(config.runs)), jobs)
    session.failures += len(jobs.refused)
    if not getattr(launcher, "tells_refused", False):
        for refused in jobs.refused:
            say(f"error: {refused.reason}  ({refused.label})")
        if not jobs.jobs:  # a slip of the keyboard leaves no study behind
            return []
    with one_sentence():
        if whole:  # a batch of another sweeper may hold one option of an axis that the study varies
            check_declared(planned.store, name, jobs)
        if hasattr(launcher, "launch_jobs"):
            launcher.launch_jobs(planned)
        else:
            launch_elsewhere(planned, launcher)
    return [_job_return(one) for one in overrides]


def folders_of(loader: ConfigLoader) -> list[Path]:
    """The folders of options, conf/ and those of hydra.searchpath."""
    return [Path(source.path) for source in loader.get_sources() if source.scheme() == "file"]


def _job_return(overrides: Overrides) -> JobReturn:
    """What Hydra expects of a job. Failures are told by the store; raised here they would hide the other jobs."""
    return JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=None)


def launch_elsewhere(planned: Sweep, launcher: Any) -> None:
    """Hand the runs that are not done to a launcher that is not ours: SLURM, Ray, Hydra's own.

    What became of them is read from their folders: an engine's own account is lost with the first job that fails.
    """
    write_study(planned)
    before = remaining(planned.store, planned.jobs.jobs)
    counted = session.failures + before.failures
    if before.left:
        try:
            launcher.launch([list(job.overrides) for job in before.left], initial_job_idx=0)
        except Exception as error:  # an engine raises what it likes for a job that it lost
            say(f"error: {type(launcher).__name__} lost jobs ({type(error).__name__}: {first_line(error)})")
    lost = [job for job in before.left if not planned.store.run(job.run_id).has_record]
    session.failures = counted + len(lost)
    if lost:
        say(f"{len(lost)} of {len(before.left)} runs have no record yet; repeat the command to go on with them")


def write_study(planned: Sweep) -> None:
    """Write down the whole sweep before its first run starts, so that a table can tell what is missing."""
    session.store, session.study = planned.store, planned.study
    jobs = []
    for job in planned.jobs.jobs:
        words = asked(list(job.overrides), folder=job.settings.data.name == "image_folder")
        jobs.append(Job(overrides=words, run_id=job.run_id))
    for refused in planned.jobs.refused:
        jobs.append(Job(overrides=asked(list(refused.overrides)), run_id=None, refused=refused.reason))
    with writable(planned.store.root):
        declaration = declaration_of(planned.store, planned.study, planned.jobs)
        plan_jobs(planned.store.studies, planned.study, jobs, declaration)


def study_name(config: DictConfig, overrides: list[str], way: str) -> str:
    """``study=NAME``, or the swept axes with a hash of what is asked, and before it the way, where there is one."""
    if config.study is not None:
        check_study(str(config.study))
        return str(config.study)
    name = default_name(overrides)
    return f"{way}-{name}" if way not in ("", "basic", "grid") else name


@contextmanager
def one_sentence() -> Iterator[None]:
    """Leave with a sentence where the sweep cannot begin; Hydra would show a traceback."""
    try:
        yield
    except (RecordError, SettingsError) as error:
        say(f"error: {error}")
        sys.exit(1)


@contextmanager
def writable(runs: Path) -> Iterator[None]:
    """The same where the folder of the runs cannot be written."""
    try:
        yield
    except OSError as error:
        say(f"error: runs={runs} cannot be written: {error.strerror}")
        sys.exit(1)
