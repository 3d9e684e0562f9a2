"""Records are read back as they were written, and nothing that is not a record passes for one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import make_record, packed
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bnn_ablate.record import Packed, RecordError, pack_bits, read_record, record_to_json, same_result, unpack_bits

HAND_TABLE = [
    # one bit an image, most significant first: 0b10000000 = 0x80, base64 "gA=="
    ([], ""),
    ([True], "gA=="),
    ([False] * 7 + [True], "AQ=="),
    ([True] * 8, "/w=="),
    ([True] * 8 + [True], "/4A="),
    ([True, False, True, False, False, True, False, True], "pQ=="),
]


@pytest.mark.parametrize(("correct", "text"), HAND_TABLE)
def test_bits_are_packed_most_significant_first(correct: list[bool], text: str) -> None:
    assert pack_bits(correct) == text


@given(st.lists(st.booleans(), max_size=200))
def test_unpacked_bits_are_the_packed_ones(correct: list[bool]) -> None:
    assert unpack_bits(pack_bits(correct), len(correct)) == correct


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    for record in (make_record(), packed(make_record(seed=1), top1=0.8)):
        path = tmp_path / "record.json"
        path.write_text(record_to_json(record))
        assert read_record(path) == record


def test_a_record_has_one_text() -> None:
    assert record_to_json(make_record()) == record_to_json(make_record())


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    """The text of a record after ``change`` of its plain values."""
    plain = json.loads(record_to_json(make_record()))
    change(plain)
    return json.dumps(plain)


WRONG = {
    "unknown field": (lambda plain: plain.update(colour="red"), "colour"),
    "unknown field inside": (lambda plain: plain["cost"].update(flops=1), "cost.flops"),
    "missing field": (lambda plain: plain.pop("steps"), "steps"),
    "missing field inside": (lambda plain: plain["accuracy"].pop("top1"), "accuracy.top1"),
    "missing field of a row": (lambda plain: plain["curve"][0].pop("lr"), "curve.0.lr"),
    "text for a number": (lambda plain: plain.update(seed="0"), "seed"),
    "percent for a fraction": (lambda plain: plain["accuracy"].update(top1=90.0), "accuracy.top1"),
    "null for a number": (lambda plain: plain["accuracy"].update(top1=None), "accuracy.top1"),
    "not a number": (lambda plain: plain["curve"][0].update(test_loss=float("nan")), "curve.0.test_loss"),
    "not a number in the settings": (lambda plain: plain["config"].update(lr=float("nan")), "config holds NaN"),
    "infinite loss": (lambda plain: plain["curve"][0].update(test_loss=float("inf")), "curve.0.test_loss"),
    "another schema": (lambda plain: plain.update(schema=2), "schema"),
    "no run id": (lambda plain: plain.update(run_id="../../etc"), "run_id"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_record_is_an_error_that_names_file_and_field(what: str, tmp_path: Path) -> None:
    change, field = WRONG[what]
    path = tmp_path / "record.json"
    path.write_text(changed(change))
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert field in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "not json", '{"schema": 1'])
def test_what_is_no_json_object_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"record\.json: [^:]"):
        read_record(path)


def test_a_record_of_nan_is_never_made() -> None:
    with pytest.raises(ValidationError):
        make_record(seconds=float("nan"))
    with pytest.raises(ValueError, match="config holds NaN"):
        replace(make_record(), config={"lr": float("nan")})


def test_packed_values_are_all_there_or_none_is() -> None:
    whole = packed(make_record(), top1=0.8).packed
    with pytest.raises(ValidationError, match="values are missing"):
        replace(whole, top1=None)
    with pytest.raises(ValidationError, match="yet it holds values"):
        replace(whole, status="not evaluated")
    with pytest.raises(ValidationError, match="values are missing: busy"):
        replace(whole, busy=None)
    with pytest.raises(ValidationError, match="holds no sample"):
        replace(whole, latency_ms=[])
    assert isinstance(whole, Packed)


def test_a_record_of_before_there_was_an_engine_is_read(tmp_path: Path) -> None:
    path = tmp_path / "record.json"

    def older(plain: dict[str, Any]) -> None:
        names = ("status", "top1", "top5", "disagreeing_predictions", "flipped_sign_bits", "file_bytes", "latency_ms")
        plain["packed"] = {name: plain["packed"][name] for name in names}

    path.write_text(changed(older))
    assert read_record(path) == make_record()


def test_a_latency_that_was_measured_while_other_work_ran_has_no_median() -> None:
    quiet = packed(make_record(), top1=0.8).packed
    assert quiet.median_latency_ms == 2.0  # of 9, 2 and 1
    assert replace(quiet, busy=True).median_latency_ms is None
    assert make_record().packed.median_latency_ms is None


def test_time_and_place_do_not_make_results_differ() -> None:
    record = make_record()
    elsewhere = replace(
        record,
        provenance=replace(record.provenance, host="other", train_seconds=1.0),
        curve=[replace(row, seconds=1.0) for row in record.curve],
    )
    assert same_result(record, elsewhere)
    assert not same_result(record, replace(record, weight_digest="e" * 64))
    assert not same_result(record, make_record(correct=8))


def test_the_machine_of_the_packed_network_does_not_make_results_differ_and_its_answers_do() -> None:
    record = packed(make_record(), top1=0.8)
    elsewhere = {"kernel": "avx2", "threads": 2, "cpu": "other", "latency_ms": [5.0], "busy": True, "work_bytes": 9}
    assert same_result(record, packed(make_record(), top1=0.8, images_per_second=1.0, **elsewhere))
    assert same_result(record, make_record())  # which was not evaluated
    assert not same_result(record, packed(make_record(), top1=0.7))
    assert not same_result(record, packed(make_record(), top1=0.8, disagreeing_predictions=1))
    assert not same_result(record, packed(make_record(), top1=0.8, flipped_sign_bits=1))
