"""On file systems whose locks reach one host only, one process works on a run all the same."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from holders import holding
from interruptions import train_and_count_trainings

from bnn_ablate import lease
from bnn_ablate.lease import STALE_SECONDS, Lease, RunBusyError, held
from bnn_ablate.settings import Settings
from bnn_ablate.store import RunFolder, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "heartbeat.json"


@pytest.fixture
def on_host(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda name: monkeypatch.setattr(socket, "gethostname", lambda: name)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: what is not stale yet counts as alive."""

    def watch(self: Lease, found: lease.Seen) -> None:
        if self._age(found) < STALE_SECONDS:
            raise RunBusyError(f"{self.name} is being worked on by {found.holder}")

    monkeypatch.setattr(Lease, "_watch", watch)


def put_stale(path: Path) -> None:
    dead = Lease(path, "run x")
    dead.acquire(locked=False)
    os.close(dead._file)
    written = path.stat().st_mtime - STALE_SECONDS - 1
    os.utime(path, (written, written))


class Interrupted(Lease):
    """A lease that lets ``other`` do all it wants to do just before its ``at``-th (from 0) use of the files."""

    def __init__(self, path: Path, at: int, other: Callable[[], None]) -> None:
        super().__init__(path, "run x")
        self.steps = 0
        self.at = at
        self.other = other

    def _step(self) -> None:
        self.steps += 1
        if self.steps - 1 == self.at:
            self.other()

    def look(self) -> lease.Seen | None:
        self._step()
        return super().look()

    def _created(self, path: Path) -> int | None:
        self._step()
        return super()._created(path)

    def _rename(self, claim: Path) -> None:
        self._step()
        super()._rename(claim)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize("at", range(8))
def test_of_hosts_that_start_at_once_one_works(
    stale: bool, at: int, tmp_path: Path, on_host: Callable[[str], None]
) -> None:
    for then in range(9):
        path = tmp_path / f"heartbeat.{then}"
        if stale:
            on_host("node-dead")
            put_stale(path)
        holders = start_within_one_another(path, at, then, on_host)
        assert len(holders) == 1
        assert not holders[0].is_lost()


def start_within_one_another(path: Path, at: int, then: int, on_host: Callable[[str], None]) -> list[Lease]:
    """Who holds the lease when node-b starts at node-a's ``at``-th step, and node-c at node-b's ``then``-th."""
    holders: list[Lease] = []

    def start(host: str, steps: int, other: Callable[[], None]) -> None:
        before = socket.gethostname()
        on_host(host)
        one = Interrupted(path, steps, other)
        with contextlib.suppress(RunBusyError):
            one.acquire(locked=True)
            holders.append(one)
        assert one.steps <= 8, "the test has to interrupt at more steps"
        on_host(before)

    def second() -> None:
        start("node-b", then, lambda: start("node-c", -1, lambda: None))

    start("node-a", at, second)
    return holders


@pytest.mark.usefixtures("impatient")
def test_a_claim_of_a_process_that_died_with_it_is_forgotten_when_it_is_old(
    path: Path, on_host: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_host("node-dead")
    put_stale(path)
    on_host("node-a")
    dying = Interrupted(path, 0, lambda: None)
    monkeypatch.setattr(dying, "_rename", lambda _: (_ for _ in ()).throw(OSError("died here")))
    with pytest.raises(OSError, match="died here"):
        dying.acquire(locked=True)
    (claim,) = path.parent.glob(".heartbeat.json.*")
    for _ in range(2):
        with pytest.raises(RunBusyError, match="being taken over"):
            Lease(path, "run x").acquire(locked=True)
    written = claim.stat().st_mtime - STALE_SECONDS - 1
    os.utime(claim, (written, written))
    with pytest.raises(RunBusyError, match="being taken over"):
        Lease(path, "run x").acquire(locked=True)
    Lease(path, "run x").acquire(locked=True)


def test_who_lost_its_lease_touches_and_removes_nothing_of_the_new_holder(
    path: Path, on_host: Callable[[str], None]
) -> None:
    on_host("node-a")
    old = Lease(path, "run x")
    old.acquire(locked=True)
    written = path.stat().st_mtime - STALE_SECONDS - 1
    os.utime(path, (written, written))
    on_host("node-b")
    new = Lease(path, "run x")
    new.acquire(locked=True)
    os.utime(path, (written, written))
    old.touch()
    assert path.stat().st_mtime == written
    assert old.is_lost()
    old.release()
    assert not new.is_lost()
    new.release()
    assert not path.exists()


def test_who_finds_its_lease_lost_is_asked_to_stop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    asked: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        asked.append((pid, number))
        told.set()

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.01)
    with held(Lease(path, "run x"), locked=True):
        other = path.with_name("other")
        other.write_bytes(b"{}")
        other.rename(path)
        assert told.wait(30)
    assert asked == [(os.getpid(), signal.SIGTERM)]
    assert path.read_bytes() == b"{}"


