"""A sweep whose runs fail in every way at once ends, by the same command again, with what an undisturbed one has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bnn_ablate.record import Record, same_result
from bnn_ablate.store import Store

TESTS = Path(__file__).parent.parent

#: Twelve runs of a few seconds on the real digits.
SWEEP = [
    "-m",
    "data=digits",
    "data.limit_train=192",
    "recipe.epochs=3",
    "recipe.batch_size=32",
    "model.blocks_per_stage=[1,1]",
    "model.channels=[8,16]",
    "model.stem_features=8",
    "tracking=none",
    "grad=ste,approxsign,swishsign",
    "seed=0,1,2,3",
]
#: A thirteenth one, which diverges whenever it is trained.
DIVERGING = [*SWEEP[:-2], "recipe/optimizer=sgd", "recipe.optimizer.lr=1e30", "grad=ste", "seed=0"]


class Shell:
    """A folder with runs, faults, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = folder / "faults"
        self.faults.mkdir(parents=True)
        self.store = Store(folder / "runs")

    def start(self, *overrides: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(TESTS / "faulty_command_line.py"), *overrides, f"runs={self.store.root}"],
            env={**os.environ, "FAULTS": str(self.faults)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # as in a terminal of its own, where Ctrl-C goes to the whole group
        )

    def run(self, *overrides: str) -> tuple[int, str]:
        process = self.start(*overrides)
        output, _ = process.communicate()
        return process.returncode, output

    def records(self) -> dict[str, Record]:
        return {run.path.name: record for run in self.store.runs() if (record := run.record()) is not None}

    def states(self) -> Counter[str]:
        return Counter(status.state for run in self.store.runs() if (status := run.status()) is not None)

    def trainings(self) -> Counter[str]:
        return Counter((self.faults / "trainings").read_text().split())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """The records of the sweep that nothing happens to, on one processor."""
    shell = Shell(tmp_path_factory.mktemp("undisturbed"))
    code, output = shell.run(*SWEEP, "hydra.launcher.n_jobs=1")
    assert code == 0, output
    assert set(shell.trainings().values()) == {1}
    return shell.records()


def assert_same_records(found: dict[str, Record], expected: dict[str, Record]) -> None:
    assert found.keys() == expected.keys()
    assert len(expected) == 12
    for run_id, record in found.items():
        assert same_result(record, expected[run_id]), run_id


def test_what_fails_stays_alone_and_the_same_command_ends_with_the_records_of_an_undisturbed_sweep(
    undisturbed, tmp_path
):
    shell = Shell(tmp_path)
    for fault in ("ste-0.raises", "ste-1.killed", "ste-2.hangs", "approxsign-0.full", "swishsign-1.waits"):
        (shell.faults / fault).touch()
    process = shell.start(*SWEEP, "hydra.launcher.n_jobs=2", "hydra.launcher.timeout_minutes=0.3")
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if "starts  (grad=swishsign seed=1)" in line:
            break
    while not (shell.faults / "waiting").exists():  # in its eighth step
        assert process.poll() is None, "".join(lines)
    process.send_signal(signal.SIGINT)
    output = "".join(lines) + process.stdout.read()
    assert process.wait() == 130, output
    assert "ZeroDivisionError: on purpose" in output
    assert "its process was killed by SIGKILL" in output
    assert "it took longer than hydra.launcher.timeout_minutes=0.3" in output
    assert "waits: no space left on the disk" in output
    assert "repeat the same command to continue" in output
    states = shell.states()
    assert states["failed"] == 3, output
    assert states["stopped"] >= 1
    assert states["running"] == 0
    before = shell.records()
    assert 4 <= len(before) < 9

    code, output = shell.run(*SWEEP, "hydra.launcher.n_jobs=2")
    assert code == 0, output
    assert output.count("already done") == len(before) + 1  # and in the summary
    assert_same_records(shell.records(), undisturbed)


def test_a_run_that_diverges_is_an_outcome_beside_twelve_records(undisturbed, tmp_path):
    shell = Shell(tmp_path)
    for _ in range(2):
        code, output = shell.run(*DIVERGING, "study=one")
        assert code == 1, output
        assert "diverged: DivergedError: the loss became nan" in output
    assert shell.trainings() == {"ste-0": 1}
    code, output = shell.run(*SWEEP, "study=one")
    assert code == 0, output
    assert_same_records(shell.records(), undisturbed)
    assert shell.states() == {"done": 12, "diverged": 1}


