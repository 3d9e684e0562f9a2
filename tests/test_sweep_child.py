"""What a process of a sweep sees, and where its output goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TINY
from interruptions import print_on_a_full_disk, train_one_that_tells_where_it_is
from sweep_factories import job

from bnn_ablate.store import Store


@pytest.mark.parametrize(("accelerator", "seen"), [("gpu", "3,5"), ("cpu", "None")])
def test_a_run_sees_its_own_gpus_has_a_group_of_its_own_and_prints_into_its_folder(
    accelerator, seen, forkserver, make_settings, tmp_path, monkeypatch
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    overrides = ("trainer=gpu", "trainer.devices=2") if accelerator == "gpu" else ()
    one = job(replace(make_settings(*TINY, *overrides), runs=str(tmp_path)), 1)
    ours, theirs = forkserver.Pipe(duplex=False)
    process = forkserver.Process(target=train_one_that_tells_where_it_is, args=(one, theirs, ("3", "5")))
    process.start()
    theirs.close()
    assert ours.recv().sentence == f"{seen} True"
    process.join()
    assert process.exitcode == 0
    output = Store(tmp_path).run(one.run_id).output.read_text()
    assert output.splitlines() == ["printed", "by another program", "to standard error"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux'")
def test_what_finds_no_room_in_a_log_costs_nothing(forked):
    assert forked(print_on_a_full_disk, "/dev/full") == 0
