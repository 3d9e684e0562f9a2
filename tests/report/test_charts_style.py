"""How charts are written: the same bytes, plain texts, fonts that can be read, whatever a person's settings are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import get_args

import matplotlib
import pytest
from chart_factories import HOSTILE, effect, study_of_effects, svg_texts

from bnn_ablate.report.charts.effects import effects_charts
from bnn_ablate.report.charts.key import look
from bnn_ablate.report.charts.reading import HOW
from bnn_ablate.report.charts.style import COLOURS, drawn, fitted, make_chart, panel, sheet, signed, text_width
from bnn_ablate.report.grid import Chart, ChartKind

STUDY = study_of_effects({"scaling": ("none", "xnor")}, [effect("scaling=none>xnor", 0.4)])


def a_chart() -> Chart:
    return effects_charts(STUDY, STUDY.simple)[0]


def test_the_same_effects_give_the_same_bytes() -> None:
    assert a_chart() == a_chart()


def test_a_new_process_with_other_settings_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 9\nsvg.fonttype: path\naxes.grid: True\n")
    code = (
        "import sys, test_charts_style as t, bnn_ablate.report.charts.study; chart = t.a_chart();"
        "sys.stdout.buffer.write(chart.svg + chart.pdf);"
        "print({'torch', 'matplotlib.pyplot'} & set(sys.modules), file=sys.stderr)"
    )
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent), str(here.parent.parent)]),
        "PYTHONHASHSEED": "7",
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "TZ": "Asia/Tokyo",
    }
    made = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, timeout=120)
    chart = a_chart()
    assert made.stdout == chart.svg + chart.pdf
    # what a report does not need, and takes seconds to import
    assert made.stderr.decode().strip() == "set()"


def test_drawing_leaves_a_persons_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    a_chart()
    assert dict(matplotlib.rcParams) == before


def test_files_hold_no_date_no_version_and_no_script() -> None:
    chart = a_chart()
    assert not re.search(rb"20\d\d-\d\d|matplotlib|<script|href=\"http", re.sub(rb"<!DOCTYPE[^>]*>", b"", chart.svg))
    assert not re.search(rb"CreationDate|ModDate|Matplotlib v", chart.pdf)
    assert chart.pdf.startswith(b"%PDF")


def test_two_charts_of_a_page_have_no_id_in_common() -> None:
    one, other = (
        make_chart(figure, name=name, title="", kind="cost", caption="")
        for name, figure in (("a", a_figure()), ("b", a_figure()))
    )
    ids = [set(re.findall(rb'id="([^"]*)"', chart.svg)) for chart in (one, other)]
    assert ids[0]
    assert not ids[0] & ids[1]


@drawn
def a_figure():  # type: ignore[no-untyped-def]
    figure = sheet(85, 60)
    panel(figure, 15, 5, 60, 40).plot([0, 1], [0, 1], marker="o")
    return figure


def test_a_panel_lies_where_it_is_told_in_millimetres() -> None:
    figure = a_figure()
    assert figure.get_size_inches() * 25.4 == pytest.approx((85, 60))
    box = figure.axes[0].get_position()
    assert (box.x0 * 85, (1 - box.y1) * 60, box.width * 85, box.height * 60) == pytest.approx((15, 5, 60, 40))


def test_no_letter_is_smaller_than_eight_points() -> None:
    chart = a_chart()
    sizes = [float(size) for size in re.findall(rb"font(?:-size)?:[^;\"]*?([\d.]+)px", chart.svg)]
    assert len(sizes) == chart.svg.count(b"<text")
    assert min(sizes) == 8
    # the unit is the point: the width of a page's text is 170 mm
    assert re.search(rb'<svg[^>]*width="([\d.]+)pt"', chart.svg)[1] == b"481.889764"  # 170 / 25.4 * 72  # type: ignore[index]


def test_texts_are_texts_that_a_search_finds() -> None:
    assert "none → xnor" in svg_texts(a_chart())


def test_a_long_text_is_cut_in_its_middle_to_its_room() -> None:
    with_room = drawn(fitted)
    assert with_room("approxsign_both", 60) == "approxsign_both"
    cut = with_room("a" * 100 + "z" * 100, 30)
    assert re.fullmatch("a+…z+", cut)
    assert drawn(text_width)(cut) <= 30
    assert drawn(text_width)(cut) > 25
    assert with_room("two\nlines\x07 ", 60) == "two lines"
    assert with_room("W" * 30, 1) == "W…W"  # never nothing
    assert with_room("", 10) == ""


def test_a_hostile_text_is_drawn_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = a_figure()
        drawn(lambda: figure.text(0, 0, fitted(HOSTILE, 500)))()
        chart = make_chart(figure, name="a", title="", kind="cost", caption="")
    (shown,) = [text for text in svg_texts(chart) if "script" in text]
    assert shown.startswith("<script>alert('$x_1^2$')</script>&\" \\alpha{} 漢字 www")


def test_lines_differ_without_their_colours() -> None:
    looks = [look(index) for index in range(len(COLOURS))]
    assert len({style["marker"] for style in looks}) == len({str(style["linestyle"]) for style in looks}) == len(looks)


def test_colours_are_dark_enough_on_white_and_differ_for_the_colour_blind() -> None:
    # of Okabe and Ito's set all but the yellow, and a grey
    assert set(COLOURS) == {
        *("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"),
        "#7F7F7F",
    }


def test_a_change_has_its_sign() -> None:
    assert [signed(value) for value in (0.421, -0.421, 0.001, -0.001)] == [
        "+0.42",
        "\N{MINUS SIGN}0.42",
        "0.00",
        "0.00",
    ]


def test_how_every_kind_of_figure_is_read_is_said() -> None:
    assert set(HOW) == set(get_args(ChartKind))
