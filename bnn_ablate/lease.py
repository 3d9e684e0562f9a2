"""Who works on a run, where locks of the operating system do not reach other hosts: a heartbeat that one process makes.

What it leans on is what shared file systems (NFS, Lustre, GPFS) give: a file is created exclusively, or renamed, by one
process only, and opening it shows what another host has written. Clocks of two hosts are never compared.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from bnn_ablate.checked import STRICT
from bnn_ablate.console import say

HEARTBEAT_SECONDS = 15.0
#: A heartbeat older than this belongs to a process that is gone. NFS may show another host's for 60 s as it was.
STALE_SECONDS = 120.0
#: How often a heartbeat that may be of a dead process is looked at.
SECONDS_BETWEEN_LOOKS = 1.0

#: What file systems answer that have no locks, or whose lock server is not there: NFS, Lustre and FUSE, as mounted.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class RunBusyError(RuntimeError):
    """Another process is working on the run; the message says which."""


@checked_dataclass(frozen=True, kw_only=True, config=STRICT)
class Heartbeat:
    """Who made a heartbeat. ``boot`` tells machines of one name apart, ``token`` two heartbeats of one process."""

    host: str
    boot: str
    pid: int
    job_id: str | None
    token: str


_HEARTBEAT: TypeAdapter[Heartbeat] = TypeAdapter(Heartbeat)


@dataclass(frozen=True)
class Seen:
    """A heartbeat as it was found: its bytes, which never change, and when the file system says it was touched."""

    content: bytes
    touched: float

    @property
    def heartbeat(self) -> Heartbeat | None:
        """None where another version, or nobody yet, wrote it."""
        try:
            return _HEARTBEAT.validate_json(self.content)
        except ValidationError:
            return None

    @property
    def holder(self) -> str:
        beat = self.heartbeat
        return "another process" if beat is None else f"process {beat.pid} on {beat.host}"

    @property
    def of_this_machine(self) -> bool:
        beat = self.heartbeat
        return beat is not None and (beat.host, beat.boot) == (socket.gethostname(), boot())


class Lease:
    """The heartbeat file ``path`` of what is called ``name``, made by whoever may work.

    Two processes never hold it at once, unless one of them gave no sign of life for STALE_SECONDS and lives on; that
    one finds out within HEARTBEAT_SECONDS of going on.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._file = -1
        self._mine = b""

    def acquire(self, *, locked: bool) -> None:
        """Make the heartbeat. ``locked``: the caller holds a lock that reaches all processes of this machine.

        A heartbeat of this machine is then one of the dead, and taken over at once. One from elsewhere is watched until
        it is touched, which raises RunBusyError, or stale, STALE_SECONDS after its last sign of life: a job that a
        cluster starts again on another node waits no longer than that.
        """
        self._mine = _HEARTBEAT.dump_json(
            Heartbeat(host=socket.gethostname(), boot=boot(), pid=os.getpid(), job_id=job_id(), token=uuid.uuid4().hex)
        )
        while True:
            if (file := self._created(self.path)) is not None:
                self._file = file
                return
            found = self.look()
            if found is None:
                continue  # given back this moment
            if not (locked and found.of_this_machine):
                self._watch(found)
            if self._take_over(found):
                return

    def touch(self) -> None:
        """Give a sign of life. It goes to the file that was made here, never to one that took its place."""
        os.utime(self._file)

    def is_lost(self) -> bool:
        """Whether another process has taken over."""
        found = self.look()
        return found is None or found.content != self._mine

    def release(self) -> None:
        """Remove the heartbeat, unless another process has taken over."""
        if not self.is_lost():
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    def may_be_held(self, *, locked: bool) -> bool:
        """Whether :meth:`acquire` would watch a heartbeat or be refused; ``locked`` as there."""
        found = self.look()
        if found is None or (locked and found.of_this_machine):
            return False
        return self._age(found) < STALE_SECONDS

    def look(self) -> Seen | None:
        """The heartbeat there is; opened anew, because that is when NFS asks its server."""
        try:
            with open(self.path, "rb") as file:
                return Seen(file.read(), os.fstat(file.fileno()).st_mtime)
        except FileNotFoundError:
            return None

    def _created(self, path: Path) -> int | None:
        """The open file, made and filled here; None where there is one already."""
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return None
        try:
            os.write(file, self._mine)
            os.fsync(file)
        except OSError:
            os.close(file)
            path.unlink()
            raise
        return file

    def _watch(self, found: Seen) -> None:
        """Return when ``found`` is stale or gone; raise RunBusyError when its maker lives."""
        left = STALE_SECONDS - self._age(found)
        end = time.monotonic() + left
        told = False
        while (rest := end - time.monotonic()) > 0:
            time.sleep(min(rest, SECONDS_BETWEEN_LOOKS))
            now = self.look()
            if now is None:
                return
            if now != found:
                raise RunBusyError(f"{self.name} is being worked on by {now.holder}: wait for it")
            if not told:
                since = STALE_SECONDS - left
                say(f"{self.name}: {found.holder} gave a sign of life {since:.0f} s ago: waiting for another")
                told = True

    def _take_over(self, found: Seen) -> bool:
        """Put a heartbeat of ours in the place of ``found``; False where it is no longer there.

        Of all who found it stale one can make the claim that is named after it. Whoever does looks again: the claim may
        be free because another one is done with it.
        """
        claim = self.path.with_name(f".{self.path.name}.{hashlib.sha256(found.content).hexdigest()[:16]}")
        file = self._created(claim)
        if file is None:
            self._forget_old(claim)
            raise RunBusyError(f"{self.name} is being taken over by another process: wait for it")
        try:
            now = self.look()
            if now is not None and now.content == found.content:
                self._rename(claim)
                self._file = file
                return True
            claim.unlink()
        except OSError:
            os.close(file)
            raise
        os.close(file)
        return False

    def _rename(self, claim: Path) -> None:
        """The claim becomes the heartbeat: it ends when the heartbeat begins, wherever that breaks off."""
        os.replace(claim, self.path)

    def _forget_old(self, claim: Path) -> None:
        """Remove a claim whose maker died between making it and renaming it."""
        try:
            if self._file_system_time() - claim.stat().st_mtime > STALE_SECONDS:
                claim.unlink()
        except FileNotFoundError:
            return

    def _age(self, found: Seen) -> float:
        """Seconds since the last sign of life."""
        return self._file_system_time() - found.touched

    def _file_system_time(self) -> float:
        """Now, by the clock that stamps heartbeats: those of two hosts may differ by more than a heartbeat's life."""
        probe = self.path.with_name(f".now.{uuid.uuid4().hex}")
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()


