"""A sweep of W&B with a real agent, which is killed in the middle: the records are those of `-m`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from conftest import TINY
from interruptions import command_line
from wandb_server import WandbServer

from bnn_ablate.record import Record, same_result
from bnn_ablate.store import Store

pytest_plugins = ["online_runs"]

BIN = Path(sys.executable).parent

#: Long enough to be killed before their end, and short enough to be waited for.
EPOCHS = 40
GRADS = ("ste", "approxsign", "swishsign")
RUNS = [*(text for text in TINY if not text.startswith(("tracking", "recipe.epochs"))), f"recipe.epochs={EPOCHS}"]


class Shell:
    """Commands of `wandb`, in a folder of the test, of which nothing is left over when they are killed."""

    def __init__(self, server: WandbServer, folder: Path) -> None:
        self.folder = folder
        others = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        # ${interpreter} of a sweep is the python that comes first on the path, as in a venv that is activated
        path = f"{BIN}{os.pathsep}{others['PATH']}"
        self.environment = {**others, **server.environment(folder), "PATH": path}
        self.output = folder / "agent.txt"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self.output, "a") as output:
            return subprocess.Popen(
                [BIN / "wandb", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to the command and to all that it started, as when its machine is gone."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ProcessLookupError):
                if os.getsid(int(folder.name)) == process.pid:
                    os.kill(int(folder.name), signal.SIGKILL)
        process.wait()


@pytest.fixture
def shell(server, tmp_path) -> Shell:
    return Shell(server, tmp_path)


def sweep_file(folder: Path) -> Path:
    path = folder / "sweep.yaml"
    command = ["${env}", "${interpreter}", "-m", "bnn_ablate", "${args_no_hyphens}"]
    fixed = {"study": "agents", "runs": str(folder / "runs"), "tracking.mode": "online", "tracking.project": "bits"}
    fixed |= dict(text.split("=", 1) for text in RUNS)
    parameters = {"grad": {"values": list(GRADS)}, **{key: {"value": value} for key, value in fixed.items()}}
    content = {"program": "bnn_ablate", "method": "grid", "parameters": parameters, "command": command}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def records_by_grad(runs: Path) -> dict[str, Record]:
    records = [run.record() for run in Store(runs).runs()]
    return {record.config["grad"]["name"]: record for record in records if record is not None}


def unfinished_checkpoint(runs: Path) -> bool:
    return any(run.checkpoint.exists() and run.record() is None for run in Store(runs).runs())


def test_an_agent_that_is_killed_and_started_again_ends_with_the_records_of_a_multirun(shell, server, forked, tmp_path):
    create = shell.start("sweep", "-p", "bits", str(sweep_file(tmp_path)))
    assert create.wait() == 0, shell.output.read_text()
    assert "wandb agent someone/bits/sweep1" in shell.output.read_text()
    runs = tmp_path / "runs"

    agent = shell.start("agent", "someone/bits/sweep1")
    while not (len(records_by_grad(runs)) == 1 and unfinished_checkpoint(runs)):  # in the middle of the second run
        assert agent.poll() is None, shell.output.read_text()
        time.sleep(0.01)
    shell.kill(agent)
    assert list(records_by_grad(runs)) == ["ste"]
    assert server.sweep.handed_out == 2

    server.sweep.delete_run("sweeprun2")  # which a person does on the sweep's page; otherwise a grid leaves it out
    assert shell.start("agent", "someone/bits/sweep1").wait() == 0, shell.output.read_text()
    records = records_by_grad(runs)
    assert server.unknown == []
    assert server.sweep.handed_out == 4
    assert records["approxsign"].provenance.resumes == 1

    once = tmp_path / "once"
    arguments = ["-m", *RUNS, "tracking=none", f"runs={once}", f"grad={','.join(GRADS)}"]
    assert forked(command_line, arguments, str(tmp_path / "once.txt")) == 0, (tmp_path / "once.txt").read_text()
    expected = records_by_grad(once)
    assert set(records) == set(expected) == set(GRADS)
    for grad in GRADS:
        assert same_result(records[grad], expected[grad])

    # each cell is the W&B run that its agent was told, with the axis as a column of its own, and belongs to the sweep
    for name, grad in (("sweeprun1", "ste"), ("sweeprun3", "approxsign"), ("sweeprun4", "swishsign")):
        sent = server.runs[name]
        assert sent.facts["sweep"] == "sweep1"
        assert sent.facts["groupName"] == "agents"
        assert sent.config["grad"] == grad
        assert sent.config["settings"]["grad"]["name"] == grad
        *curve, last = sent.history
        assert [row["epoch"] for row in curve] == list(range(EPOCHS))
        assert last["packed_top1"] == pytest.approx(records[grad].packed.top1)
        assert sent.exit_codes == [0]
