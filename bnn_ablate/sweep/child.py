"""One process of a sweep: one run, its output in its own folder, its progress and outcome told to the sweep."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import TextIO, cast

from bnn_ablate.outcome import Outcome, Progress, attempt, failure
from bnn_ablate.store import Store
from bnn_ablate.sweep.jobs import SweepJob

#: How long a run may take to its checkpoint once its sweep is gone.
ORPHAN_SECONDS = 120.0


def train_one(job: SweepJob, connection: Connection, gpus: Sequence[str]) -> None:
    """What the process does; it ends when the run does. ``gpus`` are those that it may see."""
    os.setsid()  # Ctrl-C in the terminal is for the sweep, which passes it on
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    stop_with_the_sweep()
    if job.settings.trainer.accelerator == "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    tell = Pipe(connection)
    folder = Store(Path(job.settings.runs)).run(job.run_id)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        write_output_to(folder.output)
    except OSError as error:
        tell.send(failure(error, folder))
        return
    outcome = attempt(job.settings, job.ids, job.label, folder, job_type=job.job_type, tell=tell)
    for number in (signal.SIGINT, signal.SIGTERM):  # there is nothing left to stop
        signal.signal(number, signal.SIG_IGN)
    tell.send(outcome)


def interrupt(number: int, _: FrameType | None) -> None:
    """Both signals end what is not training; a training has its own, gentler way (checkpoint.StopRequest)."""
    raise KeyboardInterrupt


def stop_with_the_sweep() -> None:
    """Stop as on request, with a checkpoint, when the sweep's own process is gone, however it went."""
    sweep = multiprocessing.parent_process()
    assert sweep is not None  # this is a process of multiprocessing

    def watch() -> None:
        sweep.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_SECONDS)
        os.killpg(os.getpid(), signal.SIGKILL)  # it hangs, and would hold the run for ever

    threading.Thread(target=watch, daemon=True).start()


@dataclass(frozen=True)
class Pipe:
    """Tells the sweep; a sweep that is gone is told nothing, and the run goes on to its checkpoint."""

    connection: Connection

    def __call__(self, progress: Progress) -> None:
        self.send(progress)

    def send(self, message: Progress | Outcome) -> None:
        with suppress(OSError):
            self.connection.send(message)


def write_output_to(path: Path) -> None:
    """Append what this process and its libraries print to ``path``. Raises OSError where it cannot be opened."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    os.close(descriptor)
    os.close(nothing)
    sys.stdout, sys.stderr = cast(TextIO, Output(1)), cast(TextIO, Output(2))


class Output(io.TextIOBase):
    """A stream of text that never fails: on a full disk a line of a log is lost, not the training that prints it."""

    encoding = "utf-8"

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, text: str) -> int:
        with suppress(OSError):
            os.write(self.descriptor, text.encode(errors="backslashreplace"))
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor
