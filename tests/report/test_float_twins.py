"""Binary networks beside the same networks in floats, wherever both were run."""

from __future__ import annotations

from typing import Any

import pytest
from effect_factories import cell_of, table_of
from scipy.stats import ttest_rel
from statsmodels.stats.multitest import multipletests

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.twins import gap_grid, gaps
from bnn_ablate.report.grid import Entry, Grid
from bnn_ablate.report.tables import Table, make_table

BINARY: dict[str, Any] = {
    "weights": {"name": "sign"},
    "activations": {"name": "sign", "function": None},
    "padding": {"name": "minus_one", "side": "symmetric"},
}
FLOAT: dict[str, Any] = {
    "weights": {"name": "float"},
    "activations": {"name": "float", "function": "relu"},
    "padding": {"name": "zero", "side": "symmetric"},
}


def table(name: str, *cells: Cell) -> Table:
    return make_table(name, cells)


def rows_of(grid: Grid | None) -> list[dict[str, Entry]]:
    assert grid is not None
    return [{column.key: entry for column, entry in zip(grid.columns, row, strict=True)} for row in grid.rows]


def test_a_gap_is_binary_less_float_of_the_same_network_in_another_study() -> None:
    studies = [
        table("a", cell_of("order=post", [5, 6, 8], **BINARY), cell_of("order=pre", [4, 4, 4], **BINARY)),
        table("b", cell_of("order=post", [9, 9, 10], **FLOAT)),
    ]
    (row,) = rows_of(gap_grid(studies))
    assert [row[key].text for key in ("binary_top1_percent", "float_top1_percent", "gap_points", "n")] == [
        *("63.33", "93.33", "-30.00", "3")
    ]
    expected = ttest_rel([50, 60, 80], [90, 90, 100]).confidence_interval(0.95)
    assert row["interval_95"].text == f"{expected.low:.2f} to {expected.high:.2f}"


def test_each_binary_cell_has_a_row_with_what_tells_them_apart() -> None:
    studies = [
        table("a", *(cell_of(f"scaling={name}", [5, 6], **BINARY) for name in ("none", "xnor"))),
        table("b", cell_of("", [9, 9], **FLOAT)),
    ]
    grid = gap_grid(studies)
    assert [row["scaling"].text for row in rows_of(grid)] == ["none", "xnor"]
    assert grid is not None
    assert "order=post" in grid.above


def test_the_gradient_and_the_border_of_a_binary_network_have_no_part_in_the_pairing() -> None:
    binary = cell_of("", [5, 6], **{**BINARY, "grad": {"name": "approxsign", "clip": 1.0}, "latent": "clamped"})
    assert len(gaps([table("a", binary), table("b", cell_of("", [9, 9], **{**FLOAT, "latent": "free"}))])) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"order": "pre"},
        {"recipe": {"epochs": 20}},
        {"model": {"width": 0.5}},
        {"data": {"image_size": 32}},
        {"padding": {"name": "zero", "side": "same"}},
    ],
)
def test_networks_that_differ_in_more_are_no_twins(changes: dict[str, Any]) -> None:
    studies = [table("a", cell_of("", [5, 6], **BINARY)), table("b", cell_of("", [9, 9], **{**FLOAT, **changes}))]
    assert gap_grid(studies) is None


def test_names_of_sizes_and_recipes_do_not_matter_where_their_values_are_equal() -> None:
    named = {**FLOAT, "model": {"name": "my_net"}, "recipe": {"name": "my_recipe"}}
    assert len(gaps([table("a", cell_of("", [5, 6], **BINARY)), table("b", cell_of("", [9, 9], **named))])) == 1


def test_a_network_with_one_of_both_in_floats_is_neither_binary_nor_a_twin() -> None:
    mixed = {**BINARY, "activations": {"name": "float", "function": "relu"}}
    assert gap_grid([table("a", cell_of("", [5, 6], **mixed)), table("b", cell_of("", [9, 9], **FLOAT))]) is None
    assert gap_grid([table("a", cell_of("", [5, 6], **mixed)), table("b", cell_of("", [5, 5], **BINARY))]) is None


