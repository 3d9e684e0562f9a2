"""A table shows every planned run for what it is, with numbers that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from factories import (
    digest,
    make_record,
    make_report,
    packed,
    put_done,
    put_evaluation,
    put_grid,
    put_status,
    put_study,
    rows_of,
    runs_table,
)
from hypothesis import given
from hypothesis import strategies as st

from bnn_ablate.report.cells import study_cells
from bnn_ablate.report.rows import measure, shown
from bnn_ablate.report.runs import Run, RunState
from bnn_ablate.report.tables import ReportError, study_table
from bnn_ablate.store import State, Store
from bnn_ablate.study import Job, Study, plan_jobs

#: What a terminal shows for the grid below, by hand. 7, 8 and 9 of 10 images: mean 80, s = 10, half-width
#: 4.3027 * 10 / sqrt(3) = 24.84. 4 Mi bits are 0.5 MiB. 1 M float and 32 M binary MACs are 1 M + 32 M / 64 = 1.5 M.
#: The single run lacks two seeds of 90 s: 3 minutes.
SHOWN = """\
grid
all runs: model=resnet_e18, model.width=0.25, data=digits, data.image_size=16, recipe=quick, recipe.epochs=10,
  recipe.batch_size=64, recipe.optimizer=adam, recipe.optimizer.lr=0.01, grad.clip=1.0, order=post

scaling  grad        top-1 %  ± 95 %       n  top-5 %  packed %  packed ms    MiB  MACs (M)  time  state
-------  ----------  -------  ------  ------  -------  --------  ---------  -----  --------  ----  -------------------
none     ste           80.00   24.84  3 of 3   100.00         —          —  0.500      1.50  90 s  done
none     approxsign    90.00       —  1 of 3   100.00         —          —  0.500      1.50  90 s  1 done, 2 missing
channel  ste         missing       —  0 of 3        —         —          —      —         —     —  3 missing
channel  approxsign   failed       —  0 of 1        —         —          —      —         —     —  failed: OSError: no

± is a 95 % Student-t interval over seeds only: the sampling of the test images is not in it.
One run has no interval; seed=0,1,2 costs about 3.0 min more.
1 run failed: shown and counted, in no mean.
failed: OSError: no (run RUN)
data=digits with 10 test images is a smoke test, not evidence: one image is 10.00 points.
scaling=channel in order=post is an identity check, not a treatment: the BatchNorm that follows cancels alpha, forward
  and in the gradient of the weights, up to eps and rounding. A difference is chance.
