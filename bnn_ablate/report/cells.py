"""Cells: runs that differ in their seed only. A cell is a row of a table, also where none of its runs exists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bnn_ablate.record import Packed, Record
from bnn_ablate.report.runs import Contents, Run, missing_run
from bnn_ablate.study import Study


@dataclass(frozen=True)
class Cell:
    """One row: the overrides that asked for it (none outside of studies) and its runs, planned ones included."""

    overrides: Mapping[str, str]
    runs: tuple[Run, ...]

    @property
    def records(self) -> list[Record]:
        """The records of its done runs; nothing else enters a mean."""
        return [run.record for run in self.runs if run.record is not None]

    @property
    def packed(self) -> list[Packed]:
        """What its packed networks gave; runs that no engine has evaluated are left out."""
        return [run.packed for run in self.runs if run.packed is not None and run.packed.status == "evaluated"]

    @property
    def is_float(self) -> bool:
        """Whether neither weights nor activations are binarised."""
        return self.leaves.get("weights") == self.leaves.get("activations") == "float"

    @cached_property
    def leaves(self) -> Mapping[str, str]:
        """Its settings as text: of its first run with a record, else of its first run that says some.

        A leaf ``X.name`` is the choice ``X``, as on the command line. With a record come the two things beside the
        settings that tell cells apart: the images and the version of results.
        """
        runs = sorted((run for run in self.runs if run.config), key=lambda run: run.record is None)
        if not runs:
            return {}
        leaves = {key: text for key, text in flatten(runs[0].config) if key != "seed"}
        record = runs[0].record
        if record is not None:
            leaves |= {"data.checksum": record.data.checksum[:8], "results_version": str(record.results_version)}
        return leaves


def study_cells(study: Study, runs: Mapping[str, Run]) -> list[Cell]:
    """The cells of a study in the order in which they were planned.

    Jobs whose overrides differ in the seed only are one cell, also before any of them has run. The ids of the runs
    correct that: two ids under one set of overrides are two rows, because something else changed between the runs, and
    one id under two sets (an option named, and the same option left at its default) is one row.
    """
    asked: dict[frozenset[tuple[str, str]], tuple[dict[str, str], list[Run]]] = {}
    for job in study.jobs:
        overrides = dict(split_override(text) for text in job.overrides)
        seed = overrides.pop("seed", None)
        known = runs.get(job.run_id) if job.run_id is not None else None
        run = known if known is not None else missing_run(job, _number(seed))
        asked.setdefault(frozenset(overrides.items()), (overrides, []))[1].append(run)

    cells: dict[object, tuple[dict[str, str], list[Run]]] = {}
    for key, (overrides, members) in asked.items():
        ids = [run.cell_id for run in members if run.cell_id is not None]
        for run in members:
            # A run that has left nothing has no id of its own: it counts to the last one under its overrides.
            cell_id = run.cell_id if run.cell_id is not None else ids[-1] if ids else None
            cells.setdefault(cell_id if cell_id is not None else key, (overrides, []))[1].append(run)
    return [Cell(overrides, tuple(_once(members))) for overrides, members in cells.values()]


def loose_cells(runs: Iterable[Run]) -> list[Cell]:
    """The cells of runs that nobody planned; where a run belongs of which nothing can be read, nobody knows."""
    cells: dict[str | None, list[Run]] = {}
    for run in runs:
        cells.setdefault(run.cell_id if run.cell_id is not None else run.run_id, []).append(run)
    return [Cell({}, tuple(_once(members))) for members in cells.values()]


def runs_of_no_study(contents: Contents) -> list[Run]:
    """The runs that no study planned, sorted by id."""
    planned = {job.run_id for study in contents.studies.values() for job in study.jobs}
    return [run for run_id, run in sorted(contents.runs.items()) if run_id not in planned]


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """The leaves of a configuration as (column, text); a list is a leaf."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            column = prefix.removesuffix(".") if key == "name" and prefix else f"{prefix}{key}"
            yield column, value if isinstance(value, str) else json.dumps(value)


def split_override(text: str) -> tuple[str, str]:
    """``+recipe/optimizer=sgd`` as ("recipe.optimizer", "sgd"); a deletion ``~key`` as ("key", "removed")."""
    key, equals, value = text.lstrip("+~").partition("=")
    return key.replace("/", "."), "removed" if text.startswith("~") or not equals else value


def _once(runs: Sequence[Run]) -> list[Run]:
    """Each planned run once, in the order of seeds: two jobs can become one run, or ask for it in other words."""
    by_id = {run.run_id: run for run in runs if run.run_id is not None}
    seeds = {run.seed for run in by_id.values()}
    nameless: dict[int | None, Run] = {}
    for run in runs:
        if run.run_id is None and (run.seed is None or run.seed not in seeds):
            nameless[run.seed] = run
    return sorted([*by_id.values(), *nameless.values()], key=_place)


def _number(seed: str | None) -> int | None:
    return int(seed) if seed is not None and seed.isdecimal() else None


def _place(run: Run) -> tuple[bool, int, str]:
    return run.seed is None, run.seed if run.seed is not None else 0, run.run_id if run.run_id is not None else ""
