"""Which sweep a dashboard is about: its axes, and the W&B project that its runs went to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from bnn_ablate.store import Store
from bnn_ablate.study import Job, read_study, study_path
from bnn_ablate.study_axes import Axis, axes_of


class DashboardError(ValueError):
    """A dashboard that cannot be made; the message is one sentence."""


@dataclass(frozen=True)
class Subject:
    """One sweep: its name, which is the group of its runs in W&B, its axes, and its project."""

    sweep: str
    axes: tuple[Axis, ...]
    project: str


def subject_of(root: Path, sweep: str, project: str | None) -> Subject:
    """The sweep of that name under ``root``; ``project`` where it is not the one that its runs were given.

    Raises DashboardError, and RecordError where a file is broken.
    """
    store = Store(root)
    path = study_path(store.studies, sweep)
    if not path.exists():
        known = sorted(file.stem for file in store.studies.glob("*.json"))
        there = f"choose one of {', '.join(known)}" if known else "it has none yet"
        raise DashboardError(f"sweep={sweep}: {root} has no sweep of this name; {there}")
    jobs = read_study(path).jobs
    axes = tuple(axes_of(jobs))
    if not axes:
        raise DashboardError(f"sweep={sweep}: its runs differ in no axis so far, so there is nothing to compare")
    return Subject(sweep, axes, project if project is not None else project_of(store, sweep, jobs))


def project_of(store: Store, sweep: str, jobs: list[Job]) -> str:
    """The project that the sweep's runs were given; raises DashboardError where that is none, or several."""
    found: set[str] = set()
    for job in jobs:
        if job.run_id is not None:
            config = store.run(job.run_id).path / "config.yaml"
            found |= {tracked_in(config)} if config.exists() else set()
    if len(found) != 1:
        why = f"went to the projects {', '.join(sorted(found))}" if found else "have not begun"
        raise DashboardError(f"sweep={sweep}: its runs {why}; give project=NAME")
    return found.pop()


def tracked_in(config: Path) -> str:
    """tracking.project of a run's configuration."""
    try:
        saved: Any = OmegaConf.load(config)
        return str(saved.tracking.project)
    except (YAMLError, OSError, AttributeError):
        raise DashboardError(f"{config} is damaged; give project=NAME") from None
