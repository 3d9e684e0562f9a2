"""A table shows every planned run for what it is, with numbers that can be checked by hand."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import digest, make_record, packed, put_done, put_status, put_study
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn_ablate.record import Record
from bnn_ablate.report.__main__ import main
from bnn_ablate.report.cells import study_cells
from bnn_ablate.report.numbers import duration, markdown, one_line, significant
from bnn_ablate.report.rows import measure, shown
from bnn_ablate.report.runs import Run, RunState
from bnn_ablate.report.tables import ReportError, runs_table, study_table
from bnn_ablate.store import State, Store
from bnn_ablate.study import Job, Study, plan_jobs

#: What a terminal shows for the grid below, by hand. 7, 8 and 9 of 10 images: mean 80, s = 10, half-width
#: 4.3027 * 10 / sqrt(3) = 24.84. 4 Mi bits are 0.5 MiB. 1 M float and 32 M binary MACs are 1 M + 32 M / 64 = 1.5 M.
#: The single run lacks two seeds of 90 s: 3 minutes.
SHOWN = """\
grid
all runs: model=resnet_e18, model.width=0.25, data=digits, data.image_size=16, recipe=quick, recipe.epochs=10,
  recipe.batch_size=64, recipe.optimizer=adam, recipe.optimizer.lr=0.01, grad.clip=1.0, order=post

scaling  grad        top-1 %  ± 95 %       n  top-5 %  packed top-1 %    MiB  MACs (M)  time  state
-------  ----------  -------  ------  ------  -------  --------------  -----  --------  ----  -------------------
none     ste           80.00   24.84  3 of 3   100.00   not evaluated  0.500      1.50  90 s  done
none     approxsign    90.00       —  1 of 3   100.00   not evaluated  0.500      1.50  90 s  1 done, 2 missing
channel  ste         missing       —  0 of 3        —               —      —         —     —  3 missing
channel  approxsign   failed       —  0 of 1        —               —      —         —     —  failed: OSError: no

± is a 95 % Student-t interval over seeds only: the sampling of the test images is not in it.
One run has no interval; seed=0,1,2 costs about 3.0 minutes more.
1 run failed: shown and counted, in no mean.
failed: OSError: no (run RUN)
data=digits with 10 test images is a smoke test, not evidence: one image is 10.00 points.
scaling=channel in order=post is an identity check, not a treatment: the BatchNorm that follows cancels alpha, forward
  and in the gradient of the weights, up to eps and rounding.
"""


def put_grid(root: Path) -> str:
    """The study that SHOWN shows; returns the id of its failed run."""
    jobs: list[tuple[str, Record | None]] = [
        (f"scaling=none grad=ste seed={seed}", put_done(root, make_record(seed=seed, correct=7 + seed, seconds=90.0)))
        for seed in (0, 1, 2)
    ]
    single = put_done(root, make_record(seed=1, correct=9, grad="approxsign", seconds=90.0))
    failed = make_record(seed=0, scaling="channel", grad="approxsign")
    put_status(root, failed, "failed", "OSError: no\nmore lines")
    for seed in (0, 1, 2):
        jobs.append((f"scaling=none grad=approxsign seed={seed}", single if seed == 1 else None))
    jobs += [(f"scaling=channel grad=ste seed={seed}", None) for seed in (0, 1, 2)]
    put_study(root, "grid", [*jobs, ("scaling=channel grad=approxsign seed=0", failed)])
    return failed.run_id


def cells_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(newline="")))


def report(root: Path, out: Path) -> int:
    return main([f"runs={root}", f"out={out}"])


def test_the_text_of_a_study_is_the_one_made_by_hand(tmp_path: Path) -> None:
    failed = put_grid(tmp_path)
    text = study_table(tmp_path, "grid")
    assert text == SHOWN.replace("RUN", failed)
    assert max(map(len, text.splitlines())) < 120


def test_files_hold_the_same_rows_in_full_precision(tmp_path: Path) -> None:
    put_grid(tmp_path)
    assert report(tmp_path, tmp_path / "out") == 0
    first, second, third, fourth = cells_of(tmp_path / "out" / "grid.csv")
    assert float(first["top1_percent"]) == pytest.approx(80)
    assert float(first["top1_half_width_95"]) == pytest.approx(24.841377, abs=1e-6)
    assert (first["n"], first["planned"], first["size_mib"], first["macs_combined"]) == ("3", "3", "0.5", "1500000.0")
    assert (second["n"], second["top1_half_width_95"], second["train_seconds"]) == ("1", "NA", "90.0")
    assert (third["top1_percent"], third["state"]) == ("NA", "3 missing")
    assert (fourth["top1_percent"], fourth["state"]) == ("NA", "failed: OSError: no")
    runs = cells_of(tmp_path / "out" / "grid.runs.csv")
    assert [run["state"] for run in runs] == ["done"] * 3 + ["missing", "done", "missing"] + ["missing"] * 3 + [
        "failed"
    ]
    assert [run["seed"] for run in runs] == ["0", "1", "2"] * 3 + ["0"]
    assert [float(run["top1_percent"]) for run in runs[:3]] == pytest.approx([70, 80, 90])
    assert all(value != "" for row in runs for value in row.values())
    index = (tmp_path / "out" / "index.md").read_text()
    assert "| [grid](grid.md) | 4 | 10 | 4 | 1 | 0 | 5 |" in index


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
        assert main([f"runs={root}", f"runs={root}/b", f"out={out}"]) == 1
        outs.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert outs[0] == outs[1]
    assert sorted(outs[0]) == [
        "grid.csv",
        "grid.md",
        "grid.runs.csv",
        "index.md",
        "other-runs.csv",
        "other-runs.md",
        "other-runs.runs.csv",
    ]


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
    assert report(tmp_path, tmp_path / "out") == 0
    first, second = cells_of(tmp_path / "out" / "s.csv")
    assert (first["top1_percent"], first["n"], first["state"]) == ("NA", "0", shown)
    assert (float(second["top1_percent"]), second["n"], second["planned"]) == (60.0, "1", "2")
    assert second["state"] == f"1 done, 1 {shown}"
    lost = f"2 runs {state}: shown and counted, in no mean." in (tmp_path / "out" / "s.md").read_text()
    assert lost == (state in ("failed", "diverged"))


@pytest.mark.parametrize("broken", ["{", '{"schema": 1}', "null"])
def test_a_broken_record_is_named_and_counted_and_the_rest_goes_on(
    broken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done, lost = put_done(tmp_path, make_record(seed=0, correct=6)), put_done(tmp_path, make_record(seed=1))
    put_study(tmp_path, "s", [("seed=0", done), ("seed=1", lost)])
    (tmp_path / lost.run_id / "record.json").write_text(broken)
    assert report(tmp_path, tmp_path / "out") == 1
    (row,) = cells_of(tmp_path / "out" / "s.csv")
    assert (float(row["top1_percent"]), row["n"], row["planned"]) == (60.0, "1", "2")
    assert row["state"].startswith(f"1 done, 1 broken: {lost.run_id}/record.json: ")
    assert "1 run cannot be read" in (tmp_path / "out" / "s.md").read_text()
    assert "1 problem:" in (tmp_path / "out" / "index.md").read_text()
    assert capsys.readouterr().err.startswith(f"{lost.run_id}/record.json: ")


def test_a_run_of_which_nothing_can_be_read_is_a_row_of_its_own(tmp_path: Path) -> None:
    put_done(tmp_path, make_record(seed=0))
    lost = put_done(tmp_path, make_record(seed=1, scaling="xnor"))
    for name in ("record.json", "status.json"):
        (tmp_path / lost.run_id / name).write_text("{")
    assert report(tmp_path, tmp_path / "out") == 1
    assert [row["n"] for row in cells_of(tmp_path / "out" / "other-runs.csv")] == ["1", "0"]


@pytest.mark.parametrize("problem", ["record of another run", "done without a record"])
def test_a_folder_that_contradicts_itself_is_broken(problem: str, tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record())
    folder = tmp_path / record.run_id
    if problem == "record of another run":
        folder.rename(tmp_path / digest("elsewhere"))
    else:
        (folder / "record.json").unlink()
    assert report(tmp_path, tmp_path / "out") == 1
    (row,) = cells_of(tmp_path / "out" / "other-runs.csv")
    assert (row["n"], row["planned"]) == ("0", "1")
    assert row["state"].startswith("broken")


@pytest.mark.parametrize(
    ("name", "content"), [("s", "{"), ("index", None), ("other-runs", None), ("a.runs", None), ("s", "renamed")]
)
def test_a_study_that_cannot_be_shown_is_a_problem(name: str, content: str | None, tmp_path: Path) -> None:
    studies = Store(tmp_path).studies
    plan_jobs(studies, name, [["seed=0"]])
    path = studies / f"{name}.json"
    if content == "renamed":
        path.rename(studies / "t.json")
    elif content is not None:
        path.write_text(content)
    assert report(tmp_path, tmp_path / "out") == 1
    assert "studies/" in (tmp_path / "out" / "index.md").read_text()


def test_an_option_named_and_the_same_one_left_at_its_default_are_one_row(tmp_path: Path) -> None:
    records = [put_done(tmp_path, make_record(seed=seed)) for seed in (0, 1)]
    other = put_done(tmp_path, make_record(seed=0, grad={"clip": 1.3}))
    jobs = [("grad.clip=1.0 seed=0", records[0]), ("seed=0", records[0]), ("seed=1", records[1])]
    put_study(tmp_path, "s", [*jobs, ("grad.clip=1.3 seed=0", other), ("seed=2", None)])
    report(tmp_path, tmp_path / "out")
    rows = [(row["grad.clip"], row["n"], row["planned"]) for row in cells_of(tmp_path / "out" / "s.csv")]
    assert rows == [("1.0", "2", "3"), ("1.3", "1", "1")]


def test_runs_that_differ_behind_equal_overrides_are_never_averaged(tmp_path: Path) -> None:
    old = make_record(seed=0, correct=5)
    new = replace(make_record(seed=1, correct=9), cell_id=digest("new"), results_version=2)
    put_study(
        tmp_path, "s", [("grad=ste seed=0", put_done(tmp_path, old)), ("grad=ste seed=1", put_done(tmp_path, new))]
    )
    report(tmp_path, tmp_path / "out")
    rows = [(row["results_version"], float(row["top1_percent"])) for row in cells_of(tmp_path / "out" / "s.csv")]
    assert rows == [("1", 50.0), ("2", 90.0)]
    assert "kept apart" in (tmp_path / "out" / "s.md").read_text()


def other_runs(root: Path, *records: Record) -> list[dict[str, str]]:
    for record in records:
        put_done(root, record)
    report(root, root / "out")
    return cells_of(root / "out" / "other-runs.csv")


def columns(rows: list[dict[str, str]]) -> list[str]:
    return list(rows[0])[: list(rows[0]).index("top1_percent")]


def test_runs_of_no_study_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    rows = other_runs(
        tmp_path, make_record(), make_record(scaling={"name": "xnor", "gradient": True}), make_record(grad="approxsign")
    )
    assert columns(rows) == ["scaling", "grad"]  # scaling.gradient follows scaling
    assert [(row["scaling"], row["grad"]) for row in rows] == [("none", "approxsign"), ("none", "ste"), ("xnor", "ste")]
    assert (
        "all runs: model=resnet_e18, model.width=0.25, data=digits" in (tmp_path / "out" / "other-runs.md").read_text()
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


def test_packed_accuracy_is_shown_once_it_was_evaluated(tmp_path: Path) -> None:
    first = put_done(tmp_path, packed(make_record(seed=0), top1=0.7))
    second = put_done(tmp_path, make_record(seed=1))
    assert "70.00 (1 of 2 runs)" in runs_table(tmp_path, [first.run_id, second.run_id])
    assert "not evaluated" in runs_table(tmp_path, [second.run_id])


def test_one_run_is_a_table_of_one_row(tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record(seed=7, seconds=60.0))
    text = runs_table(tmp_path, [record.run_id])
    assert "scaling=none" in text
    assert "One run has no interval; seed=0,1,2 costs about 3.0 minutes more." in text


STATES = ("done", "running", "stopped", "trained", "failed", "diverged", "broken", "missing")


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


def test_seeds_that_agree_are_no_proof_of_no_spread(tmp_path: Path) -> None:
    ids = [put_done(tmp_path, make_record(seed=seed, correct=8)).run_id for seed in (0, 1)]
    text = runs_table(tmp_path, ids)
    assert "80.00    0.00  2 of 2" in text
    assert "which does not show that there is no spread" in text


def test_a_table_of_what_is_not_there_is_refused_in_a_sentence(tmp_path: Path) -> None:
    put_grid(tmp_path)
    with pytest.raises(ReportError, match=r"there is no study gird under .*: the studies are grid"):
        study_table(tmp_path, "gird")
    with pytest.raises(ReportError, match="there is no run 0"):
        runs_table(tmp_path, ["0"])


def test_a_run_in_two_stores_is_counted_once_and_two_results_of_it_are_a_problem(tmp_path: Path) -> None:
    record = make_record(seed=0, correct=6)
    for place in ("a", "b"):
        put_done(tmp_path / place, record)
    arguments = [f"runs={tmp_path / 'a'}", f"runs={tmp_path / 'b'}", f"out={tmp_path / 'out'}"]
    assert main(arguments) == 0
    (row,) = cells_of(tmp_path / "out" / "other-runs.csv")
    assert (row["n"], row["planned"]) == ("1", "1")
    Store(tmp_path / "b").run(record.run_id).write_record(replace(record, weight_digest="e" * 64))
    assert main(arguments) == 1
    assert "two different records" in (tmp_path / "out" / "index.md").read_text()


def unescaped_bars(line: str) -> int:
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))


@settings(max_examples=50)
@given(st.text(max_size=30))
def test_no_text_breaks_a_markdown_row(text: str) -> None:
    assert unescaped_bars(f"| {markdown(text)} |") == 2
    assert len(f"x{one_line(text)}x".splitlines()) == 1


def test_names_and_errors_with_bars_and_line_breaks_keep_the_table_whole(tmp_path: Path) -> None:
    failed = put_status(tmp_path, make_record(), "failed", "a | b <script> \x1b[31m\nmore")
    put_study(tmp_path, "x|y\nz", [("+note=p|q seed=0", failed), ("+note=r seed=0", None)])
    assert report(tmp_path, tmp_path / "out") == 0
    for page in (tmp_path / "out").glob("*.md"):
        lines = page.read_text().split("\n")
        rows = [line for line in lines if line.startswith("|")]
        assert len({unescaped_bars(row) for row in rows}) == 1
    text = study_table(tmp_path, "x|y\nz")
    assert text.startswith("x|y z\n")
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "argument", ["colour=red", "run=runs", "runs=", "runs", "--out", "runs=/no/such/folder", "out=a out=b"]
)
def test_a_wrong_argument_is_refused_in_one_sentence(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argument.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_an_empty_store_gives_an_index_that_says_so(tmp_path: Path) -> None:
    assert report(tmp_path, tmp_path / "out") == 0
    assert "There are no runs yet." in (tmp_path / "out" / "index.md").read_text()


def test_the_command_takes_its_defaults_and_imports_no_torch(tmp_path: Path) -> None:
    put_grid(tmp_path / "runs")
    code = (
        "import runpy, sys; sys.argv = ['report']\n"
        "try: runpy.run_module('bnn_ablate.report', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert not {'torch', 'pytorch_lightning', 'hydra', 'wandb', 'pandas'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "reports/grid.md: 4 cells, 4 of 10 runs done\nreports/index.md: 1 table, 0 problems\n"
    assert (tmp_path / "reports" / "grid.md").exists()


def test_help_names_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert {"runs=DIR", "out=DIR"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.07123, "0.0712"), (1.25, "1.25"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1234"), (1.0, "1.00")],
)
def test_numbers_are_shown_with_three_digits_and_no_exponent(value: float, shown: str) -> None:
    assert significant(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.5, "0.50 s"), (12, "12 s"), (119, "119 s"), (120, "2.0 min"), (5400, "90 min"), (9000, "2.5 h")],
)
def test_times_are_shown_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
