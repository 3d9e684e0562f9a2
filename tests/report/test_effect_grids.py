"""Effects as tables: signs, intervals, costs, and what is left out with its reason."""

from __future__ import annotations

import csv
import io

import pytest
from effect_factories import declare, effects_by, study_of, table_of

from bnn_ablate.report.effects.grids import effect_grids, interaction_grid, main_grid, model_note, simple_grid
from bnn_ablate.report.effects.signed import change, points, rate, signed
from bnn_ablate.report.effects.values import CostChange, Effect, StudyEffects
from bnn_ablate.report.grid import Entry, Grid, Page, Section
from bnn_ablate.report.into import with_tables
from bnn_ablate.report.site.page import to_html
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.writers.csv import to_csv
from bnn_ablate.report.writers.latex import to_latex
from bnn_ablate.report.writers.markdown import to_markdown


def an_effect(**changes) -> Effect:
    values = {
        "kind": "simple",
        "axes": ("scaling",),
        "before": ("none",),
        "after": ("xnor",),
        "at": {"grad": "ste"},
        # t(4) at 0.975 is 2.776, at 0.95 it is 2.132
        "estimate": Estimate(value=-1.0, se=0.5, df=4, n=3),
        "with_images": Estimate(value=-1.0, se=0.6, df=4, n=3),
        "p": 0.116,
        "p_holm": 0.232,
        "finding": "undecided",
        "cost": CostChange(mib=0.5, macs=-2e6, latency_ms=None),
    }
    return Effect(**{**values, **changes})


def effects_with(*simple: Effect, **changes) -> StudyEffects:
    values = {
        "study": "s",
        "axes": {"scaling": ("none", "xnor"), "grad": ("ste", "approxsign")},
        "baseline": {"scaling": "none", "grad": "ste"},
        "margin": 0.5,
        "declared": None,
        "planned": 3,
        "sd": 0.612,
        "df": 4,
        "one_factor": False,
        "simple": simple,
        "main": (),
        "interactions": (),
        "notes": ("A note.",),
    }
    return StudyEffects(**{**values, **changes})


def row_of(grid: Grid, number: int = 0) -> dict[str, Entry]:
    return {column.key: entry for column, entry in zip(grid.columns, grid.rows[number], strict=True)}


def test_a_simple_effect_is_a_row_with_its_intervals_and_costs() -> None:
    row = row_of(simple_grid(effects_with(an_effect())))
    assert {key: entry.text for key, entry in row.items()} == {
        "axis": "scaling",
        "change": "none to xnor",
        "points": "-1.00",
        "interval_95": "-2.39 to +0.39",
        "interval_95_low": "-2.39",
        "interval_95_high": "+0.39",
        "interval_90": "-2.07 to +0.07",
        "interval_90_low": "-2.07",
        "interval_90_high": "+0.07",
        "p": "0.116",
        "p_holm": "0.232",
        "n": "3",
        "finding": "undecided",
        "interval_95_with_images": "-2.67 to +0.67",
        "interval_95_with_images_low": "-2.67",
        "interval_95_with_images_high": "+0.67",
        "se": "0.50",
        "df": "4",
        "mib_change": "+0.500",
        "macs_change_million": "-2.00",
        "latency_change_ms": "—",
        "points_per_mib": "-2.00",
        "points_per_million_macs": "+0.500",
        "points_per_ms": "—",
    }
    assert row["change"].more == "grad=ste"
    assert row["points"].value == -1.0
    assert row["points_per_mib"].value == -2.0


def test_the_interval_with_images_is_told_only_where_it_is_wider_by_a_tenth() -> None:
    hardly = an_effect(with_images=Estimate(value=-1.0, se=0.54, df=4, n=3))
    row = row_of(simple_grid(effects_with(hardly)))
    assert row["interval_95_with_images"].text == "as over seeds"
    # the CSV has it all the same: -1 -+ 2.776 x 0.54
    assert row["interval_95_with_images_low"].value == pytest.approx(-2.499, abs=1e-3)
    assert row_of(simple_grid(effects_with(an_effect(with_images=None))))["interval_95_with_images"].text == "—"


def test_programs_read_the_ends_of_intervals_as_numbers_and_people_one_text() -> None:
    grid = simple_grid(effects_with(an_effect()))
    (row,) = csv.DictReader(io.StringIO(to_csv(grid)))
    assert float(row["interval_95_low"]) == pytest.approx(-2.388, abs=1e-3)
    assert float(row["interval_95_high"]) == pytest.approx(0.388, abs=1e-3)
    assert float(row["interval_90_low"]) == pytest.approx(-2.066, abs=1e-3)
    assert float(row["interval_95_with_images_high"]) == pytest.approx(0.666, abs=1e-3)
    assert "interval_95" not in row
    page = to_html(Page(title="t", made_of="", sections=(Section(anchor="a", title="t", parts=(grid,)),)))
    for text in (to_markdown(grid), to_latex(grid), page):
        assert "-2.39 to +0.39" in text.replace("{}", "")
        assert "interval, low" not in text
    assert 'data-key="interval_95"' in page
    assert "interval_95_low" not in page


def test_an_end_of_an_interval_that_a_page_asks_for_stands_in_it() -> None:
    grids = {"s.effects": simple_grid(effects_with(an_effect()))}
    marker = "<!-- table s.effects columns=interval_95_low,interval_95 -->\n<!-- /table -->\n"
    assert "| -2.39 | -2.39 to +0.39 |" in " ".join(with_tables(marker, grids, "README.md").split())


