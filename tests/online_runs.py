"""Fixtures for runs that are tracked online, by a server of our own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import TINY
from interruptions import command_line, command_line_stopped_at_step
from wandb_server import WandbServer, in_environment

from bnn_ablate.record import Record
from bnn_ablate.store import RunFolder, Store

ONLINE = [
    *(override for override in TINY if not override.startswith("tracking")),
    "tracking=wandb",
    "tracking.mode=online",
    "tracking.project=bits",
]


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
