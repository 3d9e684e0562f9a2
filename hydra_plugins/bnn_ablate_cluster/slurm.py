"""A sweep as one job array of SLURM, submitted as hydra-submitit-launcher does it, and waited for to its end.

That plugin's own launcher leaves at the first job that is lost, while the others run on, and waits for ever where SLURM
keeps no accounts (sacct); this one asks the queue.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

SECONDS_BETWEEN_LOOKS = 2.0

#: How often a training that is to stop is looked for: the signal may come before it begins.
SECONDS_BETWEEN_TRIES = 0.1

#: A controller that restarts is waited for; each look that fails takes squeue itself some seconds more.
LOOKS_WITHOUT_ANSWER = 60

#: Parameters of the launcher that go to submitit under the names they have; all others get the prefix ``slurm_``.
COMMON = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name")


class QueueError(RuntimeError):
    """SLURM does not answer; the message is its own."""


class SlurmLauncher(Launcher):
    """A job of SLURM for each run; returns when none of them is in the queue any more.

    Ctrl-C cancels the array: jobs that run get SIGTERM and write a checkpoint. What became of the runs stands in their
    folders.
    """

    def __init__(self, folder: str, max_num_timeout: int, **parameters: Any) -> None:
        self.folder = folder
        self.max_num_timeout = max_num_timeout
        self.parameters = parameters

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = self._submit([list(overrides) for overrides in job_overrides], initial_job_idx)
        array = jobs[0].job_id.split("_")[0]
        print(
            f"{len(jobs)} runs are job array {array} of SLURM, which writes to {jobs[0].paths.folder.parent}; "
            "Ctrl-C cancels it, with checkpoints",
            flush=True,
        )
        try:
            wait_for(array)
        except KeyboardInterrupt:
            subprocess.run(["scancel", array], check=False)
            wait_for(array)
            raise
        for job in jobs:
            if not job.paths.result_pickle.exists():
                print(f"job {job.job_id} of SLURM ended before its run; see {job.paths.stderr}", flush=True)
        return []

    def _submit(self, job_overrides: list[list[str]], first: int) -> list[Any]:
        try:
            import submitit
            from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as RemoteJob
        except ModuleNotFoundError as error:
            print(f"error: hydra/launcher=slurm needs {error.name}: pip install -e '.[slurm]'", flush=True)
            sys.exit(1)
        remote = RemoteJob()
        remote.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
        executor = submitit.AutoExecutor(
            folder=self.folder, cluster="slurm", slurm_max_num_timeout=self.max_num_timeout
        )
        plain = {
            name: OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
            for name, value in self.parameters.items()
        }
        executor.update_parameters(
            **{name if name in COMMON else f"slurm_{name}": value for name, value in plain.items()}
        )
        count = range(first, first + len(job_overrides))
        return executor.map_array(
            Stoppable(remote),
            job_overrides,
            ["hydra.sweep.dir"] * len(count),
            list(count),
            [f"job_id_for_{number}" for number in count],
            [Singleton.get_state()] * len(count),
        )


class Stoppable:
    """What a job calls. Submitit's signal before the time limit first makes a checkpoint, then puts the job back."""

    def __init__(self, remote: Any) -> None:
        self.remote = remote

    def __call__(self, *arguments: Any) -> Any:
        import submitit

        number = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")
        put_back: Any = signal.getsignal(number)
        nobody = signal.getsignal(signal.SIGTERM)  # submitit's handler does nothing with it
        asked = threading.Event()
        ended = threading.Event()

        def stop_training() -> None:
            asked.wait()
            while not ended.wait(SECONDS_BETWEEN_TRIES):
                if signal.getsignal(signal.SIGTERM) is not nobody:
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

        signal.signal(number, lambda *_: asked.set())
        threading.Thread(target=stop_training, daemon=True).start()
        try:
            return self.remote(*arguments)
        except KeyboardInterrupt:
            if asked.is_set():
                put_back(number, None)
            raise
        finally:
            ended.set()

    def checkpoint(self, *arguments: Any) -> Any:
        """How submitit submits the job once more: as it was, for the run's folder knows how far it is."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


def wait_for(array: str) -> None:
    """Return when no job of the array waits or runs; says how many do, and why they wait, when that changes."""
    told = None
    while states := queued(array):
        said = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
        if said != told:
            print(f"job array {array}: {said}", flush=True)
            told = said
        time.sleep(SECONDS_BETWEEN_LOOKS)


def queued(array: str) -> list[str]:
    """The states of the array's jobs that wait, with the reason, or run. Raises QueueError where SLURM is gone."""
    command = ["squeue", "--noheader", "--array", "--format=%T %r", f"--jobs={array}"]
    for attempt in range(LOOKS_WITHOUT_ANSWER):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
            return [state.lower() + (f" ({reason})" if state == "PENDING" else "") for state, reason in lines]
        if "Invalid job id" in done.stderr:  # SLURM has forgotten them
            return []
        if attempt == 0:
            print(f"SLURM does not answer: {done.stderr.strip()}", flush=True)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise QueueError(f"SLURM does not answer; its jobs may go on: {done.stderr.strip()}")
