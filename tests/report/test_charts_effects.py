"""Charts of effects: what stands where, against values worked out by hand."""

from __future__ import annotations

import pytest
from chart_factories import HOSTILE, effect, lines_of, study_of_effects, svg_texts, texts
from effect_factories import cell_of, table_of

from bnn_ablate.report.charts.effects import effects_charts, effects_figure
from bnn_ablate.report.charts.interactions import interaction_charts, interaction_panels, interactions_figure
from bnn_ablate.report.charts.marginals import Marginal, marginals
from bnn_ablate.report.charts.waterfall import waterfall_chart, waterfall_figure
from bnn_ablate.report.stats.student import Mean
from bnn_ablate.report.tables import make_table

#: Student's t of 12 degrees of freedom, from a printed table: two-sided 95 % and 90 %.
T95, T90 = 2.179, 1.782
MINUS = "\N{MINUS SIGN}"


def test_an_effect_is_a_point_with_two_intervals_on_a_row_of_its_own() -> None:
    axes = effects_figure([effect("scaling=none>xnor", 0.4), effect("grad=ste>ede", -1.0)], margin=0.5).axes[0]
    points = lines_of(axes, marker="o")
    assert points == [[(0.4, 1)], [(-1.0, 3)]]  # rows 0 and 2 are the headings of the two axes
    wide, narrow = lines_of(axes, linewidth=1.0)[0], lines_of(axes, linewidth=3.0)[0]
    assert [x for x, _ in wide] == pytest.approx([0.4 - T95 * 0.5, 0.4 + T95 * 0.5], abs=1e-3)
    assert [x for x, _ in narrow] == pytest.approx([0.4 - T90 * 0.5, 0.4 + T90 * 0.5], abs=1e-3)
    assert {y for _, y in (*wide, *narrow)} == {1}


def test_the_margin_is_a_band_around_zero() -> None:
    axes = effects_figure([effect("scaling=none>xnor", 0.4)], margin=0.7).axes[0]
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == pytest.approx((-0.7, 1.4))
    assert [(0.0, 0.0), (0.0, 1.0)] in lines_of(axes)  # from the bottom to the top of the frame
    assert axes.get_xlim()[0] < -0.7
    assert axes.get_xlim()[1] > 0.4 + T95 * 0.5


def test_axis_change_n_and_finding_stand_beside_the_interval() -> None:
    axes = effects_figure([effect("scaling=none>xnor", 0.4, n=4, finding="difference")], margin=0.5).axes[0]
    assert texts(axes) == ["scaling", "none → xnor", "4", "difference", "n", "finding"]