@pytest.mark.parametrize("content", [b"", b'{"host"', b"{}", b"null", b'{"host": "a", "pid": 1, "time": "2026"}'])
@pytest.mark.usefixtures("impatient")
def test_a_heartbeat_that_cannot_be_read_is_of_somebody_until_it_is_stale(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(RunBusyError, match="another process"):
        Lease(path, "run x").acquire(locked=True)
    written = path.stat().st_mtime - STALE_SECONDS - 1
    os.utime(path, (written, written))
    Lease(path, "run x").acquire(locked=True)


def test_a_disk_without_room_leaves_no_heartbeat(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    one = Lease(path, "run x")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            one.acquire(locked=True)
    assert list(path.parent.iterdir()) == []


#: Another host: its name is another, and its locks are unknown here.
HOLDER = """
import fcntl, socket, sys
from pathlib import Path
from bnn_ablate import lease
from bnn_ablate.settings import Settings
from bnn_ablate.store import RunFolder, Store
if sys.argv[2]:
    socket.gethostname = lambda: sys.argv[2]
fcntl.flock = lambda *_: None
lease.HEARTBEAT_SECONDS = 0.05
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SECONDS_BETWEEN_LOOKS", 0.01)


@pytest.mark.usefixtures("quick_looks")
def test_a_run_held_on_another_host_is_refused_while_that_lives_and_free_once_it_gives_it_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with holding(HOLDER, str(folder.path), "node-7") as process:
        for _ in range(2):  # a refusal changes nothing
            with pytest.raises(RunBusyError, match=f"process {process.pid} on node-7"), folder.lock():
                pass
        assert folder.is_busy()
        process.communicate("")
        assert not folder.is_busy()
        with folder.lock():
            assert json.loads((folder.path / "heartbeat.json").read_text())["host"] == socket.gethostname()


@pytest.mark.usefixtures("quick_looks")
def test_a_run_of_a_host_that_died_is_taken_over_when_its_heartbeat_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    with holding(HOLDER, str(folder.path), "node-7") as process:
        process.kill()
        process.wait()
        assert folder.is_busy()
        monkeypatch.setattr(lease, "STALE_SECONDS", 0.5)
        with folder.lock():
            assert json.loads((folder.path / "heartbeat.json").read_text())["pid"] == os.getpid()
    assert f"process {process.pid} on node-7 gave a sign of life" in capsys.readouterr().out


@pytest.mark.usefixtures("quick_looks")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_a_second_process_of_this_host_is_refused_too(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = RunFolder(tmp_path / "run")
    with holding(HOLDER, str(folder.path), "") as process:
        with pytest.raises(RunBusyError, match=f"process {process.pid} on "), folder.lock():
            pass
        process.communicate("")
        with folder.lock():
            pass


def train_on_host(settings: Settings, name: str, path: str) -> None:
    """Train as a host of that name whose locks the others do not know, and write down that a training begins."""
    socket.gethostname = lambda: name
    fcntl.flock = lambda *_: None
    lease.HEARTBEAT_SECONDS = 0.1
    lease.SECONDS_BETWEEN_LOOKS = 0.05
    with contextlib.suppress(RunBusyError):
        train_and_count_trainings(settings, path)


def test_of_three_hosts_that_start_a_run_at_once_one_trains_it(
    make_settings: Callable[..., Settings], forkserver: Any, tmp_path: Path
) -> None:
    settings = make_settings(*TINY, f"runs={tmp_path / 'runs'}")
    trainings = tmp_path / "trainings"
    hosts = [
        forkserver.Process(target=train_on_host, args=(settings, name, str(trainings)))
        for name in ("node-a", "node-b", "node-c")
    ]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    assert [host.exitcode for host in hosts] == [0, 0, 0]
    assert trainings.read_text().splitlines() == ["sign"]
    (folder,) = Store(tmp_path / "runs").runs()
    assert folder.record() is not None
    assert not (folder.path / "heartbeat.json").exists()
