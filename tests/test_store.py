"""Files are whole or untouched, and one process at a time works on a run, whatever happens to the others."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest
from factories import make_record, make_status, put_done, put_status
from holders import holding

from bnn_ablate.atomic import write_atomically
from bnn_ablate.lease import STALE_SECONDS, boot
from bnn_ablate.record import RecordError
from bnn_ablate.store import RunBusyError, RunFolder, Store


def test_written_bytes_replace_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"old", b"", b"new\n"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["replace", "fsync"])
@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_breaks_off_leaves_the_old_file_and_nothing_else(
    step: str, problem: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b"old")

    def broken(*_: object) -> None:
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(os, step, broken)
        with pytest.raises(type(problem)):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_without_files_has_neither_status_nor_record(tmp_path: Path) -> None:
    folder = Store(tmp_path).run("0" * 12)
    assert folder.status() is None
    assert folder.record() is None


def test_status_and_record_are_read_back(tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record())
    folder = Store(tmp_path).run(record.run_id)
    assert folder.record() == record
    assert folder.status() == make_status(record, "done")


@pytest.mark.parametrize("text", ["", "{", '{"state": "running"}'])
def test_a_broken_status_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(RecordError, match=r"status\.json"):
        RunFolder(tmp_path).status()


def test_runs_are_listed_by_id_also_where_only_the_record_was_copied(tmp_path: Path) -> None:
    records = [put_done(tmp_path, make_record(seed=seed)) for seed in (0, 1)]
    records.append(put_status(tmp_path, make_record(seed=2), "failed", "RuntimeError: out of memory"))
    (tmp_path / records[0].run_id / "status.json").unlink()
    (tmp_path / "studies").mkdir()
    (tmp_path / "hydra").mkdir()
    assert [folder.path.name for folder in Store(tmp_path).runs()] == sorted(record.run_id for record in records)
    assert Store(tmp_path / "nowhere").runs() == []


HOLDER = """
import sys
from pathlib import Path
from bnn_ablate.store import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_told_who_holds_the_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with holding(HOLDER, str(folder.path)) as process:
        with pytest.raises(RunBusyError) as caught, folder.lock():
            pass
        assert folder.is_busy()
        assert f"process {process.pid} on {socket.gethostname()}" in str(caught.value)
        process.communicate("")
    with folder.lock():
        assert process.returncode == 0


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with holding(HOLDER, str(folder.path)) as process:
        process.kill()
        process.wait()
        assert (folder.path / "heartbeat.json").exists()
        with folder.lock():
            beat = json.loads((folder.path / "heartbeat.json").read_text())
            assert beat["pid"] == os.getpid()


@pytest.mark.parametrize(("host", "age"), [("node-7", STALE_SECONDS + 1), (socket.gethostname(), 0.0)])
def test_a_stale_heartbeat_or_one_of_a_dead_process_on_this_host_is_taken_over_at_once(
    host: str, age: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = {"host": host, "boot": boot(), "pid": 77, "job_id": None, "token": "0" * 32}
    path = tmp_path / "heartbeat.json"
    path.write_text(json.dumps(beat))
    written = path.stat().st_mtime - age
    os.utime(path, (written, written))
    monkeypatch.setattr(time, "sleep", None)
    assert not RunFolder(tmp_path).is_busy()
    with RunFolder(tmp_path).lock():
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_released_run_leaves_no_heartbeat_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunFolder(tmp_path).lock():
        raise ZeroDivisionError
    assert not (tmp_path / "heartbeat.json").exists()
    with RunFolder(tmp_path).lock():
        pass