def test_an_effect_of_single_runs_is_a_hollow_point_without_interval() -> None:
    study = study_of_effects({"scaling": ("none", "xnor")}, [effect("scaling=none>xnor", 0.4, se=None, n=1)])
    axes = effects_figure(study.simple, margin=0.5).axes[0]
    (point,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert point.get_markerfacecolor() == "white"
    assert not lines_of(axes, linewidth=1.0)
    assert effects_charts(study, study.simple)[0].caption == "The margin is ±0.5 points."


def test_a_remark_is_marked_and_told_in_the_caption() -> None:
    one = effect("scaling=none>xnor", 0.4, remarks=("depends on grad: see the simple effects",))
    study = study_of_effects({"scaling": ("none", "xnor")}, [one])
    (chart,) = effects_charts(study, study.simple)
    assert "undecided †" in svg_texts(chart)
    assert chart.caption.endswith("† scaling: none → xnor: depends on grad: see the simple effects.")


def test_more_effects_than_a_page_holds_go_on_in_a_second_chart_and_no_further() -> None:
    many = [effect(f"lr=0>{number}", number) for number in range(1, 121)]
    charts = effects_charts(study_of_effects({"lr": [str(number) for number in range(121)]}, many), many)
    assert [chart.name for chart in charts] == ["s.simple-effects-1", "s.simple-effects-2"]
    shown = [text for chart in charts for text in svg_texts(chart) if text.startswith("0 → ")]
    assert shown == [f"0 → {number}" for number in range(1, len(shown) + 1)]
    assert f"The first {len(shown)} of 120 effects" in charts[0].caption
    # an axis that goes on has its name again
    assert all(svg_texts(chart).count("lr") == 1 for chart in charts)


def test_no_effects_make_no_chart() -> None:
    assert effects_charts(study_of_effects({"scaling": ("none", "xnor")}), []) == []


def test_a_waterfall_leads_from_the_baseline_to_each_change() -> None:
    changes = (effect("scaling=none>xnor", 0.4), effect("grad=ste>ede", -1.0))
    figure = waterfall_figure(Mean(n=3, mean=60.0, half_width=0.8), changes)
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["baseline", "scaling=xnor", "grad=ede"]
    up, down = axes.patches
    assert (up.get_x(), up.get_width(), up.get_hatch()) == (60.0, pytest.approx(0.4), "")
    assert (down.get_x(), down.get_width()) == (60.0, -1.0)
    assert down.get_hatch()  # told apart without colours
    intervals = lines_of(axes, linewidth=1.1)
    assert intervals[0] == [(59.2, 0), (60.8, 0)]
    assert [x for x, _ in intervals[2]] == pytest.approx([59.0 - T95 * 0.5, 59.0 + T95 * 0.5], abs=1e-3)
    assert texts(axes)[:6] == ["60.00 %", "n 3", "+0.40", "undecided", f"{MINUS}1.00", "undecided"]


def test_only_a_study_of_one_change_at_a_time_has_a_waterfall() -> None:
    axes = {"scaling": ("none", "xnor"), "grad": ("ste", "ede")}
    table = table_of({"scaling=none grad=ste": [5, 6], "scaling=xnor grad=ste": [7], "scaling=none grad=ede": [8]})
    changes = [effect("scaling=none>xnor", 15.0)]
    chart = waterfall_chart(table, study_of_effects(axes, changes, one_factor=True))
    assert chart is not None
    assert "scaling=none, grad=ste" in chart.caption
    assert "55.00 %" in svg_texts(chart)  # of 5 and 6 of ten images
    assert waterfall_chart(table, study_of_effects(axes, changes)) is None


def test_a_waterfall_needs_the_baseline() -> None:
    axes = {"scaling": ("none", "xnor"), "grad": ("ste", "ede")}
    table = table_of({"scaling=none grad=ste": ["failed"], "scaling=xnor grad=ste": [7], "scaling=none grad=ede": [8]})
    study = study_of_effects(axes, [effect("scaling=none>xnor", 15.0)], one_factor=True)
    assert waterfall_chart(table, study) is None


#: Of two axes and a third one; images right of ten, so that one is 10 points.
GRID = {
    "scaling=none grad=ste order=post": [4, 6],
    "scaling=none grad=ede order=post": [7, 7],
    "scaling=xnor grad=ste order=post": [8, 8],
    "scaling=xnor grad=ede order=post": [1, 3],
    "scaling=none grad=ste order=pre": [2],
    "scaling=none grad=ede order=pre": [4],
    "scaling=xnor grad=ste order=pre": [6],
}
AXES = {"scaling": ("none", "xnor"), "grad": ("ste", "ede"), "order": ("post", "pre")}
INTERACTION = effect("scaling=none>xnor grad=ste>ede", -8.0, kind="interaction")


def test_means_are_over_the_combinations_of_the_others_that_all_of_them_have() -> None:
    found = marginals(table_of(GRID), study_of_effects(AXES), "scaling", "grad", {})
    assert {pair: mean.mean for pair, mean in found.means.items()} == {
        ("none", "ste"): 50.0,
        ("none", "ede"): 70.0,
        ("xnor", "ste"): 80.0,
        ("xnor", "ede"): pytest.approx(20.0),
    }
    assert (found.kept, found.asked) == (1, 2)  # order=pre lacks xnor with ede
    # a standard deviation of 1 point, two runs: t / sqrt(2)
    assert found.means["none", "ste"].half_width == pytest.approx(T95 / 2**0.5, abs=1e-3)


def test_cells_count_equally_whatever_their_runs() -> None:
    grid = {**GRID, "scaling=xnor grad=ede order=pre": [5]}
    found = marginals(table_of(grid), study_of_effects(AXES), "scaling", "grad", {})
    # (50 + 20) / 2, and a variance of (1/2 + 1/1) / 4
    half = T95 * (1.5 / 4) ** 0.5
    assert found.means["none", "ste"] == Marginal(mean=35.0, half_width=pytest.approx(half, abs=1e-3), n=3)
    assert (found.kept, found.asked) == (2, 2)


def test_means_of_single_runs_have_no_interval() -> None:
    found = marginals(table_of(GRID), study_of_effects(AXES, sd=None, df=0), "scaling", "grad", {})
    assert all(mean.half_width is None for mean in found.means.values())


def test_options_are_found_however_they_are_spelt() -> None:
    cells = [
        cell_of(f"model.width={width} grad={grad}", [right], model={"width": float(width)})
        for width, grad, right in (("1", "ste", 5), ("1.0", "ede", 6), ("0.5", "ste", 7), ("0.5", "ede", 8))
    ]
    study = study_of_effects({"model.width": ("1", "0.5"), "grad": ("ste", "ede")})
    found = marginals(make_table("s", cells), study, "model.width", "grad", {})
    assert {pair: mean.mean for pair, mean in found.means.items()} == {
        ("1", "ste"): 50.0,
        ("1", "ede"): 60.0,
        ("0.5", "ste"): 70.0,
        ("0.5", "ede"): 80.0,
    }


def test_an_interaction_is_a_line_for_each_option() -> None:
    (chart,) = interaction_charts(table_of(GRID), study_of_effects(AXES, [INTERACTION]))
    shown = svg_texts(chart)
    assert {"none", "xnor", "scaling", "grad", "ste", "ede", "top-1, %"} <= set(shown)
    assert f"{MINUS}8.00 [{MINUS}9.09, {MINUS}6.91]: undecided" in shown  # 8 ± 2.179 x 0.5
    assert chart.caption.startswith("Pairs of axes: scaling and grad. scaling and grad: over 1 of 2 combinations")
    assert shown.index("scaling and grad") < shown.index(f"{MINUS}8.00 [{MINUS}9.09, {MINUS}6.91]: undecided")


def test_the_axis_with_more_options_lies_along_x() -> None:
    rights = {("none", "ste"): 1, ("none", "ede"): 2, ("none", "swish"): 3, ("xnor", "ste"): 6, ("xnor", "ede"): 5}
    table = table_of({f"scaling={scaling} grad={grad}": [right] for (scaling, grad), right in rights.items()})
    study = study_of_effects({"scaling": ("none", "xnor"), "grad": ("ste", "ede", "swish")}, [INTERACTION])
    (one,) = interaction_panels(table, study)
    axes = interactions_figure([one]).axes[0]
    assert axes.get_xlabel() == "grad"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["ste", "ede", "swish"]
    none, xnor = (line for line in axes.lines if line.get_linewidth() == 1.2 and line.get_marker() == "None")
    assert list(none.get_ydata()) == [10.0, 20.0, 30.0]
    assert list(xnor.get_ydata()) == [60.0, 50.0]  # and no cell beside swish
    assert [round(float(x)) for x in none.get_xdata()] == [0, 1, 2]
    # side by side, so that intervals can be told apart
    assert none.get_xdata()[0] < 0 < xnor.get_xdata()[0]


def test_pairs_of_axes_without_an_estimate_or_cells_have_no_panel() -> None:
    assert interaction_charts(table_of(GRID), study_of_effects(AXES)) == []
    nothing = {words: ["failed"] for words in GRID}
    assert interaction_charts(table_of(nothing), study_of_effects(AXES, [INTERACTION])) == []


def test_names_are_shown_as_they_are_and_never_interpreted() -> None:
    one = effect("scaling=none>xnor", 0.4)
    hostile = type(one)(**{**vars(one), "axes": (HOSTILE,), "after": (HOSTILE,), "finding": HOSTILE})
    study = study_of_effects({"scaling": ("none", "xnor")})
    for chart in (
        *effects_charts(study, [hostile]),
        waterfall_chart(
            table_of({"scaling=none": [5], "scaling=xnor": [6]}),
            study_of_effects({"scaling": ("none", "xnor")}, [hostile]),
        ),
    ):
        assert chart is not None
        shown = svg_texts(chart)
        assert any(text.startswith("<script>") for text in shown)
        assert any("…" in text for text in shown)
        assert b"<script" not in chart.svg
