"""A run that is killed or stopped anywhere ends with the same bits as one that was not."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY
from interruptions import (
    train,
    train_and_die_at_step,
    train_and_die_in_call,
    train_and_die_in_evaluation,
    train_and_fail_to_pack,
)

from bnn_ablate.packed import PackedNetwork
from bnn_ablate.record import Record, same_result
from bnn_ablate.settings import Settings
from bnn_ablate.store import RunFolder, Store
from bnn_ablate.trained import load_trained

KILLED = -signal.SIGKILL


def folder_of(settings: Settings) -> RunFolder:
    (folder,) = Store(Path(settings.runs)).runs()
    return folder


# --- the tests ---


@pytest.fixture(scope="module")
def whole(make_settings, forked, tmp_path_factory) -> Record:
    """The record of the run that nobody disturbed."""
    settings = make_settings(*TINY, f"runs={tmp_path_factory.mktemp('whole')}")
    assert forked(train, settings) == 0
    record = folder_of(settings).record()
    assert record is not None
    assert record.steps == 18
    return record


@pytest.mark.parametrize("step", [4, 6, 17])
def test_a_run_killed_at_any_step_ends_with_the_same_bits(step, whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_at_step, settings, step, signal.SIGKILL) == KILLED
    assert folder_of(settings).record() is None
    assert forked(train, settings) == 0
    assert same_result(folder_of(settings).record(), whole)


@pytest.mark.parametrize("step", [0, 5, 8, 11])
def test_a_run_asked_to_stop_continues_inside_the_epoch(step, whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_at_step, settings, step, signal.SIGTERM) == 130
    assert folder_of(settings).status().state == "stopped"
    assert forked(train, settings) == 0
    record = folder_of(settings).record()
    assert same_result(record, whole)
    assert record.provenance.resumes == 1


def test_a_run_stopped_again_and_again_ends_with_the_same_bits(whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    for step in (1, 3, 4, 9, 12, 16):
        assert forked(train_and_die_at_step, settings, step, signal.SIGINT) == 130
    assert forked(train, settings) == 0
    record = folder_of(settings).record()
    assert same_result(record, whole)
    assert record.provenance.resumes == 6


def test_a_stop_in_the_last_step_lets_the_run_finish(whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_at_step, settings, 17, signal.SIGTERM) == 0
    assert same_result(folder_of(settings).record(), whole)


@pytest.mark.parametrize(
    ("name", "suffix", "call"),
    [
        ("fsync", "last.ckpt", 2),
        ("replace", "last.ckpt", 2),
        ("fsync", "packed.safetensors", 1),
        ("replace", "packed.safetensors", 1),
        ("replace", "record.json", 1),
        ("replace", "status.json", 3),
    ],
)
def test_a_run_killed_while_it_writes_a_file_ends_with_the_same_bits(
    name, suffix, call, whole, make_settings, forked, tmp_path
):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_in_call, settings, name, suffix, call) == KILLED
    assert forked(train, settings) == 0
    assert same_result(folder_of(settings).record(), whole)


@pytest.mark.parametrize("call", [1, 3])
def test_a_run_killed_while_it_evaluates_has_each_epoch_once(call, whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_in_evaluation, settings, call) == KILLED
    assert forked(train, settings) == 0
    folder = folder_of(settings)
    assert same_result(folder.record(), whole)
    rows = folder.metrics.read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["0", "1", "2"]


def test_a_failure_after_training_never_costs_the_training(whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_in_call, settings, "replace", "record.json", 1) == KILLED
    folder = folder_of(settings)
    assert folder.status().state == "trained"
    before = folder.checkpoint.stat().st_mtime_ns
    assert forked(train, settings) == 0
    assert folder.checkpoint.stat().st_mtime_ns == before
    assert same_result(folder.record(), whole)


def test_a_failure_of_packing_never_costs_the_training(whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_fail_to_pack, settings) == 1
    folder = folder_of(settings)
    assert folder.status().state == "trained"
    assert folder.record() is None
    before = folder.checkpoint.stat().st_mtime_ns
    assert forked(train, settings) == 0
    assert folder.checkpoint.stat().st_mtime_ns == before
    assert folder.status().state == "done"
    assert same_result(folder.record(), whole)


def test_the_packed_file_of_a_run_is_the_network_of_its_record(whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train, settings) == 0
    folder = folder_of(settings)
    packed = folder.record().packed
    assert packed == replace(packed, top1=whole.accuracy.top1, top5=whole.accuracy.top5, disagreeing_predictions=0)
    assert (packed.flipped_sign_bits, packed.sign_images) == (0, 24)
    assert packed.file_bytes == folder.packed.stat().st_size
    # signs take a bit each, everything else 32: BatchNorm's statistics and the names come on top
    assert packed.file_bytes > folder.record().cost.size_bits / 8
    network = load_trained(settings, folder).network
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(PackedNetwork.load(folder.packed)(images), network(images), atol=1e-4)


def test_a_run_continued_with_other_threads_says_so(make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_at_step, settings, 7, signal.SIGTERM) == 130
    assert forked(train, make_settings(*TINY, f"runs={tmp_path}", "trainer.threads=2")) == 0
    assert folder_of(settings).record().provenance.notes == ["resumed with other threads: 1, then 2"]


def test_another_seed_gives_other_bits(whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}", "seed=1")
    assert forked(train, settings) == 0
    record = folder_of(settings).record()
    assert record.cell_id == whole.cell_id
    assert record.weight_digest != whole.weight_digest
