"""Fetch a published file: resumable, verified, whole or not there.

What has arrived lies in NAME.part beside the file and is continued by the next attempt, in this process or a later
one. NAME appears by one rename, after the checksum was found right and the bytes are on the disk.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bnn_ablate.data.errors import DataError
from bnn_ablate.data.sources import RemoteFile

#: Seconds to wait before each further attempt.
PAUSES = (1.0, 2.0, 4.0)
#: Seconds without a byte after which a connection counts as cut off.
TIMEOUT = 30.0
CHUNK = 1 << 18
#: Answers that may be another one soon: too many requests, and trouble on the server's side.
PASSING = frozenset({429, 500, 502, 503, 504})


class _CutOffError(Exception):
    """The connection failed; another attempt may do."""


def fetch(base_url: str, remote: RemoteFile, folder: Path, *, pauses: Sequence[float] = PAUSES) -> Path:
    """Download ``remote`` into ``folder`` unless it is there; return its path.

    Processes that ask at once wait for the one that downloads. DataError with one sentence for a connection that is
    cut off for good or never made, an address that does not exist, a wrong checksum (what arrived is removed) and a
    full disk; no error leaves anything under the file's own name.
    """
    path = folder / remote.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{remote.name}.lock"):
            if not path.exists():
                _fetch(base_url + remote.name, remote.md5, path, pauses)
    except OSError as error:
        part = _part(path)
        kept = f"; what has arrived is kept in {part}" if part.exists() else ""
        if error.errno == errno.ENOSPC:
            raise DataError(f"the disk is full: {path} could not be written{kept}") from None
        raise DataError(f"{path} could not be written ({error}){kept}") from None
    return path


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _fetch(url: str, md5: str, path: Path, pauses: Sequence[float]) -> None:
    part = _part(path)
    with _progress(path.name) as shown:
        for attempt, pause in enumerate((*pauses, None), start=1):
            try:
                _receive(url, part, shown)
                break
            except _CutOffError as cut:
                if pause is None:
                    kept = " (the next try continues where it stopped)" if part.exists() else ""
                    raise DataError(f"{url} could not be fetched in {attempt} tries: {cut}{kept}") from None
                time.sleep(pause)
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        part.unlink()
        raise DataError(f"{url} has md5 {found}, expected {md5}: what arrived was removed, nothing was kept")
    os.replace(part, path)


def _receive(url: str, part: Path, shown: _Shown) -> None:
    """Add to ``part`` until it is as long as the server says; _CutOffError where the connection fails before."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have > 0 else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies beyond what we have: it is whole, or it is not this file
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink()
            raise _CutOffError("what was kept of an earlier try does not fit the file") from None
        if error.code in PASSING:
            raise _CutOffError(f"the server answers {error.code} {error.reason}") from None
        raise DataError(f"{url} cannot be fetched: the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _CutOffError(f"no connection ({error.reason})") from None
    except (http.client.HTTPException, OSError) as error:
        raise _CutOffError(f"no connection ({error})") from None
    with answer:
        # A server without ranges answers 200 and sends everything: start anew.
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        start = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        with part.open("ab" if resumed else "wb") as file:
            _copy(answer, file, start, total, shown)
            file.flush()
            os.fsync(file.fileno())


def _copy(answer: http.client.HTTPResponse, file: BinaryIO, start: int, total: int | None, shown: _Shown) -> None:
    """Write the answer to ``file``, which holds ``start`` bytes already, until it has ``total`` (None: unknown)."""
    received = start
    reason = ""
    while True:
        shown.update(received, total)
        try:
            chunk = answer.read1(CHUNK)
        except (http.client.HTTPException, OSError) as error:
            reason = f" ({error})"
            break
        if not chunk:
            if total is None or received >= total:
                return
            break
        file.write(chunk)
        received += len(chunk)
    raise _CutOffError(
        f"cut off after {received} of {'an unknown number of' if total is None else total} bytes{reason}"
    )


class _Shown:
    """A progress bar where a person watches, nothing elsewhere."""

    def __init__(self, name: str) -> None:
        console = Console(stderr=True)
        self.progress = Progress(
            TextColumn(name),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (sys.stderr.isatty() and console.is_terminal),
        )
        self.task = self.progress.add_task(name, total=None)

    def update(self, received: int, total: int | None) -> None:
        self.progress.update(self.task, completed=received, total=total)


@contextmanager
def _progress(name: str) -> Iterator[_Shown]:
    shown = _Shown(name)
    with shown.progress:
        yield shown
