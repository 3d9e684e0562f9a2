"""Results are copied into another store as they are, without what is large, and never over another result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from factories import make_record, make_report, put_done, put_evaluation, put_status, put_study, rows_of

from bnn_ablate.runs.__main__ import main
from bnn_ablate.store import State, Store
from bnn_ablate.wandb_address import write_address

#: States of runs that go on, or wait for somebody.
UNDONE: tuple[State, ...] = ("running", "stopped", "trained")


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two done runs and a failed one of a study, and a done one of none."""
    root = tmp_path / "runs"
    first, second = put_done(root, make_record(seed=0)), put_done(root, make_record(seed=1))
    failed = put_status(root, make_record(seed=2), "failed", "OSError: no")
    put_done(root, make_record(scaling="xnor"))
    put_study(root, "s", [("seed=0", first), ("seed=1", second), ("seed=2", failed)])
    put_evaluation(Store(root).run(first.run_id), first)
    for name in ("last.ckpt", "packed.safetensors", "output.log", "diagnostics.csv"):
        (root / first.run_id / name).write_text(name)
    write_address(root / first.run_id, "https://wandb.ai/someone/bits/runs/1")
    return root


def test_a_study_is_copied_without_what_is_large(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "far" / "records"
    assert main(["copy", str(to), "study=s", f"runs={store}"]) == 0
    first, second, failed = (make_record(seed=seed).run_id for seed in (0, 1, 2))
    copied = files_below(to)
    assert {name for name in copied if "evaluations" not in name} == {
        f"{failed}/status.json",
        f"{first}/record.json",
        f"{first}/diagnostics.csv",
        f"{first}/wandb.json",
        f"{second}/record.json",
        "studies/s.json",
    }
    assert len(copied) == 7  # and one evaluation
    assert copied == {name: (store / name).read_bytes() for name in copied}
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith(f"{to}: 3 runs and 1 study copied, ")


def test_what_has_no_outcome_yet_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, to = tmp_path / "runs", tmp_path / "records"
    jobs = [(f"seed={seed}", put_status(root, make_record(seed=seed), state)) for seed, state in enumerate(UNDONE)]
    put_study(root, "s", jobs)
    assert main(["copy", str(to), f"runs={root}"]) == 0
    assert set(files_below(to)) == {"studies/s.json"}
    assert "3 runs without a record left out: 1 running, 1 stopped, 1 trained" in capsys.readouterr().out


def test_a_result_is_not_hidden_by_a_failure_of_another_store(store: Path, tmp_path: Path) -> None:
    to = tmp_path / "records"
    put_done(to, make_record(seed=2))
    before = files_below(to)
    assert main(["copy", str(to), f"runs={store}", "state=failed"]) == 0
    assert {name: files_below(to)[name] for name in before} == before


def test_a_report_reads_what_was_copied(store: Path, tmp_path: Path) -> None:
    to = tmp_path / "records"
    main(["copy", str(to), f"runs={store}"])
    assert make_report(to, out=tmp_path / "out") == 0
    (row,) = rows_of(tmp_path / "out" / "tables" / "s.csv")
    assert (row["n"], row["planned"], row["state"]) == ("2", "3", "2 done, 1 failed: OSError: no")
    assert [row["n"] for row in rows_of(tmp_path / "out" / "tables" / "other-runs.csv")] == ["1"]


def test_copying_again_adds_what_came_since_and_nothing_else(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "records"
    main(["copy", str(to), f"runs={store}"])
    before = files_below(to)
    capsys.readouterr()
    assert main(["copy", str(to), f"runs={store}"]) == 0
    assert files_below(to) == before
    assert capsys.readouterr().out.splitlines()[-1] == f"{to}: 0 runs and 0 studies copied, 0 B"
    later = put_done(store, make_record(seed=3))
    put_study(store, "s", [("seed=3", later)])
    assert main(["copy", str(to), f"runs={store}"]) == 0
    assert set(files_below(to)) - set(before) == {f"{later.run_id}/record.json"}
    assert (to / "studies" / "s.json").read_bytes() == (store / "studies" / "s.json").read_bytes()


@pytest.mark.parametrize("what", ["another result", "a broken record", "another study"])
def test_what_is_there_and_differs_stops_the_copy_before_anything_is_written(
    what: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "records"
    record = make_record(seed=1)
    if what == "another study":
        put_study(to, "s", [("seed=7", None)])
    else:
        put_done(to, replace(record, weight_digest="e" * 64))
    if what == "a broken record":
        (to / record.run_id / "record.json").write_text("{")
    before = files_below(to)
    assert main(["copy", str(to), f"runs={store}"]) == 2
    assert files_below(to) == before
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nothing was copied" in error
    assert ("study s" if what == "another study" else record.run_id) in error


def test_the_same_result_at_another_time_is_no_contradiction(store: Path, tmp_path: Path) -> None:
    to = tmp_path / "records"
    record = make_record(seed=1)
    put_done(to, replace(record, provenance=replace(record.provenance, host="elsewhere", train_seconds=1.0)))
    kept = (to / record.run_id / "record.json").read_bytes()
    assert main(["copy", str(to), f"runs={store}"]) == 0
    assert (to / record.run_id / "record.json").read_bytes() == kept


def test_a_run_whose_weights_came_from_one_that_is_left_behind_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    float_run = put_done(root, make_record(weights="float"))
    tuned = put_done(root, replace(make_record(pretrain="relu"), pretrained_by=float_run.run_id))
    assert main(["copy", str(tmp_path / "to"), tuned.run_id, f"runs={root}"]) == 0
    told = f"run {tuned.run_id} started from the weights of run {float_run.run_id}, which is not among these runs"
    assert told in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("words", ["", "study=s", "SAME", "FILE"])
def test_a_target_that_is_none_is_refused_in_one_sentence(
    words: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    given = words.replace("SAME", str(store)).replace("FILE", str(tmp_path / "file")).split()
    assert main(["copy", *given, f"runs={store}"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_broken_record_is_left_out_and_told(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = make_record(seed=1).run_id
    (store / broken / "record.json").write_text("{")
    assert main(["copy", str(tmp_path / "to"), f"runs={store}"]) == 1
    assert not (tmp_path / "to" / broken).exists()
    out, err = capsys.readouterr()
    assert "1 broken" in out
    assert f"{broken}/record.json" in err
