"""The command that removes runs and trains them again: nothing is lost that was not named."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY
from factories import make_record, put_done, put_status
from run_folders import Call, caller, put_running, put_store

from bnn_ablate.identity import ids_of
from bnn_ablate.outcome import Outcome
from bnn_ablate.run import config_yaml
from bnn_ablate.runs import again, removal
from bnn_ablate.settings import Settings
from bnn_ablate.states import status_of
from bnn_ablate.store import RunFolder, State, Store
from bnn_ablate.study import Job, plan_jobs

# --- remove -------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(tmp_path, capsys)


def kept(root: Path, ids: dict[str, str]) -> set[str]:
    """The words for the runs whose folders are there."""
    return {word for word, run_id in ids.items() if (root / run_id).exists()}


ALL = {"done", "failed", "diverged", "stopped", "broken", "begun"}


@pytest.mark.parametrize(
    ("words", "removed"),
    [
        ("state=failed", {"failed"}),
        ("seed=0", {"diverged"}),  # the done run of seed 0 was not named
        ("seed=0 state=done", {"done"}),
        ("state=done,broken", {"done", "broken"}),
        ("study=pair", {"failed"}),
        ("recipe=quick,short", {"failed", "diverged", "stopped", "begun"}),
    ],
)
def test_filters_remove_runs_with_a_result_only_where_they_name_its_state(
    words: str, removed: set[str], tmp_path: Path, call: Call
) -> None:
    ids = put_store(tmp_path)
    assert call("remove", *words.split(), "--yes")[0] == 0
    assert kept(tmp_path, ids) == ALL - removed


def test_a_training_that_is_over_counts_as_a_result(tmp_path: Path, call: Call) -> None:
    trained = put_status(tmp_path, make_record(), "trained")
    assert call("remove", "seed=0", "--yes")[0] == 0
    assert (tmp_path / trained.run_id).exists()


def test_what_wandb_has_of_a_run_stays_and_is_told(tmp_path: Path, call: Call) -> None:
    record = put_status(tmp_path, make_record(), "failed")
    place = tmp_path / "wandb" / f"offline-run-20260101_000000-{record.run_id}"
    place.mkdir(parents=True)
    assert f"what W&B has of them stays in {tmp_path}/wandb" in call("remove", record.run_id, "--yes")[1]
    assert place.exists()


def test_runs_that_a_filter_leaves_are_told(tmp_path: Path, call: Call) -> None:
    put_store(tmp_path)
    _, out, _ = call("remove", "recipe=quick", "--yes")
    assert "2 runs (broken, done) kept: name the state (state=done) or the ids to remove them" in out


def test_ids_remove_runs_of_every_state(tmp_path: Path, call: Call) -> None:
    ids = put_store(tmp_path)
    status, out, _ = call("remove", ids["done"], ids["begun"][:4], "--yes")
    assert (status, kept(tmp_path, ids)) == (0, ALL - {"done", "begun"})
    assert "study pair goes on listing 1 run of them, as missing" in out
    assert not list(tmp_path.glob(f"{removal.TRASH}*"))


def test_what_started_from_a_removed_run_is_told_and_stays(tmp_path: Path, call: Call) -> None:
    first = put_done(tmp_path, make_record(seed=0))
    then = put_done(tmp_path, replace(make_record(seed=1), pretrained_by=first.run_id))
    _, out, _ = call("remove", first.run_id, "--yes")
    assert f"run {then.run_id} started from the weights of {first.run_id}; its result stays" in out
    assert (tmp_path / then.run_id / "record.json").exists()


def test_without_a_terminal_nothing_is_removed_unless_yes_is_given(tmp_path: Path, call: Call) -> None:
    ids = put_store(tmp_path)
    status, out, err = call("remove", "state=failed")
    assert (status, kept(tmp_path, ids)) == (2, ALL)
    assert ids["failed"] in out  # what would go
    assert "remove 1 run can only be asked in a terminal: give --yes" in err


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes standard input a terminal, where somebody types an answer."""
    ours, theirs = pty.openpty()
    typed: list[int] = []
    with open(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        yield lambda text: typed.append(os.write(ours, text.encode()))
    os.close(ours)


def test_the_question_takes_y_for_runs_without_a_result_and_their_number_for_others(
    tmp_path: Path, call: Call, answer: Callable[[str], None]
) -> None:
    ids = put_store(tmp_path)
    answer("\n")
    status, out, _ = call("remove", "state=failed")
    assert (status, kept(tmp_path, ids)) == (1, ALL)
    assert "remove 1 run? [y/N]" in out
    answer("y\n")
    assert call("remove", "state=failed")[0] == 0
    assert kept(tmp_path, ids) == ALL - {"failed"}
    both = [ids["done"], ids["stopped"]]
    answer("y\n")
    status, out, _ = call("remove", *both)
    assert (status, kept(tmp_path, ids)) == (1, ALL - {"failed"})
    assert "remove 2 runs, 1 with a result, 60 s of training" in out
    answer("2\n")
    assert call("remove", *both)[0] == 0
    assert kept(tmp_path, ids) == ALL - {"failed", "done", "stopped"}


def test_a_run_that_is_worked_on_stays_and_the_others_go(tmp_path: Path, call: Call) -> None:
    busy, free = put_running(tmp_path, make_record(seed=0)), put_running(tmp_path, make_record(seed=1))
    code = (
        "import sys; from pathlib import Path; from bnn_ablate.store import Store\n"
        f"with Store(Path({str(tmp_path)!r})).run({busy.run_id!r}).lock():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    before = sorted(path.name for path in (tmp_path / busy.run_id).iterdir())
    status, out, _ = call("remove", "state=running", "--yes")
    assert status == 1
    assert f"kept: run {busy.run_id} is being worked on" in out
    assert sorted(path.name for path in (tmp_path / busy.run_id).iterdir()) == before
    assert not (tmp_path / free.run_id).exists()
    holder.communicate()
    assert call("remove", "state=running", "--yes")[0] == 0


def test_a_run_of_another_host_is_not_waited_for(tmp_path: Path, call: Call) -> None:
    record = put_running(tmp_path, make_record())
    heartbeat = '{"host": "elsewhere", "boot": "b", "pid": 1, "job_id": null, "token": "t"}'
    (tmp_path / record.run_id / "heartbeat.json").write_text(heartbeat)
    assert call("remove", record.run_id, "--yes")[0] == 1
    assert (tmp_path / record.run_id / "heartbeat.json").read_text() == heartbeat


def test_a_run_that_was_finished_while_the_question_stood_stays(tmp_path: Path) -> None:
    record = put_status(tmp_path, make_record(), "stopped")
    folder = Store(tmp_path).run(record.run_id)
    folder.write_record(record)
    with pytest.raises(removal.RunsError, match="was finished meanwhile"):
        removal.remove_folder(folder, tmp_path, "stopped")
    assert (folder.path / "record.json").exists()


def test_an_interrupted_removal_leaves_no_half_run_and_is_finished_by_the_next(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = put_store(tmp_path)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        assert call("remove", ids["done"], "--yes")[0] == 130
    listed = {one["run_id"] for one in json.loads(call("--json")[1])}
    assert listed == set(ids.values()) - {ids["done"]}
    assert list((tmp_path / removal.TRASH).iterdir())
    call("remove", "state=failed", "--yes")
    assert not (tmp_path / removal.TRASH).exists()


def test_nothing_to_remove_is_said(tmp_path: Path, call: Call) -> None:
    put_done(tmp_path, make_record())
    assert call("remove", "state=failed", "--yes")[:2] == (0, "nothing to remove\n")


# --- retry --------------------------------------------------------------------------------------------------------


@pytest.fixture
def put(tmp_path: Path, make_settings: Callable[..., Settings]) -> Callable[..., RunFolder]:
    """Makes the folder of a run in some state, as the training itself leaves it."""

    def made(state: State, seed: int = 0, *overrides: str) -> RunFolder:
        settings = replace(make_settings(*TINY, *overrides), seed=seed, runs=f"{tmp_path}/elsewhere")
        ids = ids_of(settings)
        folder = Store(tmp_path).run(ids.run_id)
        folder.path.mkdir()
        (folder.path / "config.yaml").write_text(config_yaml(settings))
        folder.write_status(status_of(settings, ids, state, RuntimeError("it went wrong")))
        for name in ("metrics.csv", "last.ckpt", "output.log"):
            (folder.path / name).write_text(f"{name} of before")
        return folder

    return made


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What a sweep would have been asked to train: id, folder of runs, and label of each run; all of them succeed."""
    asked: list[tuple[str, str, str]] = []

    def run_settings(settings: Sequence[Settings], labels: Sequence[str], **_: Any) -> dict[str, Outcome]:
        found = [(ids_of(one).run_id, one.runs, label) for one, label in zip(settings, labels, strict=True)]
        asked.extend(found)
        return {run_id: Outcome("done", "") for run_id, _, _ in found}

    monkeypatch.setattr("bnn_ablate.sweep.local.run_settings", run_settings)
    return asked


def test_failed_runs_are_trained_again_where_they_lie_and_no_others(
    tmp_path: Path, call: Call, put: Callable[..., RunFolder], trained: list[tuple[str, str, str]]
) -> None:
    failed = [put("failed", seed) for seed in (0, 1)]
    for state, seed in (("diverged", 2), ("stopped", 3), ("running", 4), ("trained", 5)):
        put(state, seed)
    assert call("retry")[0] == 0
    assert sorted(one[:2] for one in trained) == sorted((each.path.name, str(tmp_path)) for each in failed)
    assert (failed[0].path / "last.ckpt").read_text() == "last.ckpt of before"  # from which it goes on
    trained.clear()
    assert call("retry", "seed=1,2")[0] == 0
    assert [one[0] for one in trained] == [failed[1].path.name]


def test_a_run_is_called_as_in_its_study_or_by_its_usual_axes(
    tmp_path: Path, call: Call, put: Callable[..., RunFolder], trained: list[tuple[str, str, str]]
) -> None:
    planned, single = put("failed", 0, "grad=approxsign"), put("failed", 1)
    jobs = [
        Job(overrides=["seed=0", f"grad={name}"], run_id=run_id)
        for name, run_id in (("ste", None), ("approxsign", planned.path.name))
    ]
    plan_jobs(Store(tmp_path).studies, "s", jobs)
    call("retry")
    assert {one[0]: one[2] for one in trained} == {
        planned.path.name: "grad=approxsign",
        single.path.name: "model=resnet_e18 data=synthetic recipe=quick scaling=none grad=ste",
    }


def test_states_that_are_named_are_trained_again(
    call: Call, put: Callable[..., RunFolder], trained: list[tuple[str, str, str]]
) -> None:
    put("failed", 0)
    others = [put("stopped", 1), put("running", 2)]
    assert call("retry", "state=stopped,running")[0] == 0
    assert {one[0] for one in trained} == {each.path.name for each in others}


def test_a_diverged_run_starts_anew_with_what_it_left_put_aside(
    tmp_path: Path, call: Call, put: Callable[..., RunFolder], trained: list[tuple[str, str, str]]
) -> None:
    folder = put("diverged")
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    status, _, err = call("retry", "state=diverged")
    assert (status, trained) == (2, [])
    assert "train 1 diverged run again from the start, what they left put aside can only be asked" in err
    assert call("retry", folder.path.name, "--yes")[0] == 0
    assert [one[0] for one in trained] == [folder.path.name]
    (aside,) = folder.path.glob("diverged-*")
    moved = {path.name: path.read_bytes() for path in aside.iterdir()}
    config = before.pop("config.yaml")
    assert moved == before
    assert {path.name for path in folder.path.iterdir()} - {"lock"} == {"config.yaml", aside.name}
    assert (folder.path / "config.yaml").read_bytes() == config
    assert [run.path.name for run in Store(tmp_path).runs()] == []  # what lies aside is no run


def test_an_interrupted_move_leaves_the_run_diverged(
    put: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put("diverged")
    whole = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if path.name == "output.log":
            raise OSError(28, "No space left on device")
        return whole(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        with pytest.raises(OSError, match="No space"):
            again.put_aside(folder)
    status = folder.status()
    assert status is not None
    assert status.state == "diverged"
    again.put_aside(folder)
    assert folder.status() is None
    kept = sorted(path.name for path in folder.path.glob("diverged-*/*"))
    assert kept == ["last.ckpt", "metrics.csv", "output.log", "status.json"]


def test_a_run_whose_options_changed_since_is_another_run_now(
    call: Call, put: Callable[..., RunFolder], trained: list[tuple[str, str, str]]
) -> None:
    changed, same = put("failed", 0), put("failed", 1)
    config = changed.path / "config.yaml"
    config.write_text(config.read_text().replace("clip: 1.0", "clip: 1.5"))
    status, out, _ = call("retry")
    assert status == 1
    assert [one[0] for one in trained] == [same.path.name]
    assert f"left: run {changed.path.name} would be run " in out


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.unlink(), "config.yaml is missing or damaged"),
        (lambda path: path.write_text("a: [1"), "config.yaml is missing or damaged"),
        (lambda path: path.write_text(path.read_text() + "colour: red\n"), "colour is not a setting"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_told(
    spoil: Callable[[Path], Any], sentence: str, call: Call, put: Callable[..., RunFolder], trained: list[Any]
) -> None:
    folder = put("failed")
    spoil(folder.path / "config.yaml")
    status, out, _ = call("retry")
    assert (status, trained) == (1, [])
    assert f"left: run {folder.path.name} cannot be trained again: " in out
    assert sentence in out


def test_a_run_that_is_worked_on_is_left(call: Call, put: Callable[..., RunFolder], trained: list[Any]) -> None:
    folder = put("failed")
    with folder.lock():
        status, out, _ = call("retry")
    assert (status, trained) == (1, [])
    assert f"left: run {folder.path.name} is being worked on by process {os.getpid()}" in out


def test_done_and_broken_runs_are_not_trained_again(tmp_path: Path, call: Call, trained: list[Any]) -> None:
    ids = put_store(tmp_path)
    for words in ("state=done", "state=failed,broken", ids["done"], ids["broken"]):
        status, _, err = call("retry", words)
        assert (status, trained) == (2, [])
        assert "only failed, diverged, stopped, running, begun, trained" in err


def test_nothing_to_train_is_said(tmp_path: Path, call: Call, trained: list[Any]) -> None:
    put_done(tmp_path, make_record())
    assert call("retry")[:2] == (0, "nothing to train again\n")
