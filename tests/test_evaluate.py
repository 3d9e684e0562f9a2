"""The evaluate command: a run's network again, and networks that other programs trained."""

from __future__ import annotations

import pytest
import torch
from conftest import TINY
from omegaconf import OmegaConf

from bnn_ablate.checkpoint import AtomicCheckpointIO
from bnn_ablate.evaluate import main
from bnn_ablate.identity import ids_of
from bnn_ablate.run import run
from bnn_ablate.store import Store


@pytest.fixture(scope="module")
def done(make_settings, tmp_path_factory):
    """A finished run: its record and the folder of runs."""
    runs = tmp_path_factory.mktemp("evaluated")
    settings = make_settings(*TINY, f"runs={runs}")
    return run(settings, ids_of(settings), ""), runs


def test_a_run_evaluated_again_has_the_accuracy_of_its_record(done, capsys):
    record, runs = done
    assert main([f"run={record.run_id}", f"runs={runs}"]) == 0
    expected = f"run {record.run_id}: test top-1 {100 * record.accuracy.top1:.2f} %, top-5"
    assert capsys.readouterr().out.startswith(expected)


def test_a_run_of_before_the_newer_axes_can_be_evaluated(done, capsys):
    record, runs = done
    path = runs / record.run_id / "config.yaml"
    whole = path.read_text()
    older = OmegaConf.load(path)
    for axis in ("weights", "activations", "first", "last", "bottleneck", "growth", "pretrain"):
        del older[axis]
    del older.padding["side"]
    older.downsample = {"name": "fp"}
    try:
        OmegaConf.save(older, path)
        assert main([f"run={record.run_id}", f"runs={runs}"]) == 0
    finally:
        path.write_text(whole)
    assert f"{100 * record.accuracy.top1:.2f} %" in capsys.readouterr().out


def test_a_record_that_says_otherwise_is_told_and_is_no_success(done, capsys):
    record, runs = done
    folder = Store(runs).run(record.run_id)
    whole = folder.checkpoint.read_bytes()
    changed = AtomicCheckpointIO().load_checkpoint(folder.checkpoint)
    for key in [key for key in changed["state_dict"] if "head" in key and key.endswith("bias")]:
        changed["state_dict"][key] = torch.full((10,), float("nan"))  # whose largest value is none of the right ones
    try:
        AtomicCheckpointIO().save_checkpoint(changed, folder.checkpoint)
        assert main([f"run={record.run_id}", f"runs={runs}"]) == 1
    finally:
        folder.checkpoint.write_bytes(whole)
    assert "the record says top-1" in capsys.readouterr().out


WRONG = [
    ([], "give one of run=ID, run=all, checkpoint=FILE and packed=FILE"),
    (["run=a", "checkpoint=b"], "give one of run=ID, run=all, checkpoint=FILE and packed=FILE"),
    (["run=0123456789ab"], "run=0123456789ab is not there in runs"),
    (["run=0123456789ab", "grad=ste"], "grad=ste does not apply to run=0123456789ab"),
    (["checkpoint=/absent"], "/absent"),
    (["checkpoint=a", "scaling=xnor"], "scaling=xnor does not apply to checkpoint=a: only data, recipe"),
    (["run=a", "run=b"], "run= can be given once"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG)
def test_what_cannot_be_evaluated_is_one_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("error: ")
    assert sentence in shown
    assert shown.count("\n") == 1


def test_a_runs_checkpoint_is_not_mistaken_for_a_converted_network(done, capsys):
    record, runs = done
    path = runs / record.run_id / "last.ckpt"
    assert main([f"checkpoint={path}", "data=synthetic"]) == 1
    assert str(path) in capsys.readouterr().out


def test_help_says_what_can_be_given(capsys):
    assert main(["--help"]) == 0
    assert "checkpoint=FILE" in capsys.readouterr().out
