"""Which of our runs belong to a row of a published table, and how what they were run on differs from it.

The leaves of a configuration (as ``Cell.leaves`` spells them) are of three kinds.

* **The row**: every leaf of every axis of the design, the sizes of the model but for its width, the name of the data
  and the number of classes. A run that differs in one of them is another network or another task: never in the table.
* **The scope**: all others, that is the model's width, the recipe, the size and the number of images, how a float
  network was trained first. Runs that differ there stand in the same row, in a column of their own for each scope.
* **Labels**, which decide nothing where the leaves that they stand for are the same: the names of the model, the
  recipe and the downsampling. ``seed`` is none of them: runs that differ in it are one cell.

Data of another name never enter, so runs on digits are in no published table; neither do cut test sets
(``data.limit_test``), which are smoke tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bnn_ablate.design import AXES
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.labels import NOT_THERE
from bnn_ablate.report.runs import Run

#: What a difference in scope is called; others are named as on the command line.
WORDS: Mapping[str, str] = {
    "model.width": "width {}",
    "recipe.epochs": "{} epochs",
    "recipe.batch_size": "batch {}",
    "recipe": "recipe {}",
    "data.image_size": "{} pixels",
    "data.limit_train": "{} training images",
    "data.checksum": "images {}",
    "results_version": "results version {}",
}
#: Said of a scope only where nothing else tells it from another one: they move with the words above.
LABELS = ("model", "recipe", "downsample")

Scope = tuple[tuple[str, str], ...]  # leaves that differ from the published scope, with our values
PUBLISHED_SCOPE: Scope = ()


@dataclass(frozen=True, kw_only=True)
class OurCell:
    """A cell of any of our studies, its leaves and their :func:`row_key`, and the studies that asked for it."""

    cell: Cell
    leaves: Mapping[str, str]
    key: frozenset[tuple[str, str]]
    studies: tuple[str, ...]


def pooled(tables: Iterable[tuple[str, Sequence[Cell]]]) -> list[OurCell]:
    """The cells of all studies, each once, with all runs that any study planned for it, in the order of the tables."""
    found: dict[str, tuple[list[Run], list[str]]] = {}
    for name, cells in tables:
        for cell in cells:
            cell_id = next((run.cell_id for run in cell.runs if run.cell_id is not None), None)
            if cell_id is not None:  # of the others nothing says which network they are
                runs, studies = found.setdefault(cell_id, ([], []))
                runs += cell.runs
                studies += [name] if name not in studies else []
    ours = []
    for runs, studies in found.values():
        cell = Cell({}, tuple(_once(runs)))
        leaves = cell.leaves
        ours.append(OurCell(cell=cell, leaves=leaves, key=row_key(leaves), studies=tuple(studies)))
    return ours


def row_key(leaves: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """The leaves that must agree for a run to stand in a row."""
    return frozenset((key, value) for key, value in settled(leaves).items() if _decides_row(key))


def scope_of(published: Mapping[str, str], ours: Mapping[str, str]) -> Scope:
    """The leaves of ours that differ from the published scope; empty at full scope. The recipe's label comes along."""
    there, here = settled(published), settled(ours)
    differing = [
        (key, here.get(key, NOT_THERE))
        for key in sorted({*there, *here})
        if not _decides_row(key) and key not in LABELS and there.get(key) != here.get(key)
    ]
    if any(key.startswith("recipe.") for key, _ in differing) and published.get("recipe") != ours.get("recipe"):
        differing.append(("recipe", ours.get("recipe", NOT_THERE)))
    return tuple(sorted(differing))


def scope_titles(scopes: Sequence[Scope]) -> dict[Scope, str]:
    """A title for each scope, no two the same: in words where they tell it from the others, else every leaf."""
    short = {scope: _in_words(scope) for scope in scopes}
    return {
        scope: title if title and list(short.values()).count(title) == 1 else every_leaf(scope)
        for scope, title in short.items()
    }


def every_leaf(scope: Scope) -> str:
    return ", ".join(f"{key}={value}" for key, value in scope)


def settled(leaves: Mapping[str, str]) -> dict[str, str]:
    """One spelling for one network: 1 and 1.0 are one number; reduction rates of an option are the model's."""
    spelt = {key: _spelt(value) for key, value in leaves.items() if key not in ("data.checksum", "results_version")}
    if spelt.get("downsample.reduction", "null") != "null":
        spelt["model.reduction"] = spelt["downsample.reduction"]
        spelt["downsample.reduction"] = "null"
    recipe = {f"pretrain.{key}": value for key, value in spelt.items() if key == "recipe" or key.startswith("recipe.")}
    first = {key: value for key, value in spelt.items() if key.startswith("pretrain.recipe")}
    if first == recipe:  # the float network's recipe is the run's, which null says too
        spelt = {key: value for key, value in spelt.items() if key not in first} | {"pretrain.recipe": "null"}
    return spelt


def _decides_row(key: str) -> bool:
    group = key.partition(".")[0]
    if key in LABELS or key == "model.width" or key.startswith(("pretrain.recipe", "pretrain.from")):
        return False
    return group in AXES or group == "model" or key in ("data", "data.num_classes")


def _in_words(scope: Scope) -> str:
    there = dict(scope)
    return ", ".join(words.format(there[key]) for key, words in WORDS.items() if key in there)


@cache
def _spelt(text: str) -> str:
    try:
        return json.dumps(_integral(json.loads(text)))
    except ValueError:
        return text  # a word


def _integral(value: Any) -> Any:
    """Whole numbers without a point, in lists too."""
    if isinstance(value, list):
        return [_integral(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _once(runs: Sequence[Run]) -> list[Run]:
    """Each run once; one that is missing counts only where no run of its seed is there."""
    known = {run.run_id: run for run in runs if run.run_id is not None}
    seeds = {run.seed for run in known.values()}
    nameless = {run.seed: run for run in runs if run.run_id is None and run.seed not in seeds}
    return sorted([*known.values(), *nameless.values()], key=lambda run: (run.seed is None, run.seed, str(run.run_id)))
