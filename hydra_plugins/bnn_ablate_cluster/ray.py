"""A sweep as tasks of a Ray cluster, each started as hydra-ray-launcher does it, and all waited for.

That plugin's own launcher leaves at the first task that is lost, and Ray ends the others with it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict


class RayLauncher(Launcher):
    """A task of Ray for each run, in a process of its own; returns when all of them have ended.

    Ctrl-C cancels the tasks: those that run write a checkpoint. What became of the runs stands in their folders.
    """

    def __init__(self, address: str | None, num_cpus: int, num_gpus: int, max_retries: int) -> None:
        self.address = address
        # max_calls: a process that has trained keeps memory and settings that the next run must not meet
        self.remote = {"num_cpus": num_cpus, "num_gpus": num_gpus, "max_retries": max_retries, "max_calls": 1}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        try:
            import ray
            from hydra_plugins.hydra_ray_launcher._launcher_util import launch_job_on_ray
        except ModuleNotFoundError as error:
            print(f"error: hydra/launcher=ray_cluster needs {error.name}: see docs/CLUSTER.md", flush=True)
            sys.exit(1)
        setup_globals()
        try:
            ray.init(address=self.address, logging_level=logging.WARNING)
        except ConnectionError as error:
            print(f"error: hydra.launcher.address={self.address}: {error}", flush=True)
            sys.exit(1)
        tasks = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            tasks.append(
                launch_job_on_ray(
                    self.hydra_context,
                    OmegaConf.create(self.remote),
                    self._composed(list(overrides), number),
                    InFolder(Path.cwd(), self.task_function),
                    Singleton.get_state(),
                )
            )
        try:
            wait_for(tasks)
        except KeyboardInterrupt:
            for task in tasks:
                ray.cancel(task)
            wait_for(tasks)
            raise
        return []

    def _composed(self, overrides: list[str], number: int) -> DictConfig:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = f"job_id_for_{number}"
            config.hydra.job.num = number
            config.hydra.sweep.dir = os.path.abspath(config.hydra.sweep.dir)
        return config


class InFolder:
    """The task function in the folder where the command was given: a worker of Ray starts in another one."""

    def __init__(self, folder: Path, task_function: TaskFunction) -> None:
        self.folder = folder
        self.task_function = task_function

    def __call__(self, config: DictConfig) -> Any:
        os.chdir(self.folder)
        return self.task_function(config)


def wait_for(tasks: list[Any]) -> None:
    """Return when no task runs; tells of those that were lost."""
    import ray

    left = tasks
    while left:
        ended, left = ray.wait(left)
        for task in ended:
            try:
                ray.get(task)
            except Exception as error:  # whatever ended it, the others go on
                said = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
                print(f"a task of Ray was lost: {said}", flush=True)