def test_twins_of_several_functions_have_a_row_each() -> None:
    clipped = {**FLOAT, "activations": {"name": "float", "function": "clip"}}
    studies = [
        table("a", cell_of("", [5, 6], **BINARY)),
        table("b", cell_of("", [9, 9], **FLOAT), cell_of("", [8, 8], **clipped)),
    ]
    assert [row["float_function"].text for row in rows_of(gap_grid(studies))] == ["relu", "clip"]


def test_a_cell_of_two_studies_stands_once_with_the_runs_of_both() -> None:
    two, three = cell_of("", [5, 6], **BINARY), cell_of("", [5, 6, 8], **BINARY)
    studies = [table("a", two), table("b", three), table("c", cell_of("", [9, 9, 9], **FLOAT))]
    (row,) = rows_of(gap_grid(studies))
    assert row["binary_top1_percent"].text == "63.33"


def test_cells_that_share_no_seed_have_means_and_no_gap() -> None:
    studies = [
        table("a", cell_of("", [5, None], **BINARY)),
        table("b", cell_of("", [None, 9], **FLOAT)),
    ]
    grid = gap_grid(studies)
    (row,) = rows_of(grid)
    assert (row["float_top1_percent"].text, row["gap_points"].text, row["gap_points"].value) == ("90.00", "—", None)
    assert grid is not None
    assert "1 without a gap: the two have no seed in common." in grid.notes


def test_without_a_result_on_both_sides_there_is_no_table() -> None:
    assert gap_grid([]) is None
    assert gap_grid([table_of({"": [5, 6]}, **BINARY), table_of({"": ["failed"]}, **FLOAT)]) is None


def test_a_pretrained_network_is_compared_with_the_twin_of_its_function_where_there_is_one() -> None:
    clipped = {**FLOAT, "activations": {"name": "float", "function": "clip"}}
    binary = [cell_of(f"pretrain={name}", [5, 6], **BINARY) for name in ("none", "relu", "leaky_clip")]
    floats = table("b", cell_of("", [9, 9], **FLOAT), cell_of("", [8, 8], **clipped))
    rows = rows_of(gap_grid([table("a", *binary), floats]))
    assert [(row["pretrain"].text, row["float_function"].text) for row in rows] == [
        *(("none", "relu"), ("none", "clip"), ("relu", "relu"), ("leaky_clip", "relu"), ("leaky_clip", "clip"))
    ]


def test_the_gaps_of_the_table_are_one_family_of_holm() -> None:
    seeds = {"none": [7, 8, 8], "xnor": [6, 8, 7], "learned": [5, 6, 9]}
    binary = [cell_of(f"scaling={name}", right, **BINARY) for name, right in seeds.items()]
    grid = gap_grid([table("a", *binary), table("b", cell_of("", [9, 9, 10], **FLOAT))])
    p_values = [ttest_rel(right, [9, 9, 10]).pvalue for right in seeds.values()]
    assert [row["p"].value for row in rows_of(grid)] == pytest.approx(p_values)
    assert [row["p_holm"].value for row in rows_of(grid)] == pytest.approx(multipletests(p_values, method="holm")[1])
    assert grid is not None
    assert "p (Holm): adjusted for the 3 gaps of this table." in grid.notes


def test_a_pretrained_network_is_compared_with_a_warning() -> None:
    studies = [
        table("a", cell_of("", [5, 6], **{**BINARY, "pretrain": "relu"})),
        table("b", cell_of("", [9, 9], **{**FLOAT, "pretrain": "none"})),
    ]
    grid = gap_grid(studies)
    assert grid is not None
    assert any(note.startswith("A pretrained binary network") for note in grid.notes)