def test_a_smoke_test_says_so_before_anything_else() -> None:
    main = an_effect(kind="main", at={}, cost=None, over=2)
    for grid in effect_grids(effects_with(an_effect(), main=(main,), warnings=("A smoke test.",))):
        assert grid.notes[0] == "A smoke test."


def test_an_interim_effect_is_toned_as_undecided() -> None:
    row = row_of(simple_grid(effects_with(an_effect(finding="interim, 2 of 8 seeds", p_holm=None))))
    assert (row["finding"].text, row["finding"].tone) == ("interim, 2 of 8 seeds", "undecided")


def test_what_does_not_change_a_cost_has_no_rate() -> None:
    free = an_effect(cost=CostChange(mib=0.0, macs=0.0, latency_ms=0.25, latency_place="kernel avx2"))
    grid = simple_grid(effects_with(free))
    row = row_of(grid)
    assert [row[key].text for key in ("mib_change", "points_per_mib", "points_per_million_macs")] == ["no change"] * 3
    assert row["points_per_ms"].text == "-4.00"
    assert "packed ms: kernel avx2." in grid.notes


def test_fewer_runs_than_declared_and_added_seeds_show_behind_n() -> None:
    def n(effect: Effect) -> str:
        return row_of(simple_grid(effects_with(effect)))["n"].text

    assert n(an_effect(estimate=Estimate(value=1.0, se=0.5, df=4, n=2))) == "2 of 3"
    assert n(an_effect(estimate=Estimate(value=1.0, se=0.5, df=4, n=5), added_seeds=(3, 4))) == "5+"


def test_remarks_stand_behind_the_finding() -> None:
    row = row_of(simple_grid(effects_with(an_effect(remarks=("among survivors",)))))
    assert (row["finding"].text, row["finding"].value) == ("undecided; among survivors", "undecided")


def test_without_an_interval_dashes_stand_in_its_place() -> None:
    single = an_effect(
        estimate=Estimate(value=0.001, se=None, df=None, n=1),
        with_images=None,
        p=None,
        p_holm=None,
        finding="no interval",
    )
    row = row_of(simple_grid(effects_with(single, sd=None, df=0)))
    assert row["points"].text == "0.00"
    assert {row[key].text for key in ("interval_95", "interval_90", "p", "p_holm", "se", "df")} == {"—"}
    assert row["interval_95"].value is None


def test_the_model_is_told_in_a_sentence_with_its_spread() -> None:
    assert "(pooled standard deviation, 4 degrees of freedom)" in model_note(effects_with())
    assert "chance moves a run by 0.61 points" in model_note(effects_with())
    assert model_note(effects_with(sd=None, df=0)).endswith("; how far chance moves a run these runs cannot tell.")


def test_notes_of_the_effects_stand_below_the_first_table() -> None:
    grid = simple_grid(effects_with(an_effect()))
    assert grid.notes[-1] == "A note."
    assert grid.above == "From the baseline (scaling=none, grad=ste), in points of top-1."


def test_means_and_interactions_have_tables_of_their_own() -> None:
    main = an_effect(kind="main", at={}, cost=None, over=2)
    both = an_effect(
        kind="interaction", axes=("scaling", "grad"), before=("none", "ste"), after=("xnor", "approxsign"), cost=None
    )
    effects = effects_with(an_effect(), main=(main,), interactions=(both,))
    assert [grid.name for grid in effect_grids(effects)] == ["s.effects", "s.main-effects", "s.interactions"]
    assert row_of(main_grid(effects))["over"].text == "2"
    row = row_of(interaction_grid(effects))
    assert (row["axes"].text, row["changes"].text) == ("scaling x grad", "none to xnor, ste to approxsign")
    assert [grid.name for grid in effect_grids(effects_with(an_effect()))] == ["s.effects"]


@pytest.mark.parametrize(
    ("value", "text"), [(1.234, "+1.23"), (-0.05, "-0.05"), (0.004, "0.00"), (-0.004, "0.00"), (0.0, "0.00")]
)
def test_points_have_their_sign_and_nothing_has_none(value: float, text: str) -> None:
    assert points(value) == text


def test_changes_of_costs_have_signs_and_three_digits() -> None:
    assert [signed(value) for value in (0.07123, -1234.5, 0.0)] == ["+0.0712", "-1234", "0"]
    assert change(None).text == "—"
    assert change(0.0) == Entry(text="no change", value=0.0)
    assert rate(1.0, 0.5).text == "+2.00"


def test_small_p_values_are_told_to_be_small() -> None:
    row = row_of(simple_grid(effects_with(an_effect(p=0.0004, p_holm=0.0012))))
    assert (row["p"].text, row["p"].value, row["p_holm"].text) == ("< 0.001", 0.0004, "0.001")


def test_the_effects_of_a_study_become_tables() -> None:
    cells = {"scaling=none": [5, 6, 7], "scaling=xnor": [6, 8, 8]}
    effects = effects_by(table_of(cells), study_of(declare({"scaling": "none"})))
    assert effects is not None
    (grid,) = effect_grids(effects)
    assert row_of(grid)["points"].text == "+13.33"
    assert row_of(grid)["mib_change"].text == "no change"
