"""Curves by epoch: ours with their seeds, over the authors', and sign flips; and all charts of a study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from chart_factories import curves_cell, effect, lines_of, study_of_effects, svg_texts
from effect_factories import cell_of, table_of

from bnn_ablate.record import RecordError
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.charts.authors import LoggedCurve, Pair, authors_charts, authors_figure, logged_curves
from bnn_ablate.report.charts.curves import curves_chart, flips_chart, read_flips
from bnn_ablate.report.charts.lines import Line, lines_figure
from bnn_ablate.report.charts.study import study_charts
from bnn_ablate.report.published.figures import PublishedError, read_published
from bnn_ablate.report.tables import Table, make_table


def no_flips(run_id: str) -> Mapping[int, float]:
    return {}


def line(*seeds: dict[int, float], name: str = "a") -> Line:
    return Line(name=name, seeds=seeds)


def finite(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [pair for pair in points if pair == pair and pair[0] == pair[0]]


def test_the_mean_is_thick_and_each_seed_is_thin() -> None:
    axes = lines_figure([line({1: 10.0, 2: 30.0}, {1: 20.0, 2: 50.0})], "top-1", "").axes[0]
    (thin,), (mean,) = lines_of(axes, linewidth=0.5), lines_of(axes, linewidth=1.2)
    assert finite(thin) == [(1, 10), (2, 30), (1, 20), (2, 50)]
    assert len(thin) - len(finite(thin)) == 2  # a gap behind each seed
    assert mean == [(1, 15), (2, 40)]


def test_one_seed_is_one_line() -> None:
    axes = lines_figure([line({1: 10.0, 2: 30.0})], "top-1", "").axes[0]
    assert lines_of(axes, linewidth=0.5) == []
    assert lines_of(axes, linewidth=1.2) == [[(1, 10), (2, 30)]]


def test_a_mean_ends_where_a_seed_ends() -> None:
    assert line({1: 10.0, 2: 30.0}, {1: 20.0}).mean == {1: 15.0}


def test_a_long_training_shows_its_second_half_once_more_on_its_own_scale() -> None:
    whole, half = lines_figure([line({epoch: 90.0 + epoch for epoch in range(1, 7)})], "top-1", "").axes
    assert whole.get_xlim() == (0.5, 6.5)
    assert half.get_xlim() == (3.5, 6.5)
    assert half.get_ylim() == pytest.approx((93.9, 96.1))  # 94 to 96 and a twentieth of it
    assert len(lines_figure([line(dict.fromkeys(range(1, 6), 90.0))], "top-1", "").axes) == 1


def test_more_than_eight_cells_are_spread_evenly_over_panels_of_one_scale() -> None:
    nine = [line({1: 10.0 * number, 2: 50.0}, name=str(number)) for number in range(9)]
    upper, lower = lines_figure(nine, "top-1", "").axes
    assert [len(axes.lines) for axes in (upper, lower)] == [5, 4]
    assert upper.get_ylim() == lower.get_ylim()


def test_a_study_s_curves_are_in_percent_and_count_epochs_from_one() -> None:
    cells = [curves_cell("scaling=none", [[0.1, 0.3], [0.2, 0.5]]), cell_of("scaling=xnor", ["failed"])]
    table = make_table("s", cells)
    chart = curves_chart(table, None)
    assert chart is not None
    assert "none" in svg_texts(chart)
    assert "scaling" in svg_texts(chart)  # what the names are of
    assert "xnor" not in svg_texts(chart)
    assert chart.caption == "1 cell, 2 runs. Not drawn, because no run of theirs is done: 1 of 2 cells."


def test_cells_beyond_three_panels_are_told() -> None:
    table = make_table("s", [curves_cell(f"grad.clip={number}", [[0.5]]) for number in range(30)])
    chart = curves_chart(table, None)
    assert chart is not None
    assert chart.caption == "The first 24 of 30 cells in the order of the table, 24 runs."
    assert "23" in svg_texts(chart)
    assert "24" not in svg_texts(chart)


def test_flips_are_drawn_for_the_runs_that_have_them() -> None:
    cells = [curves_cell("scaling=none", [[0.5], [0.5]]), curves_cell("scaling=xnor", [[0.5]])]
    table = make_table("s", cells)
    known = table.cells[0].records[0].run_id
    chart = flips_chart(table, None, lambda run_id: {1: 0.2, 2: 0.1} if run_id == known else {})
    assert chart is not None
    assert "xnor" not in svg_texts(chart)
    assert "1 cells have no latent signs" in chart.caption
    assert flips_chart(table, None, no_flips) is None


def test_flips_are_read_from_the_line_of_all_layers(tmp_path: Path) -> None:
    path = tmp_path / "diagnostics.csv"
    path.write_text(
        "epoch,layer,quantity,value\n0,a,flipped_signs,0.5\n0,all,flipped_signs,0.25\n"
        "0,all,gradient_norm,7\n1,all,flipped_signs,0.125\n"
    )
    assert read_flips(path) == {1: 0.25, 2: 0.125}
    assert read_flips(tmp_path / "none.csv") == {}


@pytest.mark.parametrize("text", ["epoch,layer\n0,all\n", "epoch,layer,quantity,value\n0,all,flipped_signs,much\n"])
def test_a_broken_file_of_flips_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "diagnostics.csv"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"diagnostics\.csv: line 2 is not epoch,layer,quantity,value"):
        read_flips(path)


CURVES = "log,epoch,segment,val_top1\n0123,1,0,10.5\n0123,2,0,20.5\n0123,2,1,25.5\n0123,4,1,40.5\n4567,1,0,99\n"
RUNS = "log,epochs,source\n0123,4,the logs\n4567,1,the logs\n"


def published(tmp_path: Path, curves: str = CURVES) -> dict[str, LoggedCurve]:
    (tmp_path / "curves.csv").write_text(curves)
    (tmp_path / "runs.csv").write_text(RUNS)
    return logged_curves(read_published(tmp_path / "curves.csv"), read_published(tmp_path / "runs.csv"), ["0123"])


def test_a_logged_curve_has_its_planned_length_and_the_later_of_two_lines(tmp_path: Path) -> None:
    expected = LoggedCurve(log="0123", epochs=4, top1={1: 10.5, 2: 25.5, 4: 40.5})
    assert published(tmp_path) == {"0123": expected}


@pytest.mark.parametrize(
    ("curves", "error"),
    [
        (CURVES.replace("20.5", "high"), "curves.csv, line 3, column val_top1: a number is needed"),
        (CURVES.replace("20.5", ""), "curves.csv, line 3, column val_top1: a number is needed"),
        (CURVES.replace("0123", "89ab"), "curves.csv: there is no curve of the log 0123"),
    ],
)
def test_a_curve_that_cannot_be_used_is_named(tmp_path: Path, curves: str, error: str) -> None:
    with pytest.raises(PublishedError, match=error):
        published(tmp_path, curves)


def test_our_curve_stands_over_the_authors_by_the_share_of_the_training() -> None:
    logged = LoggedCurve(log="0123", epochs=4, top1={1: 10.0, 2: 20.0, 3: 40.0})  # it ends early
    axes = authors_figure([Pair(ours=line({1: 15.0, 2: 30.0}, name="none"), width="0.25", logged=logged)]).axes[0]
    assert lines_of(axes, linewidth=0.9) == [[(25, 10), (50, 20), (75, 40)]]
    assert lines_of(axes, linewidth=1.2) == [[(50, 15), (100, 30)]]


def test_each_pair_is_named_with_its_length_and_width() -> None:
    logged = LoggedCurve(log="0123", epochs=4, top1={1: 10.0})
    cells = [
        curves_cell("scaling=none", [[0.1, 0.3], [0.2, 0.5]], model={"width": 0.25}),
        curves_cell("scaling=xnor", [[0.1]], model={"width": 0.25}),
        cell_of("scaling=channel", ["failed"]),
    ]
    (chart,) = authors_charts(make_table("s", cells), None, [(0, logged), (2, logged)])
    shown = svg_texts(chart)
    assert "none" in shown
    assert "ours: 2 epochs, width 0.25, n 2" in shown
    assert "authors: 4 epochs, width 1, log 0123" in shown
    assert "xnor" not in shown  # nobody paired it
    assert "channel" not in shown  # it has no run
    assert authors_charts(make_table("s", cells), None, []) == []


def grid() -> Table:
    cells: list[Cell] = [
        curves_cell(f"scaling={scaling} grad={grad}", [[0.1, 0.3], [0.2, 0.5]])
        for scaling in ("none", "xnor")
        for grad in ("ste", "ede")
    ]
    return make_table("s", cells)


def test_a_study_has_its_charts_in_one_order_and_each_name_once() -> None:
    effects = study_of_effects(
        {"scaling": ("none", "xnor"), "grad": ("ste", "ede")},
        [
            effect("scaling=none>xnor", 1.0),
            effect("scaling=none>xnor", 1.0, kind="main"),
            effect("scaling=none>xnor grad=ste>ede", 1.0, kind="interaction"),
        ],
    )
    logged = LoggedCurve(log="0123", epochs=4, top1={1: 10.0})
    charts = study_charts(grid(), effects, lambda run_id: {1: 0.5}, [(0, logged)])
    assert [chart.name for chart in charts] == [
        "s.simple-effects",
        "s.main-effects",
        "s.interactions",
        "s.curves",
        "s.authors",
        "s.flips",
    ]
    assert charts == study_charts(grid(), effects, lambda run_id: {1: 0.5}, [(0, logged)])
    assert all(chart.title and chart.caption.endswith(".") for chart in charts)


def test_runs_of_no_study_have_curves_alone() -> None:
    assert [chart.name for chart in study_charts(grid(), None, no_flips)] == ["s.curves"]


def test_one_run_has_a_curve() -> None:
    assert [chart.name for chart in study_charts(table_of({"scaling=none": [5]}), None, no_flips)] == ["s.curves"]


def test_without_a_done_run_there_is_no_chart() -> None:
    nothing = table_of({"scaling=none grad=ste": ["failed"], "scaling=xnor grad=ste": [None]})
    assert study_charts(nothing, study_of_effects({"scaling": ("none", "xnor")}), no_flips) == []
    assert study_charts(make_table("s", []), None, no_flips) == []
