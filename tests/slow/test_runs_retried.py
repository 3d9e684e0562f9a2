"""Runs that failed and diverged, trained again by the command: the record is that of a run that never failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import TINY

from bnn_ablate.record import same_result
from bnn_ablate.store import Store

DIVERGING = ("recipe/optimizer=sgd", "recipe.optimizer.lr=1e30")


def command(folder: Path, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line in a folder."""
    return subprocess.run(
        [sys.executable, "-m", module, *words], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_failed_run_ends_with_the_record_of_an_undisturbed_one(tmp_path: Path) -> None:
    done = command(tmp_path, "bnn_ablate", *TINY)
    assert done.returncode == 0, done.stderr
    (run,) = Store(tmp_path / "runs").runs()
    expected = run.record()
    (run.path / "record.json").unlink()
    run.checkpoint.unlink()
    text = (run.path / "status.json").read_text().replace('"state": "done"', '"state": "failed"')
    (run.path / "status.json").write_text(text)
    done = command(tmp_path, "bnn_ablate.runs", "retry")
    assert done.returncode == 0, done.stdout + done.stderr
    again = run.record()
    assert expected is not None
    assert again is not None
    assert again.provenance.started > expected.provenance.started
    assert same_result(again, expected)


def test_a_diverged_run_is_trained_from_its_start_and_keeps_what_it_left(tmp_path: Path) -> None:
    assert command(tmp_path, "bnn_ablate", *TINY, *DIVERGING).returncode == 1
    (run,) = Store(tmp_path / "runs").runs()
    first = (run.path / "status.json").read_bytes()
    assert command(tmp_path, "bnn_ablate.runs", "retry").stdout == "nothing to train again\n"
    done = command(tmp_path, "bnn_ablate.runs", "retry", "state=diverged", "--yes")
    assert done.returncode == 1
    status = run.status()
    assert status is not None
    assert status.state == "diverged"  # the same computation
    (aside,) = run.path.glob("diverged-*")
    assert (aside / "status.json").read_bytes() == first
    assert (run.path / "status.json").read_bytes() != first
