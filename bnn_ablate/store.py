"""The folder of runs: where each one lies, what state it is in, and who is working on it.

    runs/<run id>/config.yaml       the whole configuration
                  status.json       state, host, pid, times, and the traceback of a failure
                  metrics.csv       a row an epoch
                  diagnostics.csv   signs that flipped, activations that saturate, gradient norms, layer by layer
                  last.ckpt         the newest checkpoint
                  packed.safetensors   the trained network as bits
                  output.log        what its process printed, where a sweep started it
                  wandb.json        the address of its newest W&B run, where it was tracked online
                  record.json       written last and by rename: it exists if and only if the run is done
                  evaluations/*.json   what `python -m bnn_ablate.evaluate` measured later
                  diverged-TIME/    what a diverged training left that `python -m bnn_ablate.runs retry` started anew
    runs/.removed/                  folders on their way out; empty but for a moment
    runs/studies/<name>.json        which runs a sweep is made of

Every file but metrics.csv, diagnostics.csv and output.log is written to a temporary name beside it, forced to the disk,
and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import Timeout
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bnn_ablate.atomic import write_atomically
from bnn_ablate.checked import STRICT
from bnn_ablate.lease import STALE_SECONDS, Lease, RunBusyError, Seen, held, job_id, machine_lock
from bnn_ablate.record import Record, RecordError, read_record, record_to_json

__all__ = ["CheckpointError", "RunBusyError", "RunFolder", "State", "Status", "Store", "job_id", "now"]

#: ``trained``: only packing and evaluation are left. ``stopped``: interrupted by a person or the cluster, resumable.
State = Literal["running", "stopped", "trained", "failed", "diverged", "done"]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read; the message names it and says what to do."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Status:
    """What status.json holds. ``error`` and ``traceback`` are set for failed and diverged runs."""

    run_id: str
    cell_id: str
    seed: int
    state: State
    #: Labels of the choices, for tables that must show runs without a record.
    config: dict[str, Any]
    host: str
    pid: int
    job_id: str | None
    updated: str
    error: str | None
    traceback: str | None


_STATUS: TypeAdapter[Status] = TypeAdapter(Status)


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoint(self) -> Path:
        return self.path / "last.ckpt"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def packed(self) -> Path:
        return self.path / "packed.safetensors"

    @property
    def output(self) -> Path:
        """What the run's processes printed, where a sweep started them; each attempt appends."""
        return self.path / "output.log"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations"

    @property
    def has_record(self) -> bool:
        """Whether the run is done; its record may still be broken."""
        return (self.path / "record.json").exists()

    def record(self) -> Record | None:
        """The record of a done run, None for any other; a broken record, or another run's, is an error."""
        if not self.has_record:
            return None
        path = self.path / "record.json"
        record = read_record(path)
        if record.run_id != self.path.name:
            raise RecordError(f"{path}: run_id: it is the record of run {record.run_id}")
        return record

    def write_record(self, record: Record) -> None:
        write_atomically(self.path / "record.json", record_to_json(record).encode())

    def status(self) -> Status | None:
        """The last state that was written, None where the run never started."""
        path = self.path / "status.json"
        if not path.exists():
            return None
        try:
            return _STATUS.validate_json(path.read_bytes())
        except ValidationError as error:
            raise RecordError(f"{path}: {error.errors(include_url=False)[0]['msg']}") from None

    def write_status(self, status: Status) -> None:
        write_atomically(self.path / "status.json", (json.dumps(asdict(status), indent=1) + "\n").encode())

    def forget_unless_begun(self) -> bool:
        """Remove the folder of a run that never came to train and holds its configuration only. Was it so?"""
        forgotten = {file.name for file in self.path.iterdir()} <= {
            "config.yaml",
            "lock",
            "heartbeat.json",
            "output.log",
        }
        if forgotten:
            shutil.rmtree(self.path)
        return forgotten

    def holder(self) -> Seen | None:
        """Who works on the run, by its heartbeat; None without a sign of life.

        For those who only look: the lock is not tried, which would make a run that starts just now find it held.
        """
        seen = self._lease.look()
        if seen is None or time.time() - seen.touched >= STALE_SECONDS:
            return None
        beat = seen.heartbeat
        gone = beat is not None and seen.of_this_machine and not _is_alive(beat.pid)
        return None if gone else seen

    def forget_holder(self, pid: int) -> None:
        """Take away the heartbeat of that process of this machine, which is known to have ended."""
        seen = self._lease.look()
        if seen is not None and seen.of_this_machine and seen.heartbeat is not None and seen.heartbeat.pid == pid:
            self._lease.path.unlink(missing_ok=True)

    def is_busy(self) -> bool:
        """Whether another process is working on the run, or one on another host may be: that is not waited for."""
        if not self.path.exists():
            return False
        try:
            with self._lock_of_machine() as locked:
                return self._lease.may_be_held(locked=locked)
        except RunBusyError:
            return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run: one process at a time trains it. Raises RunBusyError when another one does.

        An advisory lock of the operating system, which a dying process gives back by itself, and a lease for file
        systems whose locks do not reach other hosts (:mod:`bnn_ablate.lease`).
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self._lock_of_machine() as locked, held(self._lease, locked=locked):
            yield

    @property
    def _lease(self) -> Lease:
        return Lease(self.path / "heartbeat.json", f"run {self.path.name}")

    @contextmanager
    def _lock_of_machine(self) -> Iterator[bool]:
        """Yields whether there is a lock: some file systems have none. Raises RunBusyError when another one has it."""
        with ExitStack() as stack:
            try:
                locked = stack.enter_context(machine_lock(self.path / "lock", timeout=0))
            except Timeout:
                found = self._lease.look()
                holder = "another process" if found is None else found.holder
                raise RunBusyError(f"{self._lease.name} is being worked on by {holder}: wait for it") from None
            yield locked


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another person's
    return True


class Store:
    """All runs under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(self.root / run_id)

    def runs(self) -> list[RunFolder]:
        """Every run folder, sorted by id; a record counts without its status, as where records alone were copied."""
        if not self.root.exists():
            return []
        found = {file.parent for name in ("status.json", "record.json") for file in self.root.glob(f"*/{name}")}
        return [RunFolder(path) for path in sorted(found)]

    @property
    def studies(self) -> Path:
        return self.root / "studies"
