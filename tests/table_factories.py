"""Runs with whole configurations, and small declared tables, for tests of tables beside published figures."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from conftest import CONF, composed
from factories import make_record, put_done, put_study
from omegaconf import OmegaConf

from bnn_ablate.record import Record
from bnn_ablate.report.grid import Entry, Grid
from bnn_ablate.report.pages import tables
from bnn_ablate.report.published.options import GROUPS
from bnn_ablate.report.published.tables import paper_tables
from bnn_ablate.report.runs import read_stores

CHECKOUT = CONF.parent
DECLARED, PUBLISHED = CHECKOUT / "sweeps" / "tables", CHECKOUT / "reports" / "published"

CIFAR = ("data=cifar10", "recipe=cifar_2018", "stem=cifar_2018")


@cache
def groups(*overrides: str) -> dict[str, Any]:
    """What Hydra composes of a command line, as a record has it: without places on disk."""
    place = ["data.root=images"] if "data=image_folder" in overrides else []
    whole = OmegaConf.to_container(composed(*place, *overrides))
    assert isinstance(whole, dict)
    config = {group: whole[group] for group in GROUPS}
    del config["data"]["root"], config["data"]["download"]
    return config


def run_of(*overrides: str, seed: int = 0, correct: int = 8) -> Record:
    """A record of this command line with ``correct`` of ten test images right."""
    chosen = [text for text in overrides if "." not in text.partition("=")[0]]
    config = deepcopy(groups(*chosen))
    for text in overrides:  # single values are laid over what Hydra composed, which takes it a quarter of a second
        key, _, value = text.partition("=")
        *steps, leaf = key.split(".")
        if steps:
            block = config
            for step in steps:
                block = block[step]
            assert leaf in block, key
            block[leaf] = yaml.safe_load(value)
    return make_record(seed=seed, correct=correct, **config)


def put_cell(root: Path, study: str, overrides: Sequence[str], correct: Sequence[int], planned: int = 0) -> None:
    """A study of one cell: a done run for each number of images, of ``planned`` runs (or as many as there are)."""
    runs = [put_done(root, run_of(*overrides, seed=seed, correct=right)) for seed, right in enumerate(correct)]
    missing = [None] * (max(planned, len(runs)) - len(runs))
    put_study(root, study, [(f"grad=ste seed={seed}", run) for seed, run in enumerate([*runs, *missing])])


def grids(root: Path, declared: Path = DECLARED, published: Path = PUBLISHED) -> dict[str, Grid]:
    """The declared tables of a store, by name."""
    made = tables(read_stores([root]))
    return {grid.name: grid for grid in paper_tables(declared, published, CONF, made, {"study": "study.md"})}


def entry(grid: Grid, column: str, **row: str) -> Entry:
    """The entry under the title ``column`` in the only row with these texts, by key."""
    keys = [one.key for one in grid.columns]
    found = [line for line in grid.rows if all(line[keys.index(key)].text == text for key, text in row.items())]
    assert len(found) == 1, row
    return found[0][[one.title for one in grid.columns].index(column)]


def titles(grid: Grid) -> list[str]:
    """The titles of the columns that print has."""
    return [column.title for column in grid.columns if not column.wide]
