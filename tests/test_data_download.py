"""Downloads against a server on this machine: cut off, resumed, refused, damaged, and two at once."""

from __future__ import annotations

import errno
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from data_factories import make_data

from bnn_ablate.data import DataError, download, load_splits
from bnn_ablate.data.download import fetch
from bnn_ablate.data.sources import SOURCES, RemoteFile

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
REMOTE = RemoteFile(name="images.bin", md5=MD5)
#: Three further tries, without waiting.
PAUSES = (0.0, 0.0, 0.0)


@dataclass
class Server:
    """What the server does, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    #: Bytes after which each answer breaks off; an answer beyond the list is whole.
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    #: The Range header of each request, None where there was none.
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append(wanted)
            if state.statuses:
                self.send_error(state.statuses.pop(0))
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            total = len(state.content)
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start > 0 else 200)
            if start > 0:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            body = state.content[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.cuts.pop(0)] if state.cuts else body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{httpd.server_port}/"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def failure(server: Server, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        fetch(server.url, REMOTE, folder, pauses=PAUSES)
    assert REMOTE.name not in visible(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_fetched_once_into_a_new_folder(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        path = fetch(server.url, REMOTE, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert visible(path.parent) == {"images.bin"}
    assert server.asked == [None]


def test_a_cut_off_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cuts = [500_000, 100_000]
    assert fetch(server.url, REMOTE, tmp_path, pauses=PAUSES).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=500000-", "bytes=600000-"]
    assert visible(tmp_path) == {"images.bin"}


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.ranges, server.cuts = False, [500_000]
    assert fetch(server.url, REMOTE, tmp_path, pauses=PAUSES).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=500000-"]


def test_what_an_earlier_process_left_is_continued(server: Server, tmp_path: Path) -> None:
    (tmp_path / "images.bin.part").write_bytes(CONTENT[:700_001])
    assert fetch(server.url, REMOTE, tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=700001-"]


def test_a_part_that_is_whole_already_is_verified_and_renamed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "images.bin.part").write_bytes(CONTENT)
    assert fetch(server.url, REMOTE, tmp_path).read_bytes() == CONTENT
    assert visible(tmp_path) == {"images.bin"}


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "images.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(server.url, REMOTE, tmp_path, pauses=PAUSES).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT) + 4}-", None]


def test_cut_off_for_good_keeps_what_arrived_for_the_next_try(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000, 1000, 1000, 1000]
    message = failure(server, tmp_path)
    assert re.search(r"in 4 tries: cut off after 4000 of 1024000 bytes .*next try continues", message)
    assert (tmp_path / "images.bin.part").read_bytes() == CONTENT[:4000]
    assert fetch(server.url, REMOTE, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_names_both_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.content = b"x" + CONTENT[1:]
    message = failure(server, tmp_path)
    assert f"has md5 {hashlib.md5(server.content, usedforsecurity=False).hexdigest()}, expected {MD5}" in message
    assert visible(tmp_path) == set()


def test_an_address_that_does_not_exist_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    message = failure(server, tmp_path)
    assert message.startswith(f"{server.url}images.bin cannot be fetched: the server answers 404")
    assert len(server.asked) == 1
    assert visible(tmp_path) == set()


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 500]
    assert fetch(server.url, REMOTE, tmp_path, pauses=PAUSES).read_bytes() == CONTENT


def test_no_connection_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        message = failure(Server(url), tmp_path)
    assert re.search(r"could not be fetched in 4 tries: no connection \(.*refused\)", message)
    assert visible(tmp_path) == set()


def test_a_full_disk_is_one_sentence(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    assert failure(server, tmp_path).startswith(f"the disk is full: {tmp_path / 'images.bin'} could not be written")


def test_a_folder_that_cannot_be_made_is_one_sentence(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/images\.bin could not be written"):
        fetch(server.url, REMOTE, tmp_path / "file")


def test_two_at_once_fetch_the_file_once(server: Server, tmp_path: Path) -> None:
    together = threading.Barrier(2)
    paths: list[Path] = []

    def run() -> None:
        together.wait()
        paths.append(fetch(server.url, REMOTE, tmp_path))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in paths] == [CONTENT, CONTENT]
    assert len(server.asked) == 1


def test_files_that_are_missing_are_fetched_only_if_the_settings_allow_it(server: Server, tmp_path: Path) -> None:
    files = {name: hashlib.md5(CONTENT, usedforsecurity=False).hexdigest() for name in SOURCES["fashion_mnist"].files}
    remote = tuple(RemoteFile(name=name, md5=md5) for name, md5 in files.items())
    source = replace(SOURCES["fashion_mnist"], base_url=server.url, remote=remote, train_files=files, test_files={})
    there = remote[0].name
    (tmp_path / there).write_bytes(CONTENT)
    data = make_data(name="fashion_mnist", root=str(tmp_path), num_classes=10, mean=(0.5,), std=(0.5,))
    with pytest.raises(DataError, match=r"data\.download=true"):
        load_splits(data, {"fashion_mnist": source})
    assert server.asked == []
    # The content is no image; what matters here is that it arrived.
    with pytest.raises(DataError, match="is no gzipped idx file"):
        load_splits(replace(data, download=True), {"fashion_mnist": source})
    assert visible(tmp_path) == set(files)
    assert len(server.asked) == 3
