"""Several processes train one run as one process does. Each of them imports torch anew, so this is not in the suite."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

from bnn_ablate.store import Store


def trained(runs: Path, *overrides: str):
    command = [sys.executable, "-m", "bnn_ablate", *TINY, "data.limit_test=25", f"runs={runs}", *overrides]
    subprocess.run(command, check=True, capture_output=True)
    (folder,) = Store(runs).runs()
    return folder


def test_two_processes_give_the_curve_of_one_and_count_the_test_set_once(tmp_path):
    one = trained(tmp_path / "one")
    two = trained(tmp_path / "two", "trainer=ddp")
    assert one.path.name == two.path.name
    record = two.record()
    assert record.accuracy.num_images == 25
    assert record.provenance.devices == 2
    assert (record.packed.top1, record.packed.disagreeing_predictions) == (record.accuracy.top1, 0)
    alone, shared = one.record().curve, record.curve
    assert shared[0].train_loss == pytest.approx(alone[0].train_loss, rel=1e-4)
    # sums in another order round otherwise, until a sign flips: from then on the two are close, not equal
    assert shared[-1].train_loss == pytest.approx(alone[-1].train_loss, rel=0.05)
    assert shared[-1].test_loss == pytest.approx(alone[-1].test_loss, rel=0.05)
    with open(two.metrics) as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]


def test_two_processes_train_the_float_network_and_the_one_that_starts_from_it(tmp_path):
    command = [sys.executable, "-m", "bnn_ablate", *TINY, f"runs={tmp_path}", "trainer=ddp"]
    subprocess.run([*command, "pretrain=clip", "scaling=learned", "grad=ede"], check=True, capture_output=True)
    records = [folder.record() for folder in Store(tmp_path).runs()]
    first, second = sorted(records, key=lambda record: record.pretrained_by is not None)
    assert second.pretrained_by == first.run_id
    assert first.config["activations"]["function"] == "clip"
    assert [record.provenance.devices for record in records] == [2, 2]
