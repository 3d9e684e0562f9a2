"""Sweeps that the tests of clusters start, interrupt, start again, and hold against one of a single machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from conftest import TINY

from bnn_ablate.record import Record, same_result
from bnn_ablate.store import RunFolder, Store

CHECKOUT = Path(__file__).parent.parent.parent

#: Four runs, long enough to be interrupted (some ten seconds each), in the order in which they are submitted.
SWEEP = (*TINY, "recipe.epochs=80", "study=cluster", "scaling=none,channel", "seed=0,1")

#: Nothing that is waited for takes as long: a node that dies is missed after 15 s, its runs are free after 120 s.
PATIENCE_SECONDS = 420.0


def command(runs: Path, *overrides: str) -> list[str]:
    """The command line of the sweep with the records in ``runs``."""
    return [sys.executable, "-m", "bnn_ablate", "-m", *SWEEP, f"runs={runs}", *overrides]


@cache
def of_one_machine() -> dict[str, Record]:
    """The records of the sweep, trained undisturbed one after the other in one process of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        subprocess.run(command(runs, "hydra/launcher=basic"), cwd=CHECKOUT, check=True, capture_output=True)
        return records(runs)


def records(runs: Path) -> dict[str, Record]:
    """The records of all runs that are done, by run id."""
    found = {folder.path.name: folder.record() for folder in Store(runs).runs()}
    return {run_id: record for run_id, record in found.items() if record is not None}


def assert_same_as_on_one_machine(runs: Path) -> None:
    """All runs have their records, which differ from those of one machine in times and places only."""
    expected = of_one_machine()
    found = records(runs)
    assert found.keys() == expected.keys()
    for run_id, record in found.items():
        assert same_result(record, expected[run_id]), run_id


def resumes(folder: RunFolder) -> int:
    """How often the training of the finished run was taken up again from a checkpoint."""
    record = folder.record()
    assert record is not None
    return record.provenance.resumes


class Started:
    """A command that runs, and what it prints."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str], cwd: Path = CHECKOUT) -> None:
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                arguments, env=environment, cwd=cwd, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE_SECONDS)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until ``condition``; fails where the command ends or patience does before."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said()}"
            assert time.monotonic() < end, f"no {what}:\n{self.said()}"
            time.sleep(0.1)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def epochs(folder: RunFolder) -> int:
    """How many epochs are behind the run."""
    return max(0, len(folder.metrics.read_text().splitlines()) - 1) if folder.metrics.exists() else 0


def is_training(folder: RunFolder) -> bool:
    """Whether the run trains at this moment, its second epoch or a later one."""
    status = folder.status()
    return status is not None and status.state == "running" and folder.checkpoint.exists() and epochs(folder) > 1


def state(folder: RunFolder) -> str:
    """The state in status.json."""
    status = folder.status()
    return "none" if status is None else status.state


def kill_training(folder: RunFolder) -> None:
    """SIGKILL the process that trains the run; the nodes are on this machine, so its number is one of ours."""
    status = folder.status()
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
