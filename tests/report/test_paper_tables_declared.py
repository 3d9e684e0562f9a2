"""Tables are declared in YAML: a new one needs no Python, and what is wrong in one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import CONF
from table_factories import DECLARED, PUBLISHED, entry, grids, groups, put_cell, titles

from bnn_ablate.report.cells import flatten
from bnn_ablate.report.published.declared import DeclarationError, RowsTable, read_declared, read_table
from bnn_ablate.report.published.options import Options, OptionsError
from bnn_ablate.report.published.tables import published_grids

TABLE = """\
kind: rows
title: A table
question: What is it?
options: {data: cifar10, recipe: quick, recipe.epochs: 3, model: resnet_e18}
columns: {scaling: scaling, origin: origin}
published: {theirs: {file: figures.csv, where: {data: d}, show: {top1: theirs %}}}
beside: {source: theirs, column: top1}
rows:
  - options: {scaling: none}
    labels: {origin: them}
    published: {theirs: {network: a}}
  - options: null
    labels: {scaling: unknown, origin: others}
    published: {theirs: {network: b}}
"""
FIGURES = "data,network,top1,source,confidence\nd,a,50,p,memory\nd,b,51.5,q,secondary\ne,a,1,p,memory\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "one.yaml").write_text(TABLE)
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "figures.csv").write_text(FIGURES)
    return tmp_path


def test_a_new_table_is_a_file_and_nothing_else(folder: Path) -> None:
    put_cell(folder / "runs", "study", ("data=cifar10", "recipe=quick", "recipe.epochs=3"), correct=(6, 6))
    grid = grids(folder / "runs", folder / "tables", folder / "published")["one"]
    assert (grid.title, grid.above) == ("A table", "What is it?")
    assert titles(grid) == ["scaling", "origin", "theirs %", "ours, full size", "ours less published"]
    assert entry(grid, "theirs %", origin="them").value == 50
    assert entry(grid, "theirs %", origin="them").mark == "m"
    assert entry(grid, "ours, full size", origin="them").text == "60.00 ± 0.00 (2 of 2)"
    assert entry(grid, "ours less published", origin="them").text == "+10.00"
    assert entry(grid, "ours, full size", origin="others").text == "no such network"


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("title: A table\n", "", "one.yaml: title: Field required"),
        ("question", "quest", "one.yaml: question: Field required"),
        ("kind: rows", "kind: row", "one.yaml: Input tag 'row' found using 'kind' does not match"),
        ("title: A", "title: A\ntitle: B", "one.yaml cannot be read: the key title stands twice"),
        ("scaling: none", "scaling: no", "one.yaml: scaling=False is no option: choose channel, learned, none, xnor"),
        ("recipe.epochs", "recipe.epoch", "one.yaml: recipe.epoch=3: there is no such setting in conf/"),
        ("{network: a}", "{network: c}", "one.yaml: figures.csv: no line has data=d, network=c, and one is needed"),
        ("{theirs: {network: a}}", "{mine: {network: a}}", "one.yaml: Value error, rows, number 1: published.mine"),
        ("top1: theirs", "top5: theirs", "one.yaml: Value error, beside: theirs.top1 is not shown"),
        ("figures.csv", "fig.csv", "one.yaml: fig.csv cannot be read: No such file or directory"),
        ("file: figures.csv", "file: ../figures.csv", "one.yaml: ../figures.csv is no file of published/"),
        ("{origin: them}", "{origins: them}", "one.yaml: rows, number 1: the column origin is neither one of its"),
    ],
)
def test_what_is_wrong_in_a_declaration_is_named(folder: Path, before: str, after: str, sentence: str) -> None:
    assert before in TABLE
    (folder / "tables" / "one.yaml").write_text(TABLE.replace(before, after))
    with pytest.raises(DeclarationError) as error:
        grids(folder, folder / "tables", folder / "published")
    assert str(error.value).startswith(sentence)


def test_a_list_shows_the_lines_of_a_file_with_their_marks(folder: Path) -> None:
    (folder / "tables" / "one.yaml").write_text(
        "kind: list\ntitle: T\nquestion: Q\npublished: {file: figures.csv, where: {data: d},"
        " show: {network: network, top1: top-1 %}}\n"
    )
    (grid,) = published_grids(folder / "tables", folder / "published", CONF)
    assert [[one.text for one in row[:2]] for row in grid.rows] == [["a", "50"], ["b", "51.5"]]
    assert [[one.mark for one in row[:2]] for row in grid.rows] == [["", "m"], ["", "q"]]
    assert grid.rows[0][2].text == "p (memory; figures.csv, line 2)"


def test_the_committed_lists_can_be_made() -> None:
    made = {grid.name: grid for grid in published_grids(DECLARED, PUBLISHED, CONF)}
    assert sorted(made) == ["abstract", "authors_logs", "detection", "larq_benchmark", "later_methods"]
    logs = made["authors_logs"]
    # Names of digits alone stay names.
    assert [row[0].value for row in logs.rows if row[0].text == "531012978"] == [None]
    assert not logs.columns[0].numeric
    assert len(made["later_methods"].rows) == 76


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"data": "image_folder", "recipe": "larq", "model": "binary_densenet28", "grad.clip": 1.3},
        {"model": "binary_densenet_flex", "growth": "k128", "growth.match": "size", "recipe": "imagenet_2018"},
        {"activations": "float", "weights": "float", "model": "resnet18"},
        {"recipe": "larq", "latent": "free", "recipe.schedule.milestones": [1, 2]},
    ],
)
def test_options_stand_for_what_hydra_makes_of_them(asked: dict[str, object]) -> None:
    overrides = [f"{key}={str(value).replace(' ', '')}" for key, value in asked.items()]
    assert Options(CONF).leaves(asked) == dict(flatten(groups(*overrides)))


def test_an_option_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(OptionsError, match="order=between is no option: choose post, pre"):
        Options(CONF).leaves({"order": "between"})


def test_all_committed_tables_name_options_that_there_are() -> None:
    options = Options(CONF)
    for name, table in read_declared(DECLARED).items():
        if isinstance(table, RowsTable):
            for row in table.rows:
                if row.options is not None:
                    assert options.leaves({**table.options, **row.options}), name


def test_a_table_is_named_by_letters_digits_and_underscores(tmp_path: Path) -> None:
    (tmp_path / "a b.yaml").write_text(TABLE)
    with pytest.raises(DeclarationError, match=r"^a b\.yaml: a table is named by letters"):
        read_table(tmp_path / "a b.yaml")
