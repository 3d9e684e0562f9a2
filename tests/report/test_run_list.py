"""Every run has one row, whatever became of it, and a way to its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from factories import digest, make_record, packed, put_done, put_status, put_study

from bnn_ablate.report.grid import Entry, Grid
from bnn_ablate.report.pages import tables
from bnn_ablate.report.run_list import runs_grid
from bnn_ablate.report.runs import read_stores
from bnn_ablate.store import Store
from bnn_ablate.study import Job, plan_jobs
from bnn_ablate.wandb_address import write_address


def listed(*roots: Path, out: Path) -> Grid:
    return runs_grid(tables(read_stores(roots)), out)


def texts(grid: Grid) -> list[dict[str, str]]:
    return [{c.key: entry.text for c, entry in zip(grid.columns, row, strict=True)} for row in grid.rows]


def test_every_planned_and_every_other_run_has_a_row(tmp_path: Path) -> None:
    done = put_done(tmp_path, packed(make_record(seed=0, correct=7, seconds=90.0), top1=0.6))
    failed = put_status(tmp_path, make_record(seed=1, scaling="xnor"), "failed", "OSError: no\nmore lines")
    alone = put_done(tmp_path, make_record(seed=5, grad="approxsign"))
    put_study(tmp_path, "s", [("seed=0", done), ("scaling=xnor seed=1", failed), ("scaling=xnor seed=2", None)])
    plan_jobs(Store(tmp_path).studies, "s", [Job(overrides=["grad=ede"], run_id=None, refused="grad=ede does not")])
    grid = listed(tmp_path, out=tmp_path / "reports")
    assert [column.key for column in grid.columns if column.filtered] == ["study", "seed", "state", "scaling", "grad"]
    rows = texts(grid)
    # study, seed, state, top-1, packed, time, run, scaling, grad
    assert [tuple(row.values()) for row in rows] == [
        ("s", "0", "done", "70.00", "60.00", "90 s", done.run_id, "none", "ste"),
        ("s", "1", "failed", "—", "—", "—", failed.run_id, "xnor", "ste"),
        ("s", "2", "missing", "—", "—", "—", "—", "xnor", "unknown"),
        ("s", "unknown", "refused", "—", "—", "—", "—", "unknown", "ede"),
        ("other-runs", "5", "done", "90.00", "—", "60 s", alone.run_id, "none", "approxsign"),
    ]
    assert [row[2].tone for row in grid.rows] == ["", "problem", "", "problem", ""]
    assert grid.details[1]["error"] == "OSError: no\nmore lines"
    assert grid.details[3]["error"] == "grad=ede does not"
    assert "A run without a link" in " ".join(grid.notes)


def test_a_run_of_two_studies_is_one_row(tmp_path: Path) -> None:
    done = put_done(tmp_path, make_record())
    for name in ("b", "a"):
        put_study(tmp_path, name, [("seed=0", done)])
    assert [row["study"] for row in texts(listed(tmp_path, out=tmp_path))] == ["a, b"]


def test_links_go_from_the_report_to_the_folder_wherever_it_is_written(tmp_path: Path) -> None:
    store = tmp_path / "my runs"
    done = put_done(store, make_record())
    (store / "wandb" / f"offline-run-1-{done.run_id}").mkdir(parents=True)
    for out, way in (("reports", "../my%20runs"), ("far/away", "../../my%20runs"), ("my runs/report", "..")):
        grid = listed(store, out=tmp_path / out)
        row = {column.key: entry for column, entry in zip(grid.columns, grid.rows[0], strict=True)}
        assert row["run_id"].link == f"{way}/{done.run_id}/"
        assert row["wandb"].link == f"{way}/wandb/offline-run-1-{done.run_id}/"
        assert row["wandb"].text == "offline"


@pytest.mark.parametrize("address", ["https://wandb.ai/someone/bits/runs/r1", "http://here:8080/a/b/runs/r1"])
def test_a_run_with_an_address_leads_there_and_not_to_its_folder(tmp_path: Path, address: str) -> None:
    done = put_done(tmp_path, make_record())
    (tmp_path / "wandb" / f"run-1-{done.run_id}").mkdir(parents=True)
    before = listed(tmp_path, out=tmp_path)
    assert (before.columns[-1].key, before.rows[0][-1].text) == ("wandb", "folder")
    write_address(tmp_path / done.run_id, address)
    online = Entry(text="online", value=address, link=address)
    assert listed(tmp_path, out=tmp_path).rows[0][-1] == online
    (tmp_path / "wandb" / f"run-1-{done.run_id}").rmdir()
    grid = listed(tmp_path, out=tmp_path)
    assert (grid.columns[-1].key, grid.rows[0][-1]) == ("wandb", online)


def test_a_row_opens_to_the_whole_configuration_and_how_it_was_made(tmp_path: Path) -> None:
    record = make_record(seed=3)
    notes = ["resumed with other threads: 1, then 2"]
    made = replace(record.provenance, commit="a" * 40, dirty=True, notes=notes, resumes=1)
    put_done(tmp_path, replace(record, provenance=made, pretrained_by=digest("float")))
    (details,) = listed(tmp_path, out=tmp_path).details
    assert details["recipe.optimizer.lr"] == "0.01"
    assert details["model.blocks_per_stage"] == "[2, 2, 2, 2]"
    assert details["commit"] == "aaaaaaaaaaaa with uncommitted changes"
    assert details["notes"] == notes[0]
    assert details["weights from"] == f"run {digest('float')}"
    assert details["versions"] == "torch 2.4"


def test_no_run_is_no_row(tmp_path: Path) -> None:
    grid = listed(tmp_path, out=tmp_path)
    assert (grid.rows, grid.details) == ((), ())
