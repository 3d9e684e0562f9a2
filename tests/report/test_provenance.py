"""The page says by which code, where and from which images its numbers came, and which runs are in none of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from factories import make_record, put_done, put_status, put_study

from bnn_ablate.analysis import Declaration
from bnn_ablate.record import Record
from bnn_ablate.report.grid import Grid, Section
from bnn_ablate.report.pages import tables
from bnn_ablate.report.provenance import provenance_section
from bnn_ablate.report.runs import read_stores
from bnn_ablate.store import Store
from bnn_ablate.study import Job, plan_jobs


def section(root: Path) -> Section:
    contents = read_stores([root])
    return provenance_section(tables(contents), contents.studies)


def rows(found: Section, name: str) -> list[tuple[str, ...]]:
    """The rows of one of its tables; none where there is no such table."""
    grids = [part for part in found.parts if isinstance(part, Grid) and part.name == f"provenance.{name}"]
    return [tuple(entry.text for entry in row) for grid in grids for row in grid.rows]


def made(record: Record, **changes: Any) -> Record:
    return replace(record, provenance=replace(record.provenance, **changes))


def test_records_are_counted_by_commit_machine_version_and_images(tmp_path: Path) -> None:
    clean = {"commit": "a" * 40, "dirty": False}
    for seed in (0, 1):
        put_done(tmp_path, made(make_record(seed=seed), **clean))
    dirty = made(make_record(seed=2), commit="b" * 40, dirty=True, finished="2026-02-03T00:00:00+00:00", threads=2)
    put_done(tmp_path, replace(dirty, results_version=2))
    found = section(tmp_path)
    assert rows(found, "code") == [
        ("a" * 40, "no", "1", "2", "other-runs", "2026-01-01"),
        ("b" * 40, "yes", "2", "1", "other-runs", "2026-01-01 to 2026-02-03"),
    ]
    assert [row[:7] for row in rows(found, "machines")] == [
        ("bench", "some CPU", "none", "1", "1", "no", "2"),
        ("bench", "some CPU", "none", "1", "2", "no", "1"),
    ]
    assert [row[:2] for row in rows(found, "versions")] == [("torch 2.4", "3")]
    assert [row[:6] for row in rows(found, "images")] == [("digits", "c" * 64, "100", "0", "10", "3")]
    assert rows(found, "notes") == []


def test_runs_in_no_number_are_named_with_their_reasons(tmp_path: Path) -> None:
    done = put_done(tmp_path, make_record(seed=0))
    failed = put_status(tmp_path, make_record(seed=1), "failed", "OSError: no\nmore")
    diverged = put_status(tmp_path, make_record(seed=2), "diverged", "loss is nan")
    broken = put_done(tmp_path, make_record(seed=3))
    (tmp_path / broken.run_id / "record.json").write_text("{")
    runs = (done, failed, diverged, broken)
    put_study(tmp_path, "s", [(f"seed={seed}", run) for seed, run in enumerate(runs)] + [("seed=4", None)])
    found = section(tmp_path)
    excluded = rows(found, "excluded")
    assert [row[:4] for row in excluded] == [
        ("s", failed.run_id, "1", "failed"),
        ("s", diverged.run_id, "2", "diverged"),
        ("s", broken.run_id, "3", "broken"),
    ]
    assert [row[4] for row in excluded][:2] == ["OSError: no", "loss is nan"]
    assert excluded[2][4].startswith(f"{broken.run_id}/record.json: ")
    assert found.text[0] == "1 record of 5 runs: 1 broken, 1 diverged, 1 failed, 1 missing are in no number."
    assert [row[:5] for row in rows(found, "studies")] == [
        ("s", "1", "5", "1", "1 broken, 1 diverged, 1 failed, 1 missing")
    ]


def test_declarations_say_whether_they_came_before_results(tmp_path: Path) -> None:
    first = Declaration(margin=0.5, baseline={"grad": "ste"}, seeds=[0, 1], time="2026-01-01T00:00:00+00:00", done=0)
    later = replace(first, margin=2.0, baseline={}, done=3)
    for declared in (first, later):
        plan_jobs(Store(tmp_path).studies, "s", [Job(overrides=["seed=0"], run_id=None)], declared)
    assert rows(section(tmp_path), "declarations") == [
        ("s", first.digest, "before any result", first.time, "0.5", "grad=ste", "0, 1"),
        (
            *("s", later.digest, "after 3 results; the first declaration counts", later.time),
            *("2", "the first option of each axis", "0, 1"),
        ),
    ]


def test_what_changed_when_a_run_was_taken_up_again_is_told(tmp_path: Path) -> None:
    put_done(tmp_path, made(make_record(), notes=["resumed with other threads: 1, then 2"]))
    assert [row[:2] for row in rows(section(tmp_path), "notes")] == [("resumed with other threads: 1, then 2", "1")]


def test_without_records_every_number_is_a_published_one(tmp_path: Path) -> None:
    found = section(tmp_path)
    assert found.parts == ()
    assert found.text[0] == "There are no records: every number on this page is a published one."
