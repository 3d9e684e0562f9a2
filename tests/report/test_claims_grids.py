"""The claims as tables: every row can be read without colour, traced, and acted upon."""

from __future__ import annotations

from claims_factories import BASE, claims_of, declaration, judged, plus, put_cells

from bnn_ablate.report.claims.grids import brief_grid, claims_section, lines_grid
from bnn_ablate.report.grid import Grid


def texts(grid: Grid, row: int = 0) -> dict[str, str]:
    return {column.key: entry.text for column, entry in zip(grid.columns, grid.rows[row], strict=True)}


def test_a_row_of_a_contrast_has_effect_interval_verdict_scope_and_what_is_next(tmp_path):
    put_cells(
        tmp_path, {"scaling=none": BASE, "scaling=xnor": plus(3.1, 2.9, 3.0, 3.0)}, declared=declaration(range(4))
    )
    says = {"says": "it brings nothing", "source": "a page", "confidence": "memory"}
    one = judged(tmp_path, claims_of(tmp_path, {"published_for": [says]}))
    grid = lines_grid([one])
    shown = texts(grid)
    assert shown["effect_points"] == "+3.00"
    assert shown["half_width_95"] == "0.13"  # t(3, 0.975) = 3.182 times sqrt(0.02 / 3) / 2
    assert (shown["n"], shown["verdict"], shown["study"]) == ("4", "contradicted", "grid")
    assert shown["because"].startswith("the 95 % interval")
    assert (shown["published_for"], shown["published_against"]) == ("it brings nothing", "none found")
    column = [column.key for column in grid.columns].index("published_for")
    assert grid.rows[0][column].mark == "m"
    assert any(note.startswith("m: recalled") for note in grid.notes)

    missing = texts(grid, 1)
    assert (missing["verdict"], missing["effect_points"], missing["study"]) == ("not run", "—", "—")
    assert missing["next"] == "python -m bnn_ablate +sweeps=scaling_cifar10"


def test_no_entry_is_empty_and_every_tone_is_a_word_too(tmp_path):
    put_cells(tmp_path, {"scaling=none": BASE, "scaling=xnor": plus(3.1, 2.9, 3.0, 3.0)})
    section = claims_section([judged(tmp_path, claims_of(tmp_path, {}))], ["Detection: no axis yet."])
    for grid in section.parts:
        assert isinstance(grid, Grid)
        for row in grid.rows:
            assert all(entry.text for entry in row)
            assert all(entry.text.startswith(entry.tone) for entry in row)


def test_the_brief_table_has_a_row_a_claim_and_says_what_is_left_out(tmp_path):
    put_cells(tmp_path, {"scaling=none": BASE, "scaling=xnor": plus(3.1, 2.9, 3.0, 3.0)})
    grid = brief_grid(
        [judged(tmp_path, claims_of(tmp_path, {}, notes=["mind the order"]))], ["Detection: no axis yet."]
    )
    shown = texts(grid)
    assert (shown["claim"], shown["statement"]) == ("1", "It brings nothing.")
    assert (shown["paper_verdict"], shown["elsewhere_verdict"]) == ("not run", "contradicted")
    assert shown["counts"] == "grid: contradicted 1"
    assert grid.notes[:2] == ("claim 1: mind the order", "Detection: no axis yet.")


def test_the_same_records_give_the_same_tables(tmp_path):
    put_cells(tmp_path, {"scaling=none": BASE, "scaling=xnor": plus(1.0, 0.2, 0.3, -0.4)})
    claims = claims_of(tmp_path, {})
    assert claims_section([judged(tmp_path, claims)], []) == claims_section([judged(tmp_path, claims)], [])


def test_a_claim_never_holds_by_a_part_of_it_without_saying_so(tmp_path):
    put_cells(tmp_path, {"scaling=none": BASE, "scaling=xnor": plus(0.1, -0.1, 0.0, 0.0)})
    other = {"name": "channel", "after": {"scaling": "channel"}}
    column = [column.key for column in brief_grid([], []).columns].index("elsewhere_verdict")
    for contrasts, text in (({},), "holds"), (({}, other), "holds (1 of 2 contrasts)"):
        entry = brief_grid([judged(tmp_path, claims_of(tmp_path, *contrasts))], []).rows[0][column]
        assert (entry.text, entry.value, entry.tone) == (text, text, "holds")
