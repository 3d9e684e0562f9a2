"""Costs of a layer under each method are products of its sizes, and speedups follow from a stated cost model."""

from __future__ import annotations

import pytest
from table_factories import DECLARED, PUBLISHED

from bnn_ablate.report.grid import Grid
from bnn_ablate.report.published.declared import MethodsTable, read_table
from bnn_ablate.report.published.figures import read_published
from bnn_ablate.report.published.method_costs import Gemm, MethodCost, evaluated, factors, sizes_with
from bnn_ablate.report.published.method_table import methods_grid

#: 3x3, 256 to 256 channels at 14x14.
LAYER = Gemm(n=256, m=196, k=2304)

XNOR = MethodCost(macs="2*n*m", binary_ops="2*n*m*k", operations="xor, bitcount")
BNN = MethodCost(macs="0", binary_ops="2*n*m*k", operations="xor, bitcount")


@pytest.fixture(scope="module")
def grid() -> Grid:
    table = read_table(DECLARED / "methods.yaml")
    assert isinstance(table, MethodsTable)
    return methods_grid("methods", table, read_published(PUBLISHED / table.file))


@pytest.mark.parametrize(
    ("formula", "product"),
    [("n*m*k", 256 * 196 * 2304), ("8*n*m*k", 924_844_032), ("n*k", 589_824), ("0", 0), ("4*n*m", 200_704)],
)
def test_a_formula_is_a_product_of_numbers_and_sizes(formula: str, product: int) -> None:
    assert evaluated(formula, LAYER) == product


@pytest.mark.parametrize("formula", ["n+m", "n**m", "n*x", "-1*n", "", "n*", "2n", "__import__('os')", "n*1.5", "²"])
def test_anything_else_is_no_formula(formula: str) -> None:
    with pytest.raises(ValueError, match="is no product of whole numbers and the letters n, m, k"):
        factors(formula)


def test_speedups_follow_from_one_instruction_for_64_binary_operations() -> None:
    # XNOR-Net by hand: 2 k real operations a result against 4 for two MACs and 2 k / 64 for the bits.
    assert XNOR.speedup(LAYER) == pytest.approx(2 * 2304 / (4 + 2 * 2304 / 64))
    assert BNN.speedup(LAYER) == 64
    assert MethodCost(macs="n*m*k", binary_ops="0", operations="mul, add").speedup(LAYER) == 1
    assert MethodCost(macs="n*m*k", binary_ops="0", operations="sign, add").speedup(LAYER) == 2


def test_where_a_published_speedup_comes_out_is_found() -> None:
    # 64 k / (128 + k) is 57.5 at k = 1132.3 and 58.5 at 1361.5.
    assert sizes_with(58, XNOR, LAYER) == ("k", 1133, 1361)
    assert sizes_with(70, XNOR, LAYER) is None  # 64 is its limit
    assert sizes_with(64, BNN, LAYER) is None  # grows with nothing
    dorefa = MethodCost(macs="n*k", binary_ops="8*n*m*k", operations="and, bitcount")
    # 16 m / (16 + m) is 14.5 at m = 154.7 and 15.5 at 496.
    assert sizes_with(15, dorefa, LAYER) == ("m", 155, 495)


def test_the_table_says_which_published_speedups_the_model_gives(grid: Grid) -> None:
    notes = " ".join(grid.notes)
    assert "for every layer: Full precision 1, BinaryConnect 2, BWN 2, TTQ 2, BNN 64, Bi-Real 64, Ours 64." in notes
    assert "TBN 40 for k from 533 to 797, XNOR-Net 58 for k from 1133 to 1361" in notes
    assert "no single layer explains the published column" in notes


def test_recalled_formulas_and_speedups_are_marked_and_computed_ones_are_not(grid: Grid) -> None:
    xnor = next(row for row in grid.rows if row[0].text == "XNOR-Net")
    marks = {column.key: entry.mark for column, entry in zip(grid.columns, xnor, strict=True)}
    assert (marks["macs"], marks["binary_ops"], marks["speedup_published"]) == ("m", "m", "m")
    texts = {column.key: entry.text for column, entry in zip(grid.columns, xnor, strict=True)}
    assert texts["speedup_n256_m196_k2304"] == "60.6"
    assert texts["macs_n256_m196_k2304"] == "0.100"
    assert marks["speedup_n256_m196_k2304"] == ""
    assert any(note.startswith("m: recalled") for note in grid.notes)
