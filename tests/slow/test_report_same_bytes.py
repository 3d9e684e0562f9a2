"""The whole report with its figures, by two processes."""

from __future__ import annotations

from pathlib import Path

from factories import assert_same_bytes, make_record, packed, put_done, put_evaluation, put_grid

from bnn_ablate.store import Store


def test_figures_have_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    put_grid(tmp_path / "runs")
    other = put_done(tmp_path / "runs", packed(make_record(order="pre"), top1=0.9, busy=True))
    put_evaluation(Store(tmp_path / "runs").run(other.run_id), other)
    assert_same_bytes(tmp_path)
    assert list((tmp_path / "a" / "figures").glob("grid.*.pdf"))
