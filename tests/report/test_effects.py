"""Effects of a study: simple ones from the declared baseline, means and interactions, all from one model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from effect_factories import cell_of, declare, effects_by, study_of, table_of
from factories import make_packed, make_record

from bnn_ablate.report.effects import estimates as effect_estimates
from bnn_ablate.report.effects.values import Effect, StudyEffects
from bnn_ablate.report.tables import Table, make_table
from bnn_ablate.study import Study

#: Images right of ten by seed, so that one is 10 points.
GRID = {
    "scaling=none grad=ste": [5, 6, 7],
    "scaling=none grad=approxsign": [6, 7, 8],
    "scaling=xnor grad=ste": [6, 8, 8],
    "scaling=xnor grad=approxsign": [4, 4, 5],
}


def effects_of(table: Table, study: Study | None = None) -> StudyEffects:
    effects = effects_by(table, study)
    assert effects is not None
    return effects


def values(effects: tuple[Effect, ...]) -> dict[str, float]:
    """Points by change, ``scaling=none>xnor``."""
    named = {}
    for effect in effects:
        changes = zip(effect.axes, effect.before, effect.after, strict=True)
        named[" ".join(f"{axis}={a}>{b}" for axis, a, b in changes)] = round(effect.estimate.value, 6)
    return named


def test_a_simple_effect_is_one_change_from_the_first_cell() -> None:
    effects = effects_of(table_of(GRID))
    assert effects.baseline == {"scaling": "none", "grad": "ste"}
    # means 60, 70; 73.33, 43.33
    assert values(effects.simple) == {"scaling=none>xnor": 13.333333, "grad=ste>approxsign": 10.0}
    assert effects.simple[0].at == {"grad": "ste"}


def test_effects_start_from_the_declared_baseline() -> None:
    effects = effects_of(table_of(GRID), study_of(declare({"grad": "approxsign"})))
    assert effects.baseline == {"scaling": "none", "grad": "approxsign"}
    assert values(effects.simple) == {"scaling=none>xnor": -26.666667, "grad=approxsign>ste": -10.0}


def test_a_declared_number_is_found_however_it_is_spelt() -> None:
    widths = {0.5: 5, 1.0: 6}
    cells = [
        cell_of(f"model.width={width}", [right, right + 1], model={"width": width}) for width, right in widths.items()
    ]
    effects = effects_of(make_table("s", cells), study_of(declare({"model.width": "1"})))
    assert effects.baseline == {"model.width": "1.0"}
    assert values(effects.simple) == {"model.width=1.0>0.5": -10.0}


def test_a_main_effect_is_the_mean_over_the_other_axis_and_an_interaction_the_difference_of_differences() -> None:
    effects = effects_of(table_of(GRID))
    # scaling: 13.33 and -26.67; grad: 10 and -30
    assert values(effects.main) == {"scaling=none>xnor": -6.666667, "grad=ste>approxsign": -10.0}
    assert values(effects.interactions) == {"scaling=none>xnor grad=ste>approxsign": -40.0}
    assert [effect.over for effect in (*effects.main, *effects.interactions)] == [2, 2, 1]
    assert all(effect.at == {} for effect in (*effects.main, *effects.interactions))


def test_a_main_effect_that_hides_an_interaction_says_so() -> None:
    effects = effects_of(table_of(GRID))
    assert effects.interactions[0].p_holm is not None
    assert effects.interactions[0].p_holm < 0.05
    assert effects.main[0].remarks == ("depends on grad: see the simple effects",)
    assert effects.main[1].remarks == ("depends on scaling: see the simple effects",)
    assert any(note.startswith("scaling x grad: an interaction") for note in effects.notes)


def test_without_an_interaction_nothing_is_said_to_hide_one() -> None:
    parallel = {**GRID, "scaling=xnor grad=approxsign": [7, 9, 9]}
    effects = effects_of(table_of(parallel))
    assert all(effect.remarks == () for effect in effects.main)


def reference(table: Table, weights: dict[int, float]) -> tuple[float, float, float]:
    """Value, standard error and degrees of freedom by statsmodels: a column a cell and a column a seed but one."""
    from statsmodels.regression.linear_model import OLS

    runs = [(place, record) for place, cell in enumerate(table.cells) for record in cell.records]
    cells = sorted({place for place, _ in runs})
    seeds = sorted({record.seed for _, record in runs})
    design = np.array(
        [[*(place == cell for cell in cells), *(record.seed == seed for seed in seeds[1:])] for place, record in runs],
        dtype=float,
    )
    fitted = OLS(np.array([100 * record.accuracy.top1 for _, record in runs]), design).fit()
    row = np.array([*(weights.get(cell, 0.0) for cell in cells), *(0.0 for _ in seeds[1:])])
    tested = fitted.t_test(row)
    return float(tested.effect[0]), float(tested.sd[0, 0]), float(fitted.df_resid)


def test_an_unbalanced_grid_gives_what_statsmodels_gives() -> None:
    table = table_of(
        {
            "scaling=none grad=ste": [5, 6, None, 8],
            "scaling=none grad=approxsign": [6, None, 8, 9],
            "scaling=xnor grad=ste": ["failed", 8, 8, 7],
            "scaling=xnor grad=approxsign": [4, 4, 5, "diverged"],
            "scaling=learned grad=ste": [3, 4, 6, 9],
        }
    )
    effects = effects_of(table)
    expected = {
        ("scaling=none>xnor"): {2: 1.0, 0: -1.0},
        ("scaling=none>learned"): {4: 1.0, 0: -1.0},
        ("grad=ste>approxsign"): {1: 1.0, 0: -1.0},
    }
    found = dict(zip(values(effects.simple), effects.simple, strict=True))
    assert set(found) == set(expected)
    for name, weights in expected.items():
        estimate = found[name].estimate
        assert (estimate.value, estimate.se, estimate.df) == pytest.approx(reference(table, weights))
    (interaction,) = effects.interactions
    assert (interaction.estimate.value, interaction.estimate.se, interaction.estimate.df) == pytest.approx(
        reference(table, {3: 1.0, 2: -1.0, 1: -1.0, 0: 1.0})
    )


def test_a_main_effect_takes_only_combinations_that_have_all_options_of_its_axis() -> None:
    table = table_of(
        {
            "scaling=none grad=ste": [5, 6],
            "scaling=xnor grad=ste": [6, 8],
            "scaling=none grad=approxsign": [6, 7],
            "scaling=xnor grad=approxsign": [4, 4],
            "scaling=none grad=ede": [1, 2],
            "scaling=xnor grad=ede": ["failed", None],
        }
    )
    effects = effects_of(table)
    # scaling over ste (+15) and approxsign (-25), not over ede; grad over none alone, which its simple effects are
    assert values(effects.main) == {"scaling=none>xnor": -5.0}
    assert effects.main[0].over == 2


def test_an_interaction_is_averaged_over_the_third_axis() -> None:
    table = table_of(
        {
            f"scaling={scaling} grad={grad} order={order}": [right, right + 1]
            for (scaling, grad, order), right in {
                ("none", "ste", "post"): 3,
                ("none", "ste", "pre"): 2,
                ("none", "approxsign", "post"): 4,
                ("none", "approxsign", "pre"): 5,
                ("xnor", "ste", "post"): 5,
                ("xnor", "ste", "pre"): 3,
                ("xnor", "approxsign", "post"): 8,
                ("xnor", "approxsign", "pre"): 7,
            }.items()
        }
    )
    found = values(effects_of(table).interactions)
    # post: 8 - 5 - 4 + 3 = 2; pre: 7 - 3 - 5 + 2 = 1; in images of 10 points
    assert found["scaling=none>xnor grad=ste>approxsign"] == 15.0
    # ste: 3 - 5 - 2 + 3 = -1; approxsign: 7 - 8 - 5 + 4 = -2
    assert found["scaling=none>xnor order=post>pre"] == -15.0


def test_holm_adjusts_each_kind_of_effect_by_itself() -> None:
    from statsmodels.stats.multitest import multipletests

    effects = effects_of(table_of({**GRID, "scaling=learned grad=ste": [5, 5, 6]}))
    for family in (effects.simple, effects.main, effects.interactions):
        p_values = [effect.p for effect in family]
        assert [effect.p_holm for effect in family] == pytest.approx(multipletests(p_values, method="holm")[1].tolist())
    assert len(effects.simple) == 3


def test_an_identity_check_stands_in_no_family_and_gets_no_finding() -> None:
    cells = {
        "scaling=none grad=ste": [5, 6, 7],
        "scaling=channel grad=ste": [9, 9, 10],
        "scaling=none grad=approxsign": [6, 7, 7],
    }
    effects = effects_of(table_of(cells, order="post"))
    check, treatment = effects.simple
    assert check.finding == "identity check"
    assert (check.p_holm, check.p is not None) == (None, True)
    assert treatment.p_holm == treatment.p  # a family of one
    assert any(note.startswith("identity check: ") for note in effects.notes)


def test_the_same_change_is_a_treatment_where_no_batch_norm_follows() -> None:
    cells = {"scaling=none": [5, 6, 7], "scaling=channel": [9, 9, 10]}
    (effect,) = effects_of(table_of(cells, order="pre")).simple
    assert effect.finding != "identity check"
    assert effect.p_holm is not None
    (dense,) = effects_of(table_of(cells, order="pre", model={"family": "binary_densenet"})).simple
    assert dense.finding == "identity check"
    (from_xnor,) = effects_of(table_of({"scaling=xnor": [5, 6, 7], "scaling=channel": [9, 9, 10]}, order="post")).simple
    assert from_xnor.finding != "identity check"


def test_a_mean_over_both_block_orders_is_in_part_an_identity_check() -> None:
    cells = {
        "scaling=none order=post": [5, 6, 7],
        "scaling=channel order=post": [5, 7, 7],
        "scaling=none order=pre": [5, 6, 7],
        "scaling=channel order=pre": [7, 7, 8],
    }
    effects = effects_of(table_of(cells))
    assert effects.simple[0].finding == "identity check"
    assert effects.main[0].remarks[0] == "in part an identity check"
    assert effects.main[0].p_holm is not None


def test_one_seed_gives_values_without_interval_or_finding() -> None:
    effects = effects_of(table_of({words: runs[:1] for words, runs in GRID.items()}))
    assert values(effects.simple) == {"scaling=none>xnor": 10.0, "grad=ste>approxsign": 10.0}
    assert {(effect.estimate.se, effect.p, effect.finding) for effect in effects.simple} == {
        (None, None, "no interval")
    }
    assert (effects.sd, effects.df) == (None, 0)


def test_a_single_run_beside_full_cells_has_no_interval_either() -> None:
    effects = effects_of(table_of({**GRID, "scaling=xnor grad=ste": [6, None, None]}))
    by_axis = {effect.axes[0]: effect for effect in effects.simple}
    assert by_axis["scaling"].finding == "no interval"
    assert by_axis["grad"].estimate.se is not None
    assert by_axis["grad"].p_holm == by_axis["grad"].p
    assert "An effect of which one cell has a single run has no interval and no finding." in effects.notes
    # the means over the other axis and the interaction have that cell as well
    assert {(one.estimate.se, one.p, one.finding) for one in (*effects.main, *effects.interactions)} == {
        (None, None, "no interval")
    }


def test_one_factor_studies_are_known_by_their_cells() -> None:
    star = {
        "scaling=none grad=ste order=post": [5, 6],
        "scaling=xnor grad=ste order=post": [6, 7],
        "scaling=none grad=ste order=pre": [4, 6],
        "scaling=none grad=approxsign order=post": [7, 7],
    }
    effects = effects_of(table_of(star))
    assert effects.one_factor
    assert list(values(effects.simple)) == ["scaling=none>xnor", "order=post>pre", "grad=ste>approxsign"]
    assert (effects.main, effects.interactions) == ((), ())
    assert not effects_of(table_of(GRID)).one_factor
    assert not effects_of(table_of({"scaling=none": [5, 6], "scaling=xnor": [6, 7]})).one_factor


def test_rows_without_a_difference_have_no_effects() -> None:
    assert effects_by(table_of({"scaling=none": [5, 6]}), None) is None


def test_a_study_of_which_nothing_has_run_has_no_effects_yet() -> None:
    effects = effects_of(table_of({"scaling=none": [None], "scaling=xnor": [None]}))
    assert (effects.simple, effects.main, effects.interactions, effects.sd) == ((), (), (), None)


def test_costs_are_the_option_s_less_the_baseline_s_in_one_place() -> None:
    quick, slow = make_packed(latency_ms=[2.0]), make_packed(latency_ms=[5.0])
    elsewhere = make_packed(latency_ms=[1.0], cpu="another CPU")

    def cell(scaling: str, packed, **cost):
        record = make_record(scaling=scaling)
        return [replace(record, packed=packed, cost=replace(record.cost, **cost))]

    table = table_of(
        {
            "scaling=none": cell("none", quick, size_bits=8 * 2**20, macs_float=1_000_000, macs_binary=64),
            "scaling=xnor": cell("xnor", slow, size_bits=12 * 2**20, macs_float=900_000, macs_binary=128),
            "scaling=learned": cell("learned", elsewhere, size_bits=8 * 2**20, macs_float=1_000_000, macs_binary=64),
        }
    )
    xnor, learned = (effect.cost for effect in effects_of(table).simple)
    assert xnor is not None
    assert learned is not None
    assert (xnor.mib, xnor.macs, xnor.latency_ms) == (0.5, -99_999.0, 3.0)
    assert xnor.latency_place == "kernel avx512, 1 thread, some CPU"
    assert (learned.mib, learned.macs, learned.latency_ms, learned.latency_place) == (0.0, 0.0, None, None)


def test_test_images_widen_the_interval_and_are_left_out_where_seeds_had_different_ones() -> None:
    both = effects_of(table_of(GRID)).simple[0]
    assert both.with_images is not None
    assert both.with_images.se is not None
    assert both.estimate.se is not None
    assert both.with_images.value == both.estimate.value
    assert both.with_images.se >= both.estimate.se
    cells = {}
    for words, (first, second, third) in GRID.items():
        settings = dict(word.split("=") for word in words.split())
        record = make_record(seed=2, correct=third, **settings)
        cells[words] = [first, second, replace(record, data=replace(record.data, checksum="e" * 64))]
    effects = effects_of(table_of(cells))
    assert values(effects.simple) == {"scaling=none>xnor": 13.333333, "grad=ste>approxsign": 10.0}
    assert effects.simple[0].with_images is None
    assert "The runs were not all tested on the same images: intervals are over seeds only." in effects.notes


def test_studies_of_very_many_runs_go_without_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effect_estimates, "MOST_RUNS", 11)
    effects = effects_of(table_of(GRID))
    assert all(effect.with_images is None and effect.estimate.se is not None for effect in effects.simple)
    assert "More than 11 runs: intervals are over seeds, and the spread is not checked." in effects.notes