4 runs without a packed evaluation: python -m bnn_ablate.evaluate run=all makes one.
"""


def test_a_combination_that_makes_no_sense_is_refused_and_not_missing(tmp_path: Path) -> None:
    done = put_done(tmp_path, make_record())
    jobs = [
        Job(overrides=["grad=ste"], run_id=done.run_id),
        Job(overrides=["grad=ede"], run_id=None, refused="grad=ede does not go with that"),
    ]
    plan_jobs(Store(tmp_path).studies, "s", jobs)
    text = study_table(tmp_path, "s")
    (row,) = [line for line in text.splitlines() if line.startswith("ede")]
    assert row.split()[:2] == ["ede", "refused"]
    assert "1 run refused: shown and counted, in no mean." in text
    assert "\nrefused: grad=ede does not go with that\n" in text
    assert "missing" not in text


def test_the_text_of_a_study_is_the_one_made_by_hand(tmp_path: Path) -> None:
    failed = put_grid(tmp_path)
    text = study_table(tmp_path, "grid")
    assert text == SHOWN.replace("RUN", failed)
    assert max(map(len, text.splitlines())) < 120


def test_files_hold_the_same_rows_in_full_precision(tmp_path: Path) -> None:
    put_grid(tmp_path)
    assert make_report(tmp_path, out=tmp_path / "out") == 0
    first, second, third, fourth = rows_of(tmp_path / "out" / "tables" / "grid.csv")
    assert float(first["top1_percent"]) == pytest.approx(80)
    assert float(first["top1_half_width_95"]) == pytest.approx(24.841377, abs=1e-6)
    assert (first["n"], first["planned"], first["size_mib"], first["macs_combined"]) == ("3", "3", "0.5", "1500000.0")
    assert (second["n"], second["top1_half_width_95"], second["train_seconds"]) == ("1", "NA", "90.0")
    assert (third["top1_percent"], third["state"]) == ("NA", "3 missing")
    assert (fourth["top1_percent"], fourth["state"]) == ("NA", "failed: OSError: no")
    runs = rows_of(tmp_path / "out" / "tables" / "grid.runs.csv")
    assert [run["state"] for run in runs] == ["done"] * 3 + ["missing", "done", "missing"] + ["missing"] * 3 + [
        "failed"
    ]
    assert [run["seed"] for run in runs] == ["0", "1", "2"] * 3 + ["0"]
    assert [float(run["top1_percent"]) for run in runs[:3]] == pytest.approx([70, 80, 90])
    assert all(value != "" for row in runs for value in row.values())
    index = (tmp_path / "out" / "index.md").read_text()
    assert "| [grid](tables/grid.md) |     4 |           10 |    4 |      1 |        0 |     5 |" in index


def test_the_same_records_give_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    outs = []
    for place in ("here", "there/far/away"):
        root = tmp_path / place
        records = [make_record(seed=seed, correct=7, grad=grad) for seed in (0, 1) for grad in ("ste", "approxsign")]
        for record in records if place == "here" else reversed(records):
            put_done(root, record)
        put_grid(root / "b")
        (root / records[0].run_id / "record.json").write_text("{")
        out = root / "out"
        assert make_report(root, root / "b", out=out) == 1
        outs.append({str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert outs[0] == outs[1]
    assert {"index.html", "index.md", "tables/grid.csv", "tables/grid.md", "tables/grid.runs.csv"} <= set(outs[0])


@pytest.mark.parametrize(
    ("state", "error", "shown"),
    [
        ("failed", "RuntimeError: out of memory\n  line 2", "failed: RuntimeError: out of memory"),
        ("failed", None, "failed: no message was written"),
        ("diverged", "loss is nan", "diverged"),
        ("running", None, "running"),
        ("stopped", None, "stopped"),
        ("trained", None, "trained"),
    ],
)
def test_a_run_without_a_record_is_shown_with_its_state(
    state: State, error: str | None, shown: str, tmp_path: Path
) -> None:
    alone = put_status(tmp_path, make_record(scaling="xnor"), state, error)
    beside = put_status(tmp_path, make_record(seed=1), state, error)
    done = put_done(tmp_path, make_record(seed=0, correct=6))
    jobs = [("scaling=xnor seed=0", alone), ("scaling=none seed=0", done), ("scaling=none seed=1", beside)]
    put_study(tmp_path, "s", jobs)
    assert make_report(tmp_path, out=tmp_path / "out") == 0
    first, second = rows_of(tmp_path / "out" / "tables" / "s.csv")
    assert (first["top1_percent"], first["n"], first["state"]) == ("NA", "0", shown)
    assert (float(second["top1_percent"]), second["n"], second["planned"]) == (60.0, "1", "2")
    assert second["state"] == f"1 done, 1 {shown}"
    lost = f"2 runs {state}: shown and counted, in no mean." in (tmp_path / "out" / "tables" / "s.md").read_text()
    assert lost == (state in ("failed", "diverged"))


@pytest.mark.parametrize("broken", ["{", '{"schema": 1}', "null"])
def test_a_broken_record_is_named_and_counted_and_the_rest_goes_on(
    broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, lost = put_done(tmp_path, make_record(seed=0, correct=6)), put_done(tmp_path, make_record(seed=1))
    put_study(tmp_path, "s", [("seed=0", done), ("seed=1", lost)])
    (tmp_path / lost.run_id / "record.json").write_text(broken)
    assert make_report(tmp_path, out=tmp_path / "out") == 1
    (row,) = rows_of(tmp_path / "out" / "tables" / "s.csv")
    assert (float(row["top1_percent"]), row["n"], row["planned"]) == (60.0, "1", "2")
    assert row["state"].startswith(f"1 done, 1 broken: {lost.run_id}/record.json: ")
    assert "1 run cannot be read" in (tmp_path / "out" / "tables" / "s.md").read_text()
    assert "1 problem:" in (tmp_path / "out" / "index.md").read_text()
    assert capsys.readouterr().err.startswith(f"{lost.run_id}/record.json: ")


def test_a_run_of_which_nothing_can_be_read_is_a_row_of_its_own(tmp_path: Path) -> None:
    put_done(tmp_path, make_record(seed=0))
    lost = put_done(tmp_path, make_record(seed=1, scaling="xnor"))
    for name in ("record.json", "status.json"):
        (tmp_path / lost.run_id / name).write_text("{")
    assert make_report(tmp_path, out=tmp_path / "out") == 1
    assert [row["n"] for row in rows_of(tmp_path / "out" / "tables" / "other-runs.csv")] == ["1", "0"]


@pytest.mark.parametrize("problem", ["record of another run", "done without a record"])
def test_a_folder_that_contradicts_itself_is_broken(problem: str, tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record())
    folder = tmp_path / record.run_id
    if problem == "record of another run":
        folder.rename(tmp_path / digest("elsewhere"))
    else:
        (folder / "record.json").unlink()
    assert make_report(tmp_path, out=tmp_path / "out") == 1
    (row,) = rows_of(tmp_path / "out" / "tables" / "other-runs.csv")
    assert (row["n"], row["planned"]) == ("0", "1")
    assert row["state"].startswith("broken")


@pytest.mark.parametrize(
    ("name", "content"), [("s", "{"), ("index", None), ("other-runs", None), ("a.runs", None), ("s", "renamed")]
)
def test_a_study_that_cannot_be_shown_is_a_problem(name: str, content: str | None, tmp_path: Path) -> None:
    studies = Store(tmp_path).studies
    plan_jobs(studies, name, [Job(overrides=["seed=0"], run_id=None)])
    path = studies / f"{name}.json"
    if content == "renamed":
        path.rename(studies / "t.json")
    elif content is not None:
        path.write_text(content)
    assert make_report(tmp_path, out=tmp_path / "out") == 1
    assert "studies/" in (tmp_path / "out" / "index.md").read_text()


def test_packed_accuracy_is_shown_once_it_was_evaluated(tmp_path: Path) -> None:
    first = put_done(tmp_path, packed(make_record(seed=0), top1=0.7))
    second = put_done(tmp_path, make_record(seed=1))
    assert "70.00 (1 of 2 runs)" in runs_table(tmp_path, [first.run_id, second.run_id])
    assert "1 run without a packed evaluation" in runs_table(tmp_path, [second.run_id])
    assert "without a packed evaluation" not in runs_table(tmp_path, [first.run_id])


def test_packed_predictions_that_differ_are_flagged_and_told_run_by_run(tmp_path: Path) -> None:
    apart = put_done(tmp_path, packed(make_record(seed=0), top1=0.7, disagreeing_predictions=2))
    equal = put_done(tmp_path, packed(make_record(seed=1), top1=0.9))
    text = runs_table(tmp_path, [apart.run_id, equal.run_id])
    assert "80.00 (2 differ)" in text
    assert f"predict two classes: run {apart.run_id}: 2." in text
    assert "rounding explains" not in text
    assert "though all signs are equal" not in text


def test_more_than_rounding_explains_is_told(tmp_path: Path) -> None:
    # 100 of 1,000,000 signs are the share of 1e-4 that is allowed
    allowed = put_done(tmp_path, packed(make_record(seed=0), top1=0.7, flipped_sign_bits=100))
    assert "rounding explains" not in runs_table(tmp_path, [allowed.run_id])
    wrong = {"disagreeing_predictions": 2, "disagreeing_with_equal_signs": 1, "flipped_sign_bits": 101}
    beyond = put_done(tmp_path, packed(make_record(seed=1), top1=0.7, **wrong))
    text = runs_table(tmp_path, [beyond.run_id])
    assert f"run {beyond.run_id}: 101 of 1000000 signs differ in the packed network" in text
    assert f"run {beyond.run_id}: 1 of them though all signs are equal" in text


def test_latency_is_the_mean_of_medians_and_a_busy_one_is_never_shown(tmp_path: Path) -> None:
    quiet = [
        put_done(tmp_path, packed(make_record(seed=0), top1=0.7)),  # 2 ms
        put_done(tmp_path, packed(make_record(seed=1), top1=0.7, latency_ms=[7.0, 5.0, 4.0])),
    ]
    busy = put_done(tmp_path, packed(make_record(seed=2), top1=0.7, latency_ms=[123.0], busy=True))
    text = runs_table(tmp_path, [run.run_id for run in (*quiet, busy)])
    row = next(line for line in text.splitlines() if "3 of 3" in line)
    assert row.split()[6:8] == ["70.00", "3.50"], row
    assert "packed ms: kernel avx512, 1 thread, some CPU." in text
    assert "packed ms of 1 run not shown, because other work ran on the machine" in text
    assert make_report(tmp_path, out=tmp_path / "out") == 0
    tables = (tmp_path / "out" / "tables").glob("other-runs.*")
    assert not any("123" in path.read_text() for path in tables)
    runs = rows_of(tmp_path / "out" / "tables" / "other-runs.runs.csv")
    assert [run["packed_latency_ms"] for run in runs] == ["2.0", "5.0", "NA"]
    assert [run["packed_images_per_second"] for run in runs] == ["500.0", "500.0", "NA"]


def test_latencies_of_two_machines_are_not_averaged(tmp_path: Path) -> None:
    first = put_done(tmp_path, packed(make_record(seed=0), top1=0.7))
    second = put_done(tmp_path, packed(make_record(seed=1), top1=0.7, cpu="another CPU", latency_ms=[5.0]))
    text = runs_table(tmp_path, [first.run_id, second.run_id])
    assert "5.00 / 2.00" in text
    assert "packed ms: kernel avx512, 1 thread, another CPU / kernel avx512, 1 thread, some CPU." in text


def test_an_evaluation_on_a_quiet_machine_takes_the_place_of_busy_times(tmp_path: Path) -> None:
    busy = put_done(tmp_path, packed(make_record(seed=0), top1=0.7, latency_ms=[123.0], busy=True))
    folder = Store(tmp_path).run(busy.run_id)
    for changes in ({"latency_ms": [4.0]}, {"threads": 2}, {"kernel": "avx2"}, {"busy": True}):
        put_evaluation(folder, busy, top1=0.7, **changes)
    text = runs_table(tmp_path, [busy.run_id])
    assert "70.00       4.00" in text
    assert "not shown" not in text


def test_a_damaged_evaluation_is_a_problem_and_the_record_counts(tmp_path: Path) -> None:
    busy = put_done(tmp_path, packed(make_record(seed=0), top1=0.7, busy=True))
    folder = Store(tmp_path).run(busy.run_id)
    path = put_evaluation(folder, busy, top1=0.7)
    path.write_text("{")
    assert make_report(tmp_path, out=tmp_path / "out") == 1
    assert f"- {busy.run_id}/evaluations/{path.name}: " in (tmp_path / "out" / "index.md").read_text()
    (run,) = rows_of(tmp_path / "out" / "tables" / "other-runs.runs.csv")
    assert (run["state"], float(run["packed_top1_percent"])) == ("done", pytest.approx(70))


def test_one_run_is_a_table_of_one_row(tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record(seed=7, seconds=60.0))
    text = runs_table(tmp_path, [record.run_id])
    assert "scaling=none" in text
    assert "One run has no interval; seed=0,1,2 costs about 3.0 min more." in text


STATES = ("done", "running", "stopped", "trained", "failed", "diverged", "broken", "missing", "refused")


@given(st.lists(st.lists(st.sampled_from(STATES), min_size=3, max_size=3), min_size=1, max_size=4))
def test_every_planned_run_is_counted_once_and_done_runs_alone_are_averaged(grid: list[list[RunState]]) -> None:
    jobs, runs = [], {}
    for number, states in enumerate(grid):
        for seed, state in enumerate(states):
            record = make_record(seed=seed, correct=seed, model={"width": float(number)})
            jobs.append(Job(overrides=[f"model.width={number}", f"seed={seed}"], run_id=record.run_id))
            if state != "missing":
                runs[record.run_id] = Run(
                    run_id=record.run_id,
                    cell_id=None if state == "broken" else record.cell_id,
                    seed=seed,
                    state=state,
                    config={},
                    record=record if state == "done" else None,
                    error=None,
                )
    cells = study_cells(Study(schema=1, name="s", jobs=jobs), runs)
    assert [sorted(run.state for run in cell.runs) for cell in cells] == [sorted(states) for states in grid]
    for cell, states in zip(cells, grid, strict=True):
        top1 = [10.0 * seed for seed, state in enumerate(states) if state == "done"]
        found = measure(cell).top1
        assert [found.n, found.mean] == pytest.approx([len(top1), sum(top1) / len(top1)]) if found else not top1
        assert all(text != "" for text in shown(cell, measure(cell)))


def test_a_table_of_what_is_not_there_is_refused_in_a_sentence(tmp_path: Path) -> None:
    put_grid(tmp_path)
    with pytest.raises(ReportError, match=r"there is no study gird under .*: the studies are grid"):
        study_table(tmp_path, "gird")


def test_a_run_in_two_stores_is_counted_once_and_two_results_of_it_are_a_problem(tmp_path: Path) -> None:
    record = make_record(seed=0, correct=6)
    for place in ("a", "b"):
        put_done(tmp_path / place, record)
    roots = (tmp_path / "a", tmp_path / "b")
    assert make_report(*roots, out=tmp_path / "out") == 0
    (row,) = rows_of(tmp_path / "out" / "tables" / "other-runs.csv")
    assert (row["n"], row["planned"]) == ("1", "1")
    Store(tmp_path / "b").run(record.run_id).write_record(replace(record, weight_digest="e" * 64))
    assert make_report(*roots, out=tmp_path / "out") == 1
    assert "two different records" in (tmp_path / "out" / "index.md").read_text()
