"""Rows are told apart by what differs between their runs, and the notes say what the numbers cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import digest, make_record, make_report, put_done, put_study, rows_of, runs_table

from bnn_ablate.record import Record


def test_an_option_named_and_the_same_one_left_at_its_default_are_one_row(tmp_path: Path) -> None:
    records = [put_done(tmp_path, make_record(seed=seed)) for seed in (0, 1)]
    other = put_done(tmp_path, make_record(seed=0, grad={"clip": 1.3}))
    jobs = [("grad.clip=1.0 seed=0", records[0]), ("seed=0", records[0]), ("seed=1", records[1])]
    put_study(tmp_path, "s", [*jobs, ("grad.clip=1.3 seed=0", other), ("seed=2", None)])
    make_report(tmp_path, out=tmp_path / "out")
    rows = [(row["grad.clip"], row["n"], row["planned"]) for row in rows_of(tmp_path / "out" / "tables" / "s.csv")]
    assert rows == [("1.0", "2", "3"), ("1.3", "1", "1")]


def test_runs_that_differ_behind_equal_overrides_are_never_averaged(tmp_path: Path) -> None:
    old = make_record(seed=0, correct=5)
    new = replace(make_record(seed=1, correct=9), cell_id=digest("new"), results_version=2)
    put_study(
        tmp_path, "s", [("grad=ste seed=0", put_done(tmp_path, old)), ("grad=ste seed=1", put_done(tmp_path, new))]
    )
    make_report(tmp_path, out=tmp_path / "out")
    rows = [
        (row["results_version"], float(row["top1_percent"])) for row in rows_of(tmp_path / "out" / "tables" / "s.csv")
    ]
    assert rows == [("1", 50.0), ("2", 90.0)]
    assert "kept apart" in (tmp_path / "out" / "tables" / "s.md").read_text()


def other_runs(root: Path, *records: Record) -> list[dict[str, str]]:
    for record in records:
        put_done(root, record)
    make_report(root, out=root / "out")
    return rows_of(root / "out" / "tables" / "other-runs.csv")


def columns(rows: list[dict[str, str]]) -> list[str]:
    return list(rows[0])[: list(rows[0]).index("top1_percent")]


def test_runs_of_no_study_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    rows = other_runs(
        tmp_path, make_record(), make_record(scaling={"name": "xnor", "gradient": True}), make_record(grad="approxsign")
    )
    assert columns(rows) == ["scaling", "grad"]  # scaling.gradient follows scaling
    assert [(row["scaling"], row["grad"]) for row in rows] == [("none", "approxsign"), ("none", "ste"), ("xnor", "ste")]
    assert (
        "all runs: model=resnet_e18, model.width=0.25, data=digits"
        in (tmp_path / "out" / "tables" / "other-runs.md").read_text()
    )


def test_two_axes_that_change_together_are_both_shown(tmp_path: Path) -> None:
    assert columns(other_runs(tmp_path, make_record(), make_record(scaling="xnor", grad="approxsign"))) == [
        "scaling",
        "grad",
    ]


def test_a_setting_that_differs_within_one_option_is_shown(tmp_path: Path) -> None:
    rows = other_runs(tmp_path, *(make_record(grad={"clip": clip}) for clip in (1.0, 10.0, 2.0)))
    assert [row["grad.clip"] for row in rows] == ["1.0", "2.0", "10.0"]


def test_runs_on_other_images_are_told_apart_by_their_checksum(tmp_path: Path) -> None:
    record = make_record()
    other = replace(record, run_id=digest("a"), cell_id=digest("b"), data=replace(record.data, checksum="e" * 64))
    assert [row["data.checksum"] for row in other_runs(tmp_path, record, other)] == ["cccccccc", "eeeeeeee"]


@pytest.mark.parametrize(
    ("changes", "noted"),
    [
        ({"scaling": "channel"}, True),
        ({"scaling": "channel", "order": "pre"}, False),
        ({"scaling": "channel", "order": "pre", "model": {"family": "binary_densenet"}}, True),
        ({"scaling": "xnor"}, False),
        ({}, False),
    ],
)
def test_scaling_that_batchnorm_cancels_is_called_an_identity_check(
    changes: dict[str, Any], noted: bool, tmp_path: Path
) -> None:
    record = put_done(tmp_path, make_record(**changes))
    assert ("identity check" in runs_table(tmp_path, [record.run_id])) == noted


@pytest.mark.parametrize(
    ("changes", "noted"),
    [({}, True), ({"data": "cifar10"}, False), ({"data": {"name": "cifar10", "limit_test": 10}}, True)],
)
def test_a_smoke_test_is_called_one(changes: dict[str, Any], noted: bool, tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record(**changes))
    assert ("not evidence: one image is 10.00 points" in runs_table(tmp_path, [record.run_id])) == noted


def test_seeds_that_agree_are_no_proof_of_no_spread(tmp_path: Path) -> None:
    ids = [put_done(tmp_path, make_record(seed=seed, correct=8)).run_id for seed in (0, 1)]
    text = runs_table(tmp_path, ids)
    assert "80.00    0.00  2 of 2" in text
    assert "which does not show that there is no spread" in text


@pytest.mark.parametrize(
    ("option", "noted"), [("none", False), ("classic", True), ("classic_size", False), ("classic_macs", False)]
)
def test_a_bottleneck_that_is_not_matched_is_called_so(option: str, noted: bool, tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record(bottleneck=option))
    assert ("bottleneck=classic has another size" in runs_table(tmp_path, [record.run_id])) == noted


def test_training_that_came_before_a_fine_tuned_network_is_said_to_be_left_out(tmp_path: Path) -> None:
    scratch = put_done(tmp_path, make_record())
    assert "Times leave out" not in runs_table(tmp_path, [scratch.run_id])
    tuned = put_done(tmp_path, replace(make_record(pretrain="relu"), pretrained_by=scratch.run_id))
    assert "Times leave out the float networks" in runs_table(tmp_path, [tuned.run_id])


def test_records_of_before_an_axis_stand_beside_newer_ones_with_the_value_that_they_had(tmp_path: Path) -> None:
    older = make_record(padding="minus_one")
    pretrain = {"name": "relu", "from": None, "recipe": None}
    newer = make_record(padding={"name": "minus_one", "side": "same"}, pretrain=pretrain)
    assert "pretrain" not in older.config
    assert "side" not in older.config["padding"]
    rows = other_runs(tmp_path, older, newer)
    assert {(row["pretrain"], row["padding.side"]) for row in rows} == {("none", "symmetric"), ("relu", "same")}
