"""Accuracy against size, MACs and latency: points, the front, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from chart_factories import HOSTILE, lines_of, study_of_effects, svg_texts, texts
from effect_factories import cell_of, run_of
from factories import make_packed, make_record
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.charts.front import Point, front
from bnn_ablate.report.charts.pareto import cost_charts, cost_figure
from bnn_ablate.report.stats.student import Mean
from bnn_ablate.report.tables import Table, make_table

MIB = 8 * 2**20


def point(cost: float, top1: float, half: float | None = None, name: str = "a", group: int = 0) -> Point:
    return Point(name=name, cost=cost, top1=Mean(n=3, mean=top1, half_width=half), group=group)


def test_the_front_is_what_nothing_beats() -> None:
    points = [point(1, 60), point(2, 59), point(2, 65), point(3, 65), point(4, 70), point(0.5, 50), point(4, 70)]
    # 59 is beaten at its cost, 65 of cost 3 by 65 of cost 2; two equal points are both on it
    assert front(points) == [5, 0, 2, 4, 6]
    assert front([]) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_that_of_the_definition(pairs: list[tuple[int, int]]) -> None:
    def beaten(one: tuple[int, int]) -> bool:
        return any(c <= one[0] and a >= one[1] and (c, a) != one for c, a in pairs)

    found = front([point(cost, top1) for cost, top1 in pairs])
    assert sorted(found) == [place for place, pair in enumerate(pairs) if not beaten(pair)]
    assert [pairs[place] for place in found] == sorted(pairs[place] for place in found)


def test_points_stand_at_their_cost_with_their_interval_and_the_front_is_filled() -> None:
    figure = cost_figure([point(1.0, 60.0, 1.0), point(2.0, 55.0, None), point(3.0, 65.0, 2.0)], "size, MiB")
    axes = figure.axes[0]
    hollow, filled = (
        [line for line in axes.lines if line.get_marker() == "o" and (line.get_markerfacecolor() == "white") == white]
        for white in (True, False)
    )
    assert [list(line.get_xydata()[0]) for line in hollow] == [[2.0, 55.0]]
    assert [list(map(list, line.get_xydata())) for line in filled] == [[[1.0, 60.0], [3.0, 65.0]]]
    intervals = [pair for pair in lines_of(axes, linewidth=0.9)[0] if pair[1] == pair[1]]
    assert intervals == [(1.0, 59.0), (1.0, 61.0), (2.0, 55.0), (2.0, 55.0), (3.0, 63.0), (3.0, 67.0)]
    (step,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert [list(pair) for pair in step.get_xydata()[:-1]] == [[1.0, 60.0], [3.0, 65.0]]
    assert step.get_xydata()[-1][1] == 65.0
    assert axes.get_xlabel() == "size, MiB"


def test_cells_of_one_cost_stand_side_by_side_and_the_best_in_its_true_place() -> None:
    figure = cost_figure([point(1.0, 60.0, 1.0), point(1.0, 62.0, 1.0), point(1.0, 61.0, 1.0), point(3, 70)], "MiB")
    hollow = next(line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white")
    filled = next(line for line in figure.axes[0].lines if line.get_marker() == "o" and line is not hollow)
    assert list(filled.get_xdata()) == [1.0, 3.0]
    below, above = sorted(hollow.get_xdata())
    assert below < 1.0 < above
    assert above - 1.0 == pytest.approx(1.0 - below)
    assert above < 1.2


def test_costs_over_more_than_a_decade_stand_on_a_logarithmic_axis_with_plain_numbers() -> None:
    axes = cost_figure([point(0.5, 50), point(20, 60)], "size, MiB").axes[0]
    assert axes.get_xscale() == "log"
    axes.figure.canvas.draw()
    assert "10" in [tick.get_text() for tick in axes.get_xticklabels()]
    assert cost_figure([point(1, 50), point(2, 60)], "size, MiB").axes[0].get_xscale() == "linear"


def test_names_of_the_front_lie_on_no_marker_and_no_other_name() -> None:
    points = [point(1 + i % 7, 50 + 2 * (i % 7) - i // 7, 0.4, name=f"model {i}, xnor", group=i % 3) for i in range(21)]
    figure = cost_figure(points, "size, MiB", "model", ["a", "b", "c"])
    axes = figure.axes[0]
    named = texts(axes)
    assert named
    assert set(named) <= {f"model {i}, xnor" for i in range(7)}  # those of the front
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    marks = [
        axes.transData.transform(pair)
        for line in axes.lines
        if line.get_marker() != "None"
        for pair in line.get_xydata()
    ]
    assert not any(box.contains(*mark) for box, mark in product(boxes, marks))
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def sized(words: str, correct: list[int], size_mib: float, **packed: Any) -> Cell:
    runs = []
    for seed, right in enumerate(correct):
        options = dict(word.split("=", 1) for word in words.split())
        record = make_record(seed=seed, correct=right, **options)
        record = replace(record, cost=replace(record.cost, size_bits=int(size_mib * MIB)))
        runs.append(run_of(replace(record, packed=make_packed(**packed)) if packed else record))
    return Cell(dict(word.split("=", 1) for word in words.split()), tuple(runs))


def sized_table(*cells: Cell) -> Table:
    return make_table("s", list(cells))


def test_a_study_has_a_chart_for_each_cost_that_differs() -> None:
    table = sized_table(
        sized("scaling=none", [5, 6], 1.0, latency_ms=[1.0]), sized("scaling=xnor", [7, 8], 2.0, latency_ms=[3.0])
    )
    charts = cost_charts(table, None)
    assert [chart.name for chart in charts] == ["s.size", "s.latency"]  # all have the same MACs
    assert charts[0].caption == "On the front, from the cheapest, by scaling: none; xnor."
    assert "kernel avx512, 1 thread, some CPU" in charts[1].caption
    assert {"scaling", "none", "xnor", "size, MiB"} <= set(svg_texts(charts[0]))


def test_points_are_named_by_what_tells_the_front_apart_and_by_numbers_where_that_is_long() -> None:
    table = sized_table(
        sized("scaling=none grad=ste order=post", [5], 1.0),
        sized("scaling=xnor grad=ste order=post", [7], 2.0),
        sized("scaling=xnor grad=ede order=pre", [4], 3.0),  # not on the front
    )
    (chart,) = cost_charts(table, None)
    assert "by scaling: none; xnor." in chart.caption
    assert not {"none, ste, post", "none, ste", "1"} & set(svg_texts(chart))
    long = "a" * 26  # one letter too many with ", ste" behind it
    table = sized_table(
        sized("scaling=none grad=ste", [5], 1.0),
        sized(f"scaling={long} grad=ste", [6], 2.0),
        sized("scaling=none grad=ede", [7], 3.0),
    )
    (chart,) = cost_charts(table, None)
    assert chart.caption.startswith(
        f"On the front, from the cheapest, as changes to scaling=none, grad=ste: (1) no change; (2) scaling={long}; "
        "(3) grad=ede."
    )
    assert {"1", "2", "3"} <= set(svg_texts(chart))


def test_a_chart_of_all_studies_says_so_in_words() -> None:
    table = sized_table(sized("scaling=none", [5], 1.0), sized("scaling=xnor", [7], 2.0))
    (chart,) = cost_charts(table, None, "CIFAR-10, all studies")
    assert (chart.name, chart.title) == ("s.size", "CIFAR-10, all studies: accuracy against size")


def test_networks_matched_within_two_per_cent_have_no_chart() -> None:
    table = sized_table(sized("scaling=none", [5], 1.0), sized("scaling=xnor", [7], 1.015))
    assert cost_charts(table, None) == []


def test_times_of_another_machine_are_left_out_and_told() -> None:
    table = sized_table(
        sized("scaling=none", [5], 1.0, latency_ms=[1.0]),
        sized("scaling=xnor", [7], 1.0, latency_ms=[3.0]),
        sized("scaling=channel", [8], 1.0, latency_ms=[9.0], cpu="a faster CPU"),
    )
    (chart,) = cost_charts(table, None)
    assert "a faster CPU" not in chart.caption
    assert "1 cells have no such number" in chart.caption


def test_cells_without_a_result_are_told_and_a_study_without_any_has_no_chart() -> None:
    failed = cell_of("scaling=learned", ["failed"])
    table = sized_table(sized("scaling=none", [5], 1.0), sized("scaling=xnor", [7], 2.0), failed)
    (chart,) = cost_charts(table, None)
    assert "Not drawn, because no run of theirs is done: 1 of 3 cells." in chart.caption
    assert "learned" not in svg_texts(chart)
    assert cost_charts(sized_table(failed), None) == []
    assert cost_charts(make_table("s", []), None) == []


def test_in_a_one_factor_study_cells_are_named_by_what_they_change() -> None:
    table = sized_table(
        sized("scaling=none grad=ste", [5], 1.0),
        sized("scaling=xnor grad=ste", [7], 2.0),
        sized("scaling=none grad=ede", [8], 3.0),
    )
    study = study_of_effects({"scaling": ("none", "xnor"), "grad": ("ste", "ede")}, one_factor=True)
    (chart,) = cost_charts(table, study)
    assert "from the cheapest: baseline; scaling=xnor; grad=ede." in chart.caption


def test_hostile_names_are_shown_as_they_are() -> None:
    name = HOSTILE.replace(" ", "_")
    table = sized_table(sized(f"scaling={name}", [5], 1.0), sized("scaling=none", [7], 2.0))
    (chart,) = cost_charts(table, None)
    assert any(text.startswith("<script>") for text in svg_texts(chart))
    assert b"<script" not in chart.svg
