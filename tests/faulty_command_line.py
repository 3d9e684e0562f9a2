"""``python -m bnn_ablate`` with faults: training processes of the sweep that fail once, each in a way of its own.

The environment variable FAULTS names a folder. A file in it named by a run's label and ending in the fault says what
happens to that run in its eighth training step; taking the file away first makes it happen once. Every training that
begins is a line in ``trainings``.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path

FAULTS = Path(os.environ["FAULTS"])
STEP = 7


def raise_an_error() -> None:
    raise ZeroDivisionError("on purpose")


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    while True:
        time.sleep(3600)


def wait_for_the_sweep_to_be_stopped() -> None:
    """Say that the run has come so far, and go on once the sweep has asked for a stop."""
    stopped = signal.getsignal(signal.SIGTERM)
    asked = False

    def note(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        assert callable(stopped)
        stopped(number, frame)

    signal.signal(signal.SIGTERM, note)
    (FAULTS / "waiting").touch()
    while not asked:
        signal.pause()
    signal.signal(signal.SIGTERM, stopped)


def fill_the_disk() -> None:
    """The next checkpoint finds no room; later ones do."""
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if "last.ckpt" in os.readlink(f"/proc/self/fd/{descriptor}"):
            os.fsync = original
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    os.fsync = fsync


KINDS = {
    "raises": raise_an_error,
    "killed": be_killed,
    "hangs": hang,
    "full": fill_the_disk,
    "waits": wait_for_the_sweep_to_be_stopped,
}


def happen(label: str) -> None:
    for kind, happens in KINDS.items():
        file = FAULTS / f"{label}.{kind}"
        if file.exists():
            file.unlink()
            happens()


def prepare() -> None:
    """What the server of processes does before the first one: put the faults into training."""
    from bnn_ablate import run
    from bnn_ablate.classifier import Classifier

    training_step, new_network = Classifier.training_step, run.new_network

    def faulty_step(self, batch, batch_idx):
        if self.global_step == STEP:
            happen(f"{self.settings.design.grad.name}-{self.settings.seed}")
        return training_step(self, batch, batch_idx)

    def counted_network(settings):
        with open(FAULTS / "trainings", "a") as file:  # short appends do not mix
            file.write(f"{settings.design.grad.name}-{settings.seed}\n")
        return new_network(settings)

    Classifier.training_step, run.new_network = faulty_step, counted_network


if __name__ == "__main__":
    from bnn_ablate.__main__ import main
    from bnn_ablate.sweep import pool

    pool.PRELOAD = (*pool.PRELOAD, "faulty_command_line")
    pool.GRACE_SECONDS = 1.0
    main()
elif "multiprocessing.forkserver" in sys.modules and "bnn_ablate.run" in sys.modules:
    prepare()
