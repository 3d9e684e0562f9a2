"""Records are read as strictly as ever, in little memory, and every error names its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import make_record, put_done, put_study
from hypothesis import given
from hypothesis import strategies as st

from bnn_ablate.analysis import Declaration
from bnn_ablate.epochs import Curve, Epoch
from bnn_ablate.record import pack_bits, record_to_json
from bnn_ablate.report.runs import read_stores
from bnn_ablate.store import Store
from bnn_ablate.study import Job, plan_jobs

SHARES = st.none() | st.floats(0, 1)
EPOCHS = st.lists(
    st.builds(
        Epoch,
        epoch=st.integers(0, 10_000),
        lr=st.floats(0, 1),
        train_loss=st.floats(-10, 10),
        train_top1=st.floats(0, 1),
        test_loss=st.floats(-10, 10),
        test_top1=st.floats(0, 1),
        test_top5=st.floats(0, 1),
        holdout_top1=SHARES,
        frozen_weights=SHARES,
        seconds=st.floats(0, 100),
    ),
    max_size=5,
)


@given(EPOCHS)
def test_a_curve_gives_back_the_epochs_it_was_made_of(epochs: list[Epoch]) -> None:
    curve = Curve(epochs)
    assert list(curve) == epochs
    assert len(curve) == len(epochs)
    assert curve[1:] == epochs[1:]
    assert [type(row.epoch) for row in curve] == [int] * len(epochs)
    assert not epochs or curve[-1] == epochs[-1]


def test_a_record_changed_in_another_place_keeps_its_curve() -> None:
    record = make_record()
    assert replace(record, seed=5).curve == record.curve
    assert replace(record, curve=[]).curve == []


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "epoch with an unknown field": (lambda plain: plain["curve"][0].update(colour=1), "curve.0.colour"),
    "epoch without a field": (lambda plain: plain["curve"][0].pop("lr"), "curve.0.lr"),
    "share above 1": (lambda plain: plain["curve"][0].update(test_top1=1.5), "curve.0.test_top1"),
    "epoch that is no whole number": (lambda plain: plain["curve"][0].update(epoch=0.5), "curve.0.epoch"),
    "NaN in the curve": (lambda plain: plain["curve"][0].update(train_loss=float("nan")), "curve.0.train_loss"),
    "NaN deep in the configuration": (lambda plain: plain["config"].update(a=[{"b": float("nan")}]), "NaN"),
    "wrong share": (lambda plain: plain["accuracy"].update(top1=0.8), "accuracy"),
    "a bit behind the last image": (
        # ten images take two bytes: the sixteenth bit is none of theirs
        lambda plain: plain["accuracy"].update(correct_bits=pack_bits([True] * 9 + [False] * 6 + [True])),
        "accuracy",
    ),
    "too few bits": (lambda plain: plain["accuracy"].update(correct_bits=pack_bits([True] * 8)), "accuracy"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_file(case: str, tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record())
    change, where = WRONG[case]
    plain = json.loads(record_to_json(record))
    change(plain)
    (tmp_path / record.run_id / "record.json").write_text(json.dumps(plain))
    contents = read_stores([tmp_path])
    (problem,) = contents.problems
    assert problem.startswith(f"{record.run_id}/record.json: ")
    assert where in problem
    assert contents.runs[record.run_id].state == "broken"


def declaration(**changes: Any) -> Declaration:
    values = {"margin": 0.5, "baseline": {}, "seeds": [0, 1], "time": "2026-01-01T00:00:00+00:00", "done": 0}
    return Declaration(**{**values, **changes})


def test_of_one_study_in_two_stores_what_was_declared_first_counts(tmp_path: Path) -> None:
    first, second = make_record(seed=0), make_record(seed=1)
    for place, record, month in (("a", first, 2), ("b", second, 1)):
        put_done(tmp_path / place, record)
        jobs = [Job(overrides=[f"seed={record.seed}"], run_id=record.run_id)]
        declared = declaration(margin=float(month), time=f"2026-0{month}-01T00:00:00+00:00")
        plan_jobs(Store(tmp_path / place).studies, "s", jobs, declared)
    for order in ("ab", "ba"):
        study = read_stores([tmp_path / place for place in order]).studies["s"]
        assert [declared.margin for declared in study.declared] == [1.0, 2.0]
        assert {job.run_id for job in study.jobs} == {first.run_id, second.run_id}


def test_a_declaration_that_both_stores_have_stands_once(tmp_path: Path) -> None:
    for place in ("a", "b"):
        plan_jobs(Store(tmp_path / place).studies, "s", [Job(overrides=["seed=0"], run_id=None)], declaration())
    study = read_stores([tmp_path / "a", tmp_path / "b"]).studies["s"]
    assert study.declared == [declaration()]


def test_a_run_knows_its_folder_and_the_newest_one_of_wandb(tmp_path: Path) -> None:
    record, other = put_done(tmp_path, make_record()), put_done(tmp_path, make_record(seed=1))
    for name in ("run-20260101_000000", "offline-run-20260301_000000", "offline-run-20260201_000000"):
        (tmp_path / "wandb" / f"{name}-{record.run_id}").mkdir(parents=True)
    runs = read_stores([tmp_path]).runs
    assert runs[record.run_id].folder == tmp_path / record.run_id
    assert runs[record.run_id].wandb == tmp_path / "wandb" / f"offline-run-20260301_000000-{record.run_id}"
    assert runs[other.run_id].wandb is None


def test_a_file_in_the_place_of_the_studies_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("")
    assert read_stores([tmp_path]).problems == ("studies: it is a file where the studies' folder should be",)


def test_a_study_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    put_study(tmp_path, "s", [("seed=0", None)])
    (tmp_path / "studies" / "s.json").unlink()
    (tmp_path / "studies" / "s.json").mkdir()
    assert read_stores([tmp_path]).problems == ("studies/s.json: Is a directory",)
