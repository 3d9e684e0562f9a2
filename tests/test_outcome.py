"""An attempt at a run ends as a value, and tells how far it is on the way."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from conftest import TINY

from bnn_ablate import run as run_module
from bnn_ablate.identity import ids_of
from bnn_ablate.outcome import attempt
from bnn_ablate.store import Store


@pytest.fixture
def tiny(make_settings, tmp_path):
    settings = replace(make_settings(*TINY), runs=str(tmp_path))
    ids = ids_of(settings)
    return settings, ids, Store(tmp_path).run(ids.run_id)


def test_a_training_tells_its_steps_and_its_newest_epoch(tiny):
    settings, ids, folder = tiny
    told = []
    outcome = attempt(settings, ids, "tiny", folder, tell=told.append)
    record = folder.record()
    assert record is not None
    assert (outcome.kind, outcome.sentence) == ("done", f"test top-1 {100 * record.accuracy.top1:.2f} % of 24 images")
    assert (told[0].step, told[0].steps, told[0].row) == (0, 18, None)
    assert [one.step for one in told if one.row is not None and one.step == 6 * (one.row.epoch + 1)] == [6, 12, 18]
    assert told[-1].row == record.curve[-1]


def test_a_full_disk_is_an_outcome_of_its_own(tiny, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_module, "load_splits", full)
    outcome = attempt(*tiny[:2], "tiny", tiny[2])
    assert outcome.kind == "disk full"
    assert "make space and repeat the command" in outcome.sentence


def test_a_run_that_another_process_holds_is_busy(tiny):
    settings, ids, folder = tiny
    with folder.lock():
        outcome = attempt(settings, ids, "tiny", folder)
    assert outcome.kind == "busy"
    assert f"run {ids.run_id} is being worked on by process" in outcome.sentence


def test_what_a_person_can_put_right_is_refused_with_its_sentence(tiny):
    settings, _, _ = tiny
    settings = replace(settings, data=replace(settings.data, name="fashion_mnist", root="/nowhere"))
    ids = ids_of(settings)
    outcome = attempt(settings, ids, "tiny", Store(tiny[2].path.parent).run(ids.run_id))
    assert outcome.kind == "refused"
    assert "data.download=true fetches what is missing" in outcome.sentence


def test_an_error_says_where_its_traceback_lies(tiny, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(run_module, "load_splits", broken)
    outcome = attempt(*tiny[:2], "tiny", tiny[2])
    assert outcome.kind == "failed"
    assert outcome.sentence == f"ZeroDivisionError: on purpose (traceback in {tiny[2].path / 'status.json'})"
