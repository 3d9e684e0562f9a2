"""Real CIFAR-10 and Fashion-MNIST through the command line, where BNN_ABLATE_DATA says where they lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bnn_ablate.data.identity import data_checksum
from bnn_ablate.store import Store

FOLDERS = {"cifar10": "cifar10", "fashion_mnist": "fashion-mnist"}


@pytest.mark.skipif("BNN_ABLATE_DATA" not in os.environ, reason="BNN_ABLATE_DATA is not set: no real images")
@pytest.mark.parametrize("name", FOLDERS)
def test_a_run_on_real_images_learns_and_its_record_names_them_by_checksum(name, make_settings, tmp_path):
    overrides = [
        f"data={name}",
        f"data.root={Path(os.environ['BNN_ABLATE_DATA']) / FOLDERS[name]}",
        "data.download=false",
        "data.limit_train=2560",
        "data.limit_test=1000",
        "model=resnet_e18",
        "model.width=0.25",
        "recipe=cifar_wiki",
        "recipe.epochs=2",
        "recipe.schedule.warmup_epochs=1",
        "tracking=none",
        f"runs={tmp_path}",
    ]
    subprocess.run([sys.executable, "-m", "bnn_ablate", *overrides], check=True, capture_output=True)
    (record,) = (run.record() for run in Store(tmp_path).runs())
    assert record.data.checksum == data_checksum(make_settings(*overrides).data)
    assert (record.data.num_train, record.data.num_test) == (2560, 1000)
    assert record.accuracy.num_images == 1000
    assert record.accuracy.top1 > 0.15  # chance is 0.10; three standard deviations of it are 0.03
