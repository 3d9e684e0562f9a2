"""The evaluate command: a run's network again, and networks that other programs trained."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from conftest import TINY
from omegaconf import OmegaConf
from packed_graphs import Draft

from bnn_ablate.checkpoint import AtomicCheckpointIO
from bnn_ablate.evaluate import main
from bnn_ablate.evaluations import read_evaluation
from bnn_ablate.identity import ids_of
from bnn_ablate.packed.file import write_graph
from bnn_ablate.packed.graph import Add
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
    (["checkpoint=a", "scaling=xnor"], "scaling=xnor does not apply to checkpoint=a: only data, data.root"),
    (["run=a", "run=b"], "run= can be given once"),
    (["run=a", "kernel=sse2"], "kernel=sse2 is unknown: choose one of "),
    (["run=a", "threads=0"], "threads=0 must be a whole number from 1 to 256"),
    (["run=a", "threads=many"], "threads=many must be a whole number from 1 to 256"),
    (["run=a", "batch=0"], "batch=0 must be a whole number from 1 to 4096"),
    (["run=a", "batch=-1"], "batch=-1 must be a whole number from 1 to 4096"),
    (["run=a", "kernel="], "kernel= is empty"),
    (["run=all", "runs=/absent"], "run=all: no run in /absent is finished"),
    (["packed=/absent"], "/absent does not exist"),
    (["packed=a", "grad=ste"], "grad=ste does not apply to packed=a: only data, data.root"),
    (["checkpoint=a", "recipe.epochs=9"], "recipe.epochs=9 does not apply to checkpoint=a"),
    (["checkpoint=a", "dataXYZ=digits"], "dataXYZ=digits does not apply to checkpoint=a"),
    (["packed=a", "data.limit_train=9"], "data.limit_train=9 does not apply to packed=a"),
    (["packed=/absent", "data=synthetic", "trainer.threads=300"], "trainer.threads=300 is more than 256: choose fewer"),
    (["run=a", "trainer.threadsX=1"], "trainer.threadsX=1 does not apply to run=a"),
    (["checkpoint=a", "runs=b"], "runs=b does not apply to checkpoint=a"),
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


@pytest.fixture
def evaluated(done, capsys):
    """Evaluate the run with further words; its exit code, what it printed, and the file that it added."""
    record, runs = done

    def call(*words):
        folder = runs / record.run_id / "evaluations"
        before = set(folder.glob("*")) if folder.exists() else set()
        code = main([f"run={record.run_id}", f"runs={runs}", *words])
        (added,) = set(folder.glob("*")) - before
        return code, capsys.readouterr().out, added

    return call


def test_an_evaluation_is_added_to_the_run_and_nothing_else_is_touched(done, evaluated):
    record, runs = done
    folder = runs / record.run_id

    def others():
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    before = others()
    code, shown, path = evaluated("kernel=portable", "threads=2", "batch=3")
    assert code == 0
    assert others() == before
    assert path.name.endswith("-portable-2-3.json")
    stored = read_evaluation(path)
    assert (stored.run_id, stored.weight_digest) == (record.run_id, record.weight_digest)
    assert stored.accuracy == record.accuracy
    facts = stored.packed
    assert (facts.kernel, facts.threads, facts.throughput_batch) == ("portable", 2, 3)
    for name in ("top1", "top5", "disagreeing_predictions", "flipped_sign_bits", "sign_bits", "file_bytes"):
        assert getattr(facts, name) == getattr(record.packed, name), name
    assert f"{facts.flipped_sign_bits} of {facts.sign_bits:,} sign bits of 24 images flipped" in shown
    assert str(path) in shown


def test_the_profile_has_a_line_for_every_step_and_adds_up(done, evaluated):
    record, _ = done
    _, shown, path = evaluated()
    layers = read_evaluation(path).layers
    # MACs as cost.py counts them, and the classifier's, which it leaves out: 16 features, 10 classes
    assert sum(layer.macs for layer in layers if layer.kind == "bconv") == record.cost.macs_binary
    assert sum(layer.macs for layer in layers) == record.cost.macs_binary + record.cost.macs_float + 16 * 10
    assert all((layer.share_of_peak is not None) == (layer.kind == "bconv") for layer in layers)
    rows = shown.partition("GMAC/s")[2].splitlines()[2:]
    assert len(rows) == len(layers) + 1
    assert "stages.0.0.body.0" in shown
    for row, layer in zip(rows, layers, strict=False):
        assert row.split()[0] == f"{1000 * layer.seconds:.4f}"
        assert row.split()[-1] == layer.names[-1]


def test_a_run_of_before_there_was_an_engine_is_packed_and_keeps_its_folder(done, evaluated):
    record, runs = done
    path = runs / record.run_id / "packed.safetensors"
    whole = path.read_bytes()
    path.unlink()
    try:
        code, _, added = evaluated()
        assert code == 0
        assert not path.exists()
    finally:
        path.write_bytes(whole)
    assert read_evaluation(added).packed.file_bytes == len(whole)


def test_all_runs_are_evaluated_and_a_broken_one_stops_none(done, make_settings, capsys):
    record, runs = done
    other = make_settings(*TINY, f"runs={runs}", "seed=1")
    broken = run(other, ids_of(other), "")
    assert main(["run=all", f"runs={runs}"]) == 0
    assert "2 of 2 runs, 0 with an error" in capsys.readouterr().out
    path = runs / broken.run_id / "packed.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    try:
        assert main(["run=all", f"runs={runs}"]) == 1
    finally:
        shutil.rmtree(runs / broken.run_id)
    shown = capsys.readouterr().out
    assert "2 of 2 runs, 1 with an error" in shown
    assert f"error: {path} is truncated" in shown
    assert f"run {record.run_id}: test top-1" in shown


def test_a_packed_file_alone_is_evaluated(done, capsys):
    record, runs = done
    path = runs / record.run_id / "packed.safetensors"
    words = ["data=synthetic", "data.image_size=8", "data.limit_test=24"]
    assert main([f"packed={path}", *words]) == 0
    shown = capsys.readouterr().out
    assert f"packed.safetensors: test top-1 {100 * record.accuracy.top1:.2f} %" in shown
    assert "stages.0.0.body.0" in shown
    assert main([f"packed={path}", "data=synthetic", "data.image_size=12"]) == 1
    assert f"data=synthetic has 12x12 pixels and packed={path} 8x8: choose other data" in capsys.readouterr().out


def test_nothing_is_evaluated_where_no_run_is_finished(capsys, tmp_path):
    assert main(["run=all", f"runs={tmp_path}"]) == 1
    assert capsys.readouterr().out == f"error: run=all: no run in {tmp_path} is finished\n"


def test_times_taken_while_other_work_ran_are_marked(done, evaluated, monkeypatch):
    for busy in (True, False):
        monkeypatch.setattr("bnn_ablate.latency.was_busy", lambda *_, busy=busy: busy)
        _, shown, path = evaluated()
        assert read_evaluation(path).packed.busy is busy
        assert ("these times are no results" in shown) is busy


def test_other_work_while_the_steps_were_timed_marks_the_times_too(evaluated, monkeypatch):
    verdicts = iter((False, True))  # the whole network's, and that of it and its steps
    monkeypatch.setattr("bnn_ablate.latency.was_busy", lambda *_: next(verdicts))
    _, shown, path = evaluated()
    assert read_evaluation(path).packed.busy
    assert "these times are no results" in shown


def test_a_run_with_more_threads_than_the_engine_has_is_one_sentence(done, capsys):
    record, runs = done
    assert main([f"run={record.run_id}", f"runs={runs}", "trainer.threads=300"]) == 1
    assert capsys.readouterr().out == "error: trainer.threads=300 is more than 256: choose fewer\n"


def test_a_packed_file_that_cannot_be_planned_is_one_sentence(capsys, tmp_path):
    d = Draft((3, 4, 4))
    a = d.conv("image", np.ones((4, 3, 1, 1), np.float32))
    weight = np.ones((4, 4, 3, 3), np.float32)
    x, y = (d.conv(a, weight, border=border, borders=(1, 1, 1, 1)) for border in (0.0, 1.0))
    d.mean_of_all(d.add(Add, x, y))
    path = tmp_path / "two.safetensors"
    write_graph(path, d.graph())
    assert main([f"packed={path}", "data=synthetic"]) == 1
    assert capsys.readouterr().out == "error: conv0 is read with borders of 0.0 and 1.0: one is possible\n"


@pytest.mark.parametrize("name", ["56666a3ef038/", "./56666a3ef038", "../runs/56666a3ef038", "nonsense"])
def test_a_run_is_named_by_its_id_and_by_nothing_else(name: str, capsys: pytest.CaptureFixture[str]):
    assert main([f"run={name}"]) == 1
    expected = f"error: run={name} is no run: give the 12 hexadecimal digits of its id, or all\n"
    assert capsys.readouterr().out == expected


def test_ctrl_c_ends_an_evaluation_in_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def interrupted(asked: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("bnn_ablate.evaluate._all_runs", interrupted)
    assert main(["run=all"]) == 130
    assert capsys.readouterr().out == "stopped; evaluations that were finished are kept\n"
