"""The folder of runs: where each one lies, what state it is in, and who is working on it.

    runs/<run id>/config.yaml       the whole configuration
                  status.json       state, host, pid, times, and the traceback of a failure
                  metrics.csv       a row an epoch
                  last.ckpt         the newest checkpoint
                  packed.safetensors   the trained network as bits
                  record.json       written last and by rename: it exists if and only if the run is done
                  evaluations/*.json   what `python -m bnn_ablate.evaluate` measured later
    runs/studies/<name>.json        which runs a sweep is made of

Every file but metrics.csv is written to a temporary name beside it, forced to the disk, and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bnn_ablate.atomic import write_atomically
from bnn_ablate.checked import STRICT
from bnn_ablate.record import Record, RecordError, read_record, record_to_json

#: ``trained``: only packing and evaluation are left. ``stopped``: interrupted by a person or the cluster, resumable.
State = Literal["running", "stopped", "trained", "failed", "diverged", "done"]

HEARTBEAT_SECONDS = 15.0
#: A heartbeat older than this belongs to a process that is gone.
STALE_SECONDS = 120.0


class RunBusyError(RuntimeError):
    """Another process is working on the run; the message says which."""


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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Heartbeat:
    """Who holds a run, and when that was last said."""

    host: str
    pid: int
    job_id: str | None
    time: str


_HEARTBEAT: TypeAdapter[Heartbeat] = TypeAdapter(Heartbeat)
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
    def evaluations(self) -> Path:
        return self.path / "evaluations"

    def record(self) -> Record | None:
        """The record of a done run, None for any other; a broken record, or another run's, is an error."""
        path = self.path / "record.json"
        if not path.exists():
            return None
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
        forgotten = {file.name for file in self.path.iterdir()} <= {"config.yaml", "lock", "heartbeat.json"}
        if forgotten:
            shutil.rmtree(self.path)
        return forgotten

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run: one process at a time trains it. Raises RunBusyError when another one does.

        An advisory lock of the operating system, which a dying process gives back by itself, and a heartbeat for file
        systems whose locks do not reach other hosts: a fresh one from elsewhere means busy, a stale one is ignored.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RunBusyError(f"run {self.path.name} is being worked on by {self._holder()}: wait for it") from None
        try:
            self._refuse_fresh_heartbeat_from_elsewhere()
            stop = threading.Event()
            beat = threading.Thread(target=self._beat, args=(stop,), daemon=True)
            self._write_heartbeat()
            self._refuse_fresh_heartbeat_from_elsewhere()  # again: another host may have looked when we did
            beat.start()
            try:
                yield
            finally:
                stop.set()
                beat.join()
                (self.path / "heartbeat.json").unlink(missing_ok=True)
        finally:
            lock.release()

    def _holder(self) -> str:
        beat = self._heartbeat()
        return "another process" if beat is None else f"process {beat.pid} on {beat.host}"

    def _heartbeat(self) -> Heartbeat | None:
        try:
            return _HEARTBEAT.validate_json((self.path / "heartbeat.json").read_bytes())
        except (OSError, ValidationError):
            return None  # none, or one cut off while it was written: no sign of life

    def _refuse_fresh_heartbeat_from_elsewhere(self) -> None:
        beat = self._heartbeat()
        if beat is None or beat.host == socket.gethostname():
            return
        # Both times are the file system's: the clocks of two hosts may differ by more than a heartbeat's life.
        probe = self.path / f".now.{os.getpid()}"
        probe.touch()
        age = probe.stat().st_mtime - (self.path / "heartbeat.json").stat().st_mtime
        probe.unlink()
        if age < STALE_SECONDS:
            raise RunBusyError(
                f"run {self.path.name} is being worked on by process {beat.pid} on {beat.host} "
                f"(last sign of life {age:.0f} s ago): wait for it"
            )

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            try:
                self._write_heartbeat()
            except OSError:
                continue  # a full disk must not end the training; the lock still holds on this host

    def _write_heartbeat(self) -> None:
        beat = Heartbeat(host=socket.gethostname(), pid=os.getpid(), job_id=job_id(), time=now())
        write_atomically(self.path / "heartbeat.json", json.dumps(asdict(beat)).encode())


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


def job_id() -> str | None:
    """The cluster's name for this process' job, where there is one."""
    return os.environ.get("SLURM_JOB_ID")
