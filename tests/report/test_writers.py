"""A grid as Markdown and as CSV: numbers stay what they are, and whatever comes from records stays text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from factories import put_grid

from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.pages import tables
from bnn_ablate.report.rows import shown
from bnn_ablate.report.runs import read_stores
from bnn_ablate.report.table_grids import study_grid
from bnn_ablate.report.writers.csv import to_csv
from bnn_ablate.report.writers.markdown import to_markdown

COLUMNS = (
    Column(title="name", key="name"),
    Column(title="top-1 %", key="top1", numeric=True),
    Column(title="remarks", key="remarks", wide=True),
)


def grid(*rows: tuple[Entry, Entry, Entry], columns: tuple[Column, ...] = COLUMNS) -> Grid:
    return Grid(name="g", title="A grid", columns=columns, rows=rows, above="all", notes=("m: recalled.",))


def lines(one: Grid) -> list[list[str]]:
    return list(csv.reader(io.StringIO(to_csv(one))))


def test_markdown_is_a_table_with_what_is_shared_above_and_notes_below() -> None:
    one = grid(
        (Entry(text="a", link="b c.md"), Entry(text="58.10", value=58.1, mark="m"), Entry(text="x")),
        (Entry(text="b"), Entry(text="not run"), Entry(text="y")),
    )
    assert to_markdown(one) == (
        "# A grid\n"
        "\n"
        "all\n"
        "\n"
        "| name          |           top-1 % |\n"
        "| ------------- | ----------------: |\n"
        "| [a](b%20c.md) | 58.10<sup>m</sup> |\n"
        "| b             |           not run |\n"
        "\n"
        "- m: recalled.\n"
        "- Left out here, in the CSV: remarks.\n"
    )


def test_markdown_of_no_rows_says_so() -> None:
    assert "There are no rows." in to_markdown(grid())


def test_nothing_from_a_record_becomes_markup() -> None:
    nasty = Entry(text="<script>alert(1)</script> | [a](javascript:b) `c`\n# d")
    text = to_markdown(grid((nasty, nasty, nasty)))
    assert "<script>" not in text.replace("\\<script>", "")
    assert "\\<script>alert(1)\\</script> \\| \\[a\\](javascript:b) \\`c\\` # d" in text
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 3


def test_csv_has_every_column_in_full_precision_and_marks_beside_their_figures() -> None:
    one = grid(
        (Entry(text="a"), Entry(text="58.10", value=58.10000000000001, mark="m"), Entry(text="x")),
        (Entry(text="b"), Entry(text="60.00", value=60), Entry(text="y")),
        (Entry(text="c"), Entry(text="not run"), Entry(text="z")),
    )
    assert lines(one) == [
        ["name", "top1", "top1_mark", "remarks"],
        ["a", "58.10000000000001", "m", "x"],
        ["b", "60", "none", "y"],
        ["c", "NA", "none", "z"],
    ]


def test_a_text_from_a_record_is_no_formula_of_a_spreadsheet_and_a_number_stays_one() -> None:
    texts = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "-0.5", "+1e-3", "none", "a=b"]
    one = grid(*((Entry(text=text), Entry(text="-1.00", value=-1.0), Entry(text="")) for text in texts))
    assert [line[0] for line in lines(one)[1:]] == [
        *("'=1+1", "'+cmd|' /C calc'!A0", "'-2+3", "'@SUM(A1)", "'\tx", "-0.5", "+1e-3", "none", "a=b")
    ]
    assert {line[1] for line in lines(one)[1:]} == {"-1.0"}


def test_quotes_commas_and_lines_survive_the_csv() -> None:
    one = grid((Entry(text='a,"b"\nc'), Entry(text="1", value=1), Entry(text="ä ± µ")))
    assert lines(one)[1] == ['a,"b"\nc', "1", "ä ± µ"]


def test_a_study_has_the_texts_of_its_table_and_the_numbers_behind_them(tmp_path: Path) -> None:
    put_grid(tmp_path)
    (table,) = tables(read_stores([tmp_path]))
    made = study_grid(table)
    for label, cell, measured, entries in zip(table.labels.rows, table.cells, table.measured, made.rows, strict=True):
        assert tuple(one.text for one in entries) == (*label, *shown(cell, measured))
    head, first, *_ = lines(made)
    values = dict(zip(head, first, strict=True))
    # 70, 80 and 90 %: mean 80, half-width 4.303 * 10 / sqrt(3).
    assert float(values["top1_percent"]) == 80
    assert round(float(values["top1_half_width_95"]), 2) == 24.84
    assert (values["n"], values["macs_combined"], values["size_mib"]) == ("3", "1500000.0", "0.5")
    assert made.details[0]["scaling"] == "none"


def test_a_cell_with_a_failed_run_stands_out_and_one_that_is_missing_does_not(tmp_path: Path) -> None:
    put_grid(tmp_path)
    (table,) = tables(read_stores([tmp_path]))
    made = study_grid(table)
    place = [column.key for column in made.columns].index("top1_percent")
    assert [(line[place].text, line[place].tone) for line in made.rows[2:]] == [
        ("missing", "not run"),
        ("failed", "problem"),
    ]
