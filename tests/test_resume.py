"""A run that is killed or stopped anywhere ends with the same bits as one that was not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from conftest import TINY

from bnn_ablate.record import Record, same_result
from bnn_ablate.settings import Settings
from bnn_ablate.store import RunFolder, Store

KILLED = -signal.SIGKILL


def folder_of(settings: Settings) -> RunFolder:
    (folder,) = Store(Path(settings.runs)).runs()
    return folder


# --- what the child processes do; the parent looks at what they leave behind ---


def train(settings: Settings) -> None:
    from bnn_ablate.run import run

    run(settings, "tiny")


def train_and_die_at_step(settings: Settings, step: int, number: int) -> None:
    """Send ``number`` to ourselves when that training step (from 0, over all epochs) begins."""
    from bnn_ablate.classifier import Classifier

    original = Classifier.training_step

    def training_step(self, batch, batch_idx):
        if self.global_step == step:
            os.kill(os.getpid(), number)
        return original(self, batch, batch_idx)

    Classifier.training_step = training_step
    exit_as_the_command_line_does(settings)


def train_and_die_in_call(settings: Settings, name: str, suffix: str, call: int) -> None:
    """SIGKILL at the ``call``-th (from 1) use of os.``name`` on a file ending in ``suffix``, before it happens."""
    original = getattr(os, name)
    seen = 0

    def dying(first, *rest):
        nonlocal seen
        target = str(rest[0]) if rest else os.readlink(f"/proc/self/fd/{first}")
        if suffix in target:
            seen += 1
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)
        return original(first, *rest)

    setattr(os, name, dying)
    train(settings)


def train_and_die_in_evaluation(settings: Settings, call: int) -> None:
    from bnn_ablate import classifier

    original = classifier.evaluate
    seen = 0

    def evaluate(network, batches):
        nonlocal seen
        seen += 1
        if seen == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(network, batches)

    classifier.evaluate = evaluate
    train(settings)


def exit_as_the_command_line_does(settings: Settings) -> None:
    from bnn_ablate.__main__ import train as train_or_interrupt

    try:
        train_or_interrupt(settings, "tiny")
    except KeyboardInterrupt:
        os._exit(130)


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


@pytest.mark.parametrize("step", [0, 4, 6, 13, 17])
def test_a_run_killed_at_any_step_ends_with_the_same_bits(step, whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_at_step, settings, step, signal.SIGKILL) == KILLED
    assert folder_of(settings).record() is None
    assert forked(train, settings) == 0
    assert same_result(folder_of(settings).record(), whole)


@pytest.mark.parametrize("step", [0, 2, 5, 6, 8, 11, 16])
@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_run_asked_to_stop_continues_inside_the_epoch(step, number, whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_at_step, settings, step, number) == 130
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
        ("fsync", "last.ckpt", 1),
        ("fsync", "last.ckpt", 2),
        ("replace", "last.ckpt", 2),
        ("replace", "last.ckpt", 3),
        ("fsync", "record.json", 1),
        ("replace", "record.json", 1),
        ("replace", "status.json", 2),
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


def test_a_run_continued_with_other_threads_says_so(make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_at_step, settings, 7, signal.SIGTERM) == 130
    assert forked(train, make_settings(*TINY, f"runs={tmp_path}", "trainer.threads=2")) == 0
    assert folder_of(settings).record().provenance.notes == ["resumed with another threads: 1, then 2"]


def test_another_seed_gives_other_bits(whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}", "seed=1")
    assert forked(train, settings) == 0
    record = folder_of(settings).record()
    assert record.cell_id == whole.cell_id
    assert record.weight_digest != whole.weight_digest
