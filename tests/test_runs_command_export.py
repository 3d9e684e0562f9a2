"""The command that writes runs as a table for other programs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest
from factories import make_record, packed, put_done, put_status, rows_of
from run_folders import Call, caller, epochs, put_store


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(tmp_path / "runs", capsys)


def test_a_row_a_run_holds_what_the_record_holds_unrounded(tmp_path: Path, call: Call) -> None:
    ids = put_store(tmp_path / "runs")
    status, out, _ = call("export", f"{tmp_path}/runs.csv")
    assert status == 1  # one run cannot be read, and has its row all the same
    assert out.startswith(f"{tmp_path}/runs.csv: 6 rows of ")
    rows = {row["run_id"]: row for row in rows_of(tmp_path / "runs.csv")}
    assert set(rows) == set(ids.values())
    done = rows[ids["done"]]
    expected = {
        "seed": "0",
        "state": "done",
        "studies": "pair",
        "scaling": "none",
        "grad": "ste",
        "grad.clip": "1.0",
        "recipe.epochs": "10",
        "top1": "0.9",
        "packed_top1": "0.8",
        "packed_median_latency_ms": "2.0",
        "packed_cpu": "some CPU",
        "size_bits": "4194304",
        "macs_binary": "32000000",
        "epochs_done": "1",
        "train_seconds": "60.0",
        "compiled": "false",
        "commit": "",
        "version.torch": "2.4",
        "error": "",
    }
    assert {name: done[name] for name in expected} == expected
    failed = rows[ids["failed"]]
    assert (failed["state"], failed["top1"], failed["scaling"], failed["error"]) == (
        "failed",
        "",
        "channel",
        "OSError: no",
    )
    assert rows[ids["stopped"]]["epochs_done"] == "2"


def test_thirds_and_times_keep_all_their_digits(tmp_path: Path, call: Call) -> None:
    record = make_record(seconds=0.1 + 0.2, top5=1 / 3)
    put_done(tmp_path / "runs", record)
    assert call("export", f"{tmp_path}/t.csv")[0] == 0
    row = rows_of(tmp_path / "t.csv")[0]
    assert (float(row["top5"]), float(row["train_seconds"])) == (1 / 3, 0.1 + 0.2)
    assert row["grad"] == "ste"
    assert "grad.clip" not in row  # the same in all runs


def test_busy_latencies_are_no_results(tmp_path: Path, call: Call) -> None:
    put_done(tmp_path / "runs", packed(make_record(), 0.9, busy=True))
    call("export", f"{tmp_path}/t.csv")
    row = rows_of(tmp_path / "t.csv")[0]
    assert (row["packed_top1"], row["packed_median_latency_ms"], row["packed_images_per_second"]) == ("0.9", "", "")


def test_a_row_an_epoch_holds_curves_of_finished_and_unfinished_runs(tmp_path: Path, call: Call) -> None:
    put_store(tmp_path / "runs")
    put_done(tmp_path / "runs", replace(make_record(seed=11), curve=epochs(3)))
    call("export", f"{tmp_path}/c.csv", "seed=2,11", "--curve")
    rows = rows_of(tmp_path / "c.csv")
    assert [(row["seed"], row["epoch"], float(row["test_top1"])) for row in rows] == [
        *(("2", "0", 0.1), ("2", "1", 0.2)),
        *(("11", "0", 0.1), ("11", "1", 0.2), ("11", "2", 0.3)),
    ]
    assert {row["holdout_top1"] for row in rows} == {""}
    assert {row["state"] for row in rows} == {"done", "stopped"}


def test_parquet_has_the_same_values_with_types(tmp_path: Path, call: Call) -> None:
    put_store(tmp_path / "runs")
    for ending in ("csv", "parquet"):
        call("export", f"{tmp_path}/t.{ending}")
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    texts = rows_of(tmp_path / "t.csv")
    assert table.column_names == list(texts[0])
    for row, text in zip(table.to_pylist(), texts, strict=True):
        shown = {k: "" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for k, v in row.items()}
        assert shown == text
    types = {name: str(table.schema.field(name).type) for name in ("seed", "top1", "grad.clip", "compiled", "gpu")}
    # no run has a GPU: the column keeps its type
    assert types == {"seed": "int64", "top1": "double", "grad.clip": "double", "compiled": "bool", "gpu": "string"}


def test_an_empty_choice_is_a_table_without_rows(tmp_path: Path, call: Call) -> None:
    put_status(tmp_path / "runs", make_record(), "stopped")
    assert call("export", f"{tmp_path}/t.csv", "state=done")[0] == 0
    assert (tmp_path / "t.csv").read_text().startswith("run_id,cell_id,seed,state,studies,")
    assert rows_of(tmp_path / "t.csv") == []
    assert call("export", f"{tmp_path}/t.parquet", "state=done", "--curve")[0] == 0
    assert pyarrow.parquet.read_table(tmp_path / "t.parquet").num_rows == 0


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_only_an_earlier_export_is_replaced(name: str, tmp_path: Path, call: Call) -> None:
    put_done(tmp_path / "runs", make_record())
    path = tmp_path / name
    path.write_text("mine,and,nobody\nelses\n")
    status, _, err = call("export", str(path))
    assert status == 2
    assert "is there and is no table of this command" in err
    assert path.read_text() == "mine,and,nobody\nelses\n"
    path.unlink()
    assert call("export", str(path))[0] == 0
    first = path.read_bytes()
    put_done(tmp_path / "runs", make_record(seed=1))
    assert call("export", str(path))[0] == 0
    assert path.read_bytes() != first
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("file", "sentence"),
    [("t.xlsx", "give a name with .csv or .parquet"), ("t", "give a name"), ("no/t.csv", "there is no folder")],
)
def test_a_file_that_cannot_be_written_is_refused(file: str, sentence: str, tmp_path: Path, call: Call) -> None:
    put_done(tmp_path / "runs", make_record())
    status, out, err = call("export", f"{tmp_path}/{file}")
    assert (status, out) == (2, "")
    assert sentence in err


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    put_done(tmp_path / "runs", make_record())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    status, _, err = call("export", f"{tmp_path}/t.parquet")
    assert status == 2
    assert "pip install 'bnn_ablate[parquet]'" in err
    assert call("export", f"{tmp_path}/t.csv")[0] == 0
