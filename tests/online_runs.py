"""Fixtures for runs that are tracked online, by a server of our own."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import TINY
from interruptions import at_step, command_line, command_line_stopped_at_step
from wandb_server import FAIL_NOW, WandbServer, in_environment

from bnn_ablate.record import Record
from bnn_ablate.store import RunFolder, Store

ONLINE = [
    *(override for override in TINY if not override.startswith("tracking")),
    "tracking=wandb",
    "tracking.mode=online",
    "tracking.project=bits",
]


def command_line_with_a_server_that_fails(arguments: list[str], output: str, url: str, step: int | None) -> None:
    """The command line; the server begins to fail in that training step, or, for None, once the record is written."""

    def fail() -> None:
        urllib.request.urlopen(url + FAIL_NOW).close()

    if step is not None:
        at_step(step, fail)
    else:
        original = RunFolder.write_record

        def write_record(self, record):
            original(self, record)
            fail()

        RunFolder.write_record = write_record
    command_line(arguments, output)


@pytest.fixture
def server() -> Iterator[WandbServer]:
    server = WandbServer()
    yield server
    server.close()


class OnlineRuns:
    """The command line on the tiny network, each time in a process of its own, and what came of it."""

    def __init__(self, forked: Callable[..., int], server: WandbServer, folder: Path) -> None:
        self.forked = forked
        self.server = server
        self.folder = folder
        self.store = Store(folder / "runs")

    def __call__(self, *overrides: str, stop_at_step: int | None = None, **variables: str) -> int:
        """The exit code of the command line with these overrides and environment variables."""
        environment = {**self.server.environment(self.folder), **variables}
        arguments = [*ONLINE, f"runs={self.store.root}", *overrides]
        output = str(self.folder / "output.txt")
        if stop_at_step is None:
            return self.forked(in_environment, environment, command_line, arguments, output)
        return self.forked(in_environment, environment, command_line_stopped_at_step, arguments, output, stop_at_step)

    def with_a_failing_server(self, step: int | None, **variables: str) -> int:
        """The exit code where the server begins to fail in that step, or, for None, once the record is written."""
        environment = {**self.server.environment(self.folder), **variables}
        arguments = [*ONLINE, f"runs={self.store.root}"]
        output = str(self.folder / "output.txt")
        main = command_line_with_a_server_that_fails
        return self.forked(in_environment, environment, main, arguments, output, self.server.url, step)

    def check_that_failing_costs_nothing(self, failure: str, step: int | None) -> None:
        """Train with a server that begins to fail in that step, or at the end: it is told once, the run is whole."""
        self.server.failure = failure
        assert self.with_a_failing_server(step, WANDB_FINISH_TIMEOUT="1", WANDB_HTTP_TIMEOUT="1") == 0, self.said()
        run, record = self.the_run()
        assert self.server.failing
        if failure == "slow":
            assert not self.server.released.is_set()  # who had waited for an answer would wait still
        assert record.steps == 18
        assert [row.epoch for row in record.curve] == [0, 1, 2]
        status = run.status()
        assert status is not None
        assert status.state == "done"
        assert self.said().count(f"W&B does not have all of run {record.run_id}") == 1
        assert "Traceback" not in self.said()

    def said(self) -> str:
        return (self.folder / "output.txt").read_text()

    def the_run(self) -> tuple[RunFolder, Record]:
        (run,) = self.store.runs()
        record = run.record()
        assert record is not None
        return run, record


@pytest.fixture
def online(forked, server, tmp_path) -> OnlineRuns:
    return OnlineRuns(forked, server, tmp_path)