@contextmanager
def held(lease: Lease, *, locked: bool) -> Iterator[None]:
    """Hold ``lease`` and keep it alive; ``locked`` as in :meth:`Lease.acquire`.

    A process that finds it lost is asked to stop, as by SIGTERM.
    """
    lease.acquire(locked=locked)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(lease, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        lease.release()


@contextmanager
def machine_lock(path: Path, *, timeout: float) -> Iterator[bool]:
    """An advisory lock of the operating system on ``path``; yields False where the file system has none.

    A process that dies gives it back. Raises filelock.Timeout where another one has it for ``timeout`` seconds; below
    zero is for ever.
    """
    lock = FileLock(path, timeout=timeout, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield lock.is_locked
    finally:
        lock.release()


@contextmanager
def in_turn(lease: Lease, *, locked: bool) -> Iterator[None]:
    """Hold ``lease`` for a moment, shorter than a heartbeat, after whoever holds it now; ``locked`` as above."""
    while True:
        try:
            lease.acquire(locked=locked)
        except RunBusyError:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        else:
            break
    try:
        yield
    finally:
        lease.release()


def _beat(lease: Lease, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            lease.touch()
            lost = lease.is_lost()
        except OSError:
            continue  # a file system that is away for a moment must not end the training
        if lost:
            found = lease.look()
            by = "somebody who removed its heartbeat" if found is None else found.holder
            say(f"{lease.name}: taken over by {by}, as this process gave no sign of life for {STALE_SECONDS:.0f} s")
            os.kill(os.getpid(), signal.SIGTERM)
            return


def boot() -> str:
    """What tells this machine, as long as it is up, from every other; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def job_id() -> str | None:
    """The cluster's name for this process' job, where there is one: of a job array ARRAY_NUMBER."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return os.environ.get("SLURM_JOB_ID") if array is None else f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
