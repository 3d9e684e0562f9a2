"""Hydra's launchers of ours: processes on this machine, and a plan that runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SweepLauncher(Launcher):
    """A launcher that takes jobs as our sweepers have composed them; for other sweepers it composes them itself."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bnn_ablate.sweep.sweeping import launch

        return launch(job_overrides, self, self.hydra_context.config_loader, self.config)

    def launch_jobs(self, sweep: Any) -> None:
        """Do what this launcher does with a :class:`bnn_ablate.sweep.sweeping.Sweep`."""
        raise NotImplementedError


class LocalLauncher(SweepLauncher):
    """A process for each run, ``n_jobs`` at a time; finished runs are skipped, failures stay alone."""

    def __init__(self, n_jobs: int | Literal["auto"], timeout_minutes: float | None) -> None:
        self.n_jobs = n_jobs
        self.timeout_minutes = timeout_minutes

    def launch_jobs(self, sweep: Any) -> None:
        from bnn_ablate.sweep.local import run_here

        run_here(sweep, n_jobs=self.n_jobs, timeout_minutes=self.timeout_minutes)


class PlanLauncher(SweepLauncher):
    """Prints which runs a sweep would make, which of them are done, and what the others would cost; runs nothing."""

    #: Combinations that make no sense are part of what is printed.
    tells_refused = True

    def __init__(self, n_jobs: int | Literal["auto"], format: str) -> None:
        self.n_jobs = n_jobs
        self.format = format

    def launch_jobs(self, sweep: Any) -> None:
        from bnn_ablate.sweep.planning import print_plan

        print_plan(sweep, n_jobs=self.n_jobs, output=self.format)
