"""What several training processes owe each other; training in them is in tests/slow/test_processes.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch.distributed

from bnn_ablate.processes import SpawnedProcesses


def threads() -> list[str]:
    return [Path(f"{task}/comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


def exchange_and_tear_down(store: Path) -> None:
    trainer = pl.Trainer(accelerator="cpu", devices=1, strategy=SpawnedProcesses(), logger=False)
    torch.distributed.init_process_group("gloo", init_method=store.as_uri(), rank=0, world_size=1)
    torch.distributed.all_reduce(torch.ones(3))
    assert any(name.startswith("pt_gloo") for name in threads()), threads()
    trainer.strategy.teardown()
    assert not any(name.startswith(("pt_gloo", "gloo")) for name in threads()), threads()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are looked up in Linux' /proc")
def test_no_thread_of_gloo_outlives_the_training_process_work(forked, tmp_path):
    assert forked(exchange_and_tear_down, tmp_path / "store") == 0
