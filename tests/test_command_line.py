"""The command line as a person uses it: exit codes, sentences, and what lies in the folder afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import TINY, TINY_SIZES, TINY_TRAINING
from interruptions import (
    command_line,
    command_line_failing_at_step,
    command_line_on_a_full_disk,
    command_line_stopped_at_step,
)

from bnn_ablate.store import Store


@pytest.fixture
def bnn_ablate(forked, tmp_path) -> Callable[..., tuple[int, str]]:
    """Run the command line on the tiny network in tmp_path/runs; returns its exit code and what it printed."""
    calls = 0

    def call(*arguments: str, how=command_line, with_=()) -> tuple[int, str]:
        nonlocal calls
        calls += 1
        output = tmp_path / f"output{calls}.txt"
        flags = [argument for argument in arguments if argument.startswith("-")]
        overrides = [argument for argument in arguments if not argument.startswith("-")]
        sizes = [] if "model=binary_densenet28" in arguments else TINY_SIZES
        everything = [*flags, *TINY_TRAINING, *sizes, f"runs={tmp_path / 'runs'}", *overrides]
        code = forked(how, everything, str(output), *with_)
        return code, output.read_text()

    return call


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def states(store: Store) -> list[str]:
    return sorted(folder.status().state for folder in store.runs())


def test_a_grid_trains_every_cell_and_ends_with_a_table_and_the_second_time_answers_from_the_records(bnn_ablate, store):
    grid = ["-m", "scaling=none,channel", "grad=ste,approxsign"]
    code, output = bnn_ablate(*grid)
    assert code == 0, output
    assert states(store) == ["done"] * 4
    (study,) = store.studies.glob("*.json")
    assert study.stem.startswith("grad-scaling-")
    assert {job["run_id"] for job in json.loads(study.read_text())["jobs"]} == {run.path.name for run in store.runs()}
    table = output.split(study.stem)[-1]
    assert table.count("1 of 1") == 4

    before = {run.path.name: run.checkpoint.stat().st_mtime_ns for run in store.runs()}
    code, output = bnn_ablate(*grid)
    assert code == 0, output
    assert output.count("already done") == 4
    assert {run.path.name: run.checkpoint.stat().st_mtime_ns for run in store.runs()} == before


def test_another_seed_is_another_run_of_the_same_cell(bnn_ablate, store):
    assert bnn_ablate("seed=0")[0] == bnn_ablate("seed=1")[0] == 0
    first, second = (run.record() for run in store.runs())
    assert first.run_id != second.run_id
    assert first.cell_id == second.cell_id
    assert {first.seed, second.seed} == {0, 1}


def test_a_wrong_cell_of_a_grid_is_told_and_the_others_are_trained(bnn_ablate, store):
    code, output = bnn_ablate("-m", "grad=ste,approxsign", "grad.clip=1.3")
    assert code == 1
    assert "error: grad.clip=1.3 does nothing with grad=approxsign" in output
    assert "Traceback" not in output
    assert states(store) == ["done"]


def test_help_lists_our_groups_and_nothing_else_of_the_checkout(bnn_ablate):
    code, output = bnn_ablate("--help")
    assert code == 0
    listed, _, _ = output.partition("== Config ==")
    groups = {line.partition(": ")[0] for line in listed.splitlines() if re.match(r"[\w/.-]+: \S", line)}
    assert {"scaling", "grad", "recipe/optimizer", "sweeps"} <= groups
    folders = {path.name for path in (Path(__file__).parent.parent / "conf").iterdir() if path.is_dir()}
    assert {group.partition("/")[0] for group in groups} == folders - {"hydra"} | {"sweeps"}


def test_a_sweep_of_which_no_cell_makes_sense_leaves_no_study_behind(bnn_ablate, store):
    code, output = bnn_ablate("-m", "+misspelt=1,2")
    assert code == 1
    assert output.splitlines() == [
        "error: misspelt is not a setting  (+misspelt=1)",
        "error: misspelt is not a setting  (+misspelt=2)",
    ]
    assert not store.root.exists()


def test_a_diverged_run_is_an_outcome_that_is_recorded_once(bnn_ablate, store):
    diverging = ["recipe/optimizer=sgd", "recipe.optimizer.lr=1e30"]
    code, output = bnn_ablate(*diverging)
    assert code == 1
    (run,) = store.runs()
    assert run.status().state == "diverged"
    assert "the loss became nan in epoch 0" in run.status().error
    assert "DivergedError" in run.status().traceback
    assert run.record() is None
    assert f"run {run.path.name}" in output

    written = run.status().updated, (run.path / "status.json").stat().st_mtime_ns
    code, output = bnn_ablate(*diverging)
    assert code == 1
    assert "diverged" in output
    assert (run.status().updated, (run.path / "status.json").stat().st_mtime_ns) == written


def test_a_failed_run_keeps_its_traceback_and_is_tried_again(bnn_ablate, store):
    code, output = bnn_ablate(how=command_line_failing_at_step, with_=(7,))
    assert code == 1
    (run,) = store.runs()
    assert run.status().state == "failed"
    assert "ZeroDivisionError: on purpose" in run.status().traceback
    assert f"run {run.path.name} failed: ZeroDivisionError: on purpose" in output
    assert "Traceback" not in output
    assert bnn_ablate()[0] == 0
    assert run.status().state == "done"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data=fashion_mnist", "data.root=/nowhere"], "data.download=true fetches what is missing"),
        (["recipe.batch_size=97"], "recipe.batch_size=97 is more than the 96 training images"),
        (["data.holdout=90"], "recipe.batch_size=16 is more than the 6 training images"),
        (["trainer.devices=9999"], "trainer.devices=9999 is more than the"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_begin_is_one_sentence_and_leaves_no_run(overrides, sentence, bnn_ablate, store):
    code, output = bnn_ablate(*overrides)
    assert code == 1
    assert sentence in output
    assert "Traceback" not in output
    assert not list(store.root.glob("????????????"))


def test_ctrl_c_leaves_a_sentence_and_a_run_that_continues(bnn_ablate, store):
    grid = ["-m", "hydra/launcher=basic", "grad=ste,approxsign"]
    code, output = bnn_ablate(*grid, how=command_line_stopped_at_step, with_=(7,))
    assert code == 130
    assert "repeat the same command to continue" in output
    assert "Traceback" not in output
    assert states(store) == ["stopped"]
    assert bnn_ablate(*grid)[0] == 0
    assert states(store) == ["done", "done"]
    assert sorted(run.record().provenance.resumes for run in store.runs()) == [0, 1]


def test_a_full_disk_leaves_finished_runs_whole_and_one_sentence(bnn_ablate, store):
    grid = ["-m", "hydra/launcher=basic", "grad=ste,approxsign", "order=post,pre"]
    code, output = bnn_ablate(*grid, how=command_line_on_a_full_disk, with_=(5,))
    assert code == 1
    assert output.count("no space left on the disk") == 1
    assert "Traceback" not in output
    done = [run for run in store.runs() if run.record() is not None]
    assert len(done) == 1
    assert done[0].record().steps == 18
    assert not list(store.root.rglob("*.tmp"))
    assert bnn_ablate(*grid)[0] == 0
    assert states(store) == ["done"] * 4


def test_a_broken_study_file_is_told_before_anything_is_trained(bnn_ablate, store):
    store.studies.mkdir(parents=True)
    (store.studies / "mine.json").write_text("{")
    for flags in (["-m"], []):
        code, output = bnn_ablate(*flags, "study=mine")
        assert code == 1
        assert "mine.json" in output
        assert "Traceback" not in output
    assert not store.runs()


def test_a_damaged_checkpoint_is_named_and_left_where_it_is(bnn_ablate, store):
    assert bnn_ablate(how=command_line_stopped_at_step, with_=(7,))[0] == 130
    (run,) = store.runs()
    half = run.checkpoint.read_bytes()[: run.checkpoint.stat().st_size // 2]
    run.checkpoint.write_bytes(half)
    code, output = bnn_ablate()
    assert code == 1
    assert f"{run.checkpoint} is damaged: delete it to train the run from its start" in output
    assert "Traceback" not in output
    assert run.checkpoint.read_bytes() == half
    run.checkpoint.unlink()
    assert bnn_ablate()[0] == 0


def test_a_run_that_another_process_trains_is_left_alone(bnn_ablate, store, make_settings, tmp_path):
    from bnn_ablate.identity import ids_of

    folder = store.run(ids_of(make_settings(*TINY)).run_id)
    with folder.lock():
        code, output = bnn_ablate()
    assert code == 1
    assert f"run {folder.path.name} is being worked on by process" in output


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_told_before_anything_starts(bnn_ablate, store):
    code, output = bnn_ablate("trainer=gpu")
    assert code == 1
    assert "error: trainer.accelerator=gpu with trainer.devices=1 needs as many GPUs and torch sees 0" in output
    assert not store.runs()


def test_an_unknown_option_lists_the_options_there_are(bnn_ablate):
    code, output = bnn_ablate("scaling=often")
    assert code == 1
    for option in ("channel", "none", "xnor"):
        assert option in output


def test_the_configuration_beside_a_run_says_everything(bnn_ablate, store):
    import yaml

    assert bnn_ablate("grad.clip=1.25")[0] == 0
    (run,) = store.runs()
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    assert config["grad"] == {"name": "ste", "clip": 1.25}
    assert config["trainer"]["threads"] == 1
    assert config["runs"] == str(store.root)


DENSE = (
    "model=binary_densenet28",
    "model.layers_per_stage=[1,1]",
    "model.dilation=[1,1]",
    "model.reduction=[1.5]",
    "model.growth=16",
)


@pytest.mark.parametrize(
    "overrides",
    [
        DENSE,
        ("recipe.precision=bf16",),
        ("grad=approxsign_both", "latent=clamped", "data.holdout=16"),
        ("scaling=xnor", "order=pre", "padding=zero", "downsample=binary"),
        ("recipe/optimizer=radam", "recipe/schedule=step", "recipe.schedule.milestones=[2]"),
        ("trainer=smoke",),
    ],
    ids=lambda value: value[0],
)
def test_runs_of_other_designs_train_and_are_recorded(overrides, bnn_ablate, store):
    code, output = bnn_ablate(*overrides)
    assert code == 0, output
    (run,) = store.runs()
    record = run.record()
    assert record.accuracy.num_images == 24
    assert (record.best_holdout is not None) == ("data.holdout=16" in overrides)
    assert (record.curve[0].frozen_weights is not None) == ("grad=approxsign_both" in overrides)
    assert record.packed.top1 == record.accuracy.top1
    assert (record.packed.disagreeing_predictions, record.packed.flipped_sign_bits) == (0, 0)