def test_two_shells_that_start_the_same_sweep_at_once_train_every_run_once(undisturbed, tmp_path):
    shell = Shell(tmp_path)
    first, second = (shell.start(*SWEEP, "hydra.launcher.n_jobs=1") for _ in range(2))
    outputs = [process.communicate()[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], "\n".join(outputs)
    assert shell.trainings() == {
        f"{grad}-{seed}": 1 for grad in ("ste", "approxsign", "swishsign") for seed in range(4)
    }
    assert_same_records(shell.records(), undisturbed)


def test_a_sweep_that_is_killed_leaves_checkpoints_and_no_process_behind(undisturbed, tmp_path):
    shell = Shell(tmp_path)
    (shell.faults / "ste-0.waits").touch()
    process = shell.start(*SWEEP, "hydra.launcher.n_jobs=1")
    while not (shell.faults / "waiting").exists():
        assert process.poll() is None
    process.kill()
    assert process.stdout is not None
    process.stdout.read()  # until nobody can write to it any more: its processes have ended too
    process.wait()
    (run,) = shell.store.runs()
    assert run.status().state == "stopped"
    assert run.checkpoint.exists()
    assert not run.is_busy()
    assert shell.run(*SWEEP)[0] == 0
    assert_same_records(shell.records(), undisturbed)


def test_ctrl_c_twice_ends_at_once_what_does_not_end_by_itself(tmp_path):
    shell = Shell(tmp_path)
    (shell.faults / "ste-0.hangs").touch()
    process = shell.start(*SWEEP, "seed=0", "grad=ste", "hydra.launcher.n_jobs=1")
    while (shell.faults / "ste-0.hangs").exists():
        assert process.poll() is None
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    for line in process.stdout:
        if line.startswith("stopping: no new runs"):
            break
    process.send_signal(signal.SIGINT)
    output = process.stdout.read()
    assert process.wait() == 130, output
    assert shell.states() == {"stopped": 1}
    assert shell.run(*SWEEP, "seed=0", "grad=ste")[0] == 0
    assert shell.states() == {"done": 1}


@pytest.mark.parametrize("moment", ["while torch is loaded", "in training"])
def test_ctrl_c_in_a_terminal_goes_to_every_process_and_is_answered_by_one(moment, tmp_path):
    shell = Shell(tmp_path)
    (shell.faults / "ste-0.waits").touch()
    process = shell.start(*SWEEP, "seed=0", "grad=ste", "hydra.launcher.n_jobs=1")
    assert process.stdout is not None
    output = ""
    while "to train" not in output:
        output += process.stdout.readline()
    while moment == "in training" and not (shell.faults / "waiting").exists():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    output += process.stdout.read()
    assert process.wait() == 130, output
    assert "Traceback" not in output
    assert "repeat the same command to continue" in output
    assert shell.states()["running"] == 0
    if moment == "in training":
        assert shell.states() == {"stopped": 1}


def test_a_sweep_whose_reader_goes_away_goes_on(tmp_path):
    shell = Shell(tmp_path)
    process = shell.start(*SWEEP, "seed=0,1", "grad=ste", "hydra.launcher.n_jobs=1")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()  # as with: ... | head -1
    process.wait()
    assert shell.states() == {"done": 2}


def test_without_the_server_of_processes_a_run_fails_alone_and_none_lives_on(tmp_path):
    shell = Shell(tmp_path)
    (shell.faults / "ste-0.hangs").touch()
    process = shell.start(*SWEEP, "seed=0,1", "grad=ste", "hydra.launcher.n_jobs=1")
    while (shell.faults / "ste-0.hangs").exists():
        assert process.poll() is None
    (server,) = (
        int(pid)
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if is_server(pid)
    )
    os.kill(server, signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == 1, output
    assert shell.states() == {"failed": 1, "done": 1}
    assert not any(run.is_busy() for run in shell.store.runs())


def is_server(pid: str) -> bool:
    return b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
