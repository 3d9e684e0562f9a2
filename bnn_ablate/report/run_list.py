"""Every run as a row, done or not: what varies, what became of it, and the way to its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.labels import NOT_THERE, UNKNOWN, varying_leaves
from bnn_ablate.report.numbers import duration, one_line, percent
from bnn_ablate.report.rows import DASH
from bnn_ablate.report.runs import GONE, Run
from bnn_ablate.report.tables import Table

NOTE = (
    "top-1 % is the last epoch's network on the test set, packed % the same network as bits, time that of training. "
    "Each run opens to its configuration, what went wrong, and with what it was made."
)
NO_FOLDER = "A run without a link was planned and has left no folder."
NO_WANDB = "No run has an address in W&B or a folder of it beside the runs."
WANDB = (
    "W&B: online is the run's page there, offline its folder, which `wandb sync` sends, and folder what W&B left of a "
    "run whose address was not kept."
)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A run with the tables that show it and its settings as text, the seed left out."""

    run: Run
    studies: tuple[str, ...]
    leaves: Mapping[str, str]


def runs_grid(tables: Sequence[Table], out: Path) -> Grid:
    """A row a run, in the order of the tables and their rows; links go from the folder ``out``."""
    listed = list_runs(tables)
    axes = varying_leaves(list({id(one.leaves): one.leaves for one in listed}.values()))
    has_wandb = any(one.run.wandb is not None or one.run.wandb_address is not None for one in listed)
    columns = (
        Column(title="study", key="study", filtered=True),
        Column(title="seed", key="seed", numeric=True, filtered=True),
        Column(title="state", key="state", filtered=True),
        Column(title="top-1 %", key="top1_percent", numeric=True),
        Column(title="packed %", key="packed_top1_percent", numeric=True),
        Column(title="time", key="train_seconds", numeric=True),
        Column(title="run", key="run_id"),
        *(Column(title=axis, key=axis, filtered=True, wide="." in axis) for axis in axes),
        *([Column(title="W&B", key="wandb", wide=True)] if has_wandb else []),
    )
    no_folder = any(one.run.folder is None for one in listed)
    return Grid(
        name="runs.all",
        title="Every run",
        columns=columns,
        rows=tuple(_row(one, axes, out, has_wandb=has_wandb) for one in listed),
        notes=(NOTE, *([NO_FOLDER] if no_folder else []), *([WANDB] if has_wandb else [NO_WANDB] if listed else [])),
        details=tuple(_details(one) for one in listed),
    )


def list_runs(tables: Sequence[Table]) -> list[Listed]:
    """Each run once, planned ones that have left nothing included."""
    found: dict[object, tuple[Run, Mapping[str, str]]] = {}
    studies: dict[object, list[str]] = {}
    of_cells: dict[object, Mapping[str, str]] = {}
    for table in tables:
        for cell in table.cells:
            for place, run in enumerate(cell.runs):
                # what is planned and has no id yet is known by its place alone
                key: object = run.run_id if run.run_id is not None else (table.name, id(cell), place)
                found.setdefault(key, (run, _leaves(run, cell, of_cells)))
                studies.setdefault(key, []).append(table.name)
    return [
        Listed(run=run, studies=tuple(dict.fromkeys(studies[key])), leaves=leaves)
        for key, (run, leaves) in found.items()
    ]


def _leaves(run: Run, cell: Cell, of_cells: dict[object, Mapping[str, str]]) -> Mapping[str, str]:
    """Runs of one cell have the same: flattened once, since there may be thousands."""
    if not run.config:
        return cell.overrides
    key = (run.cell_id, run.record is not None and run.record.data.checksum)
    if key not in of_cells:
        of_cells[key] = Cell({}, (run,)).leaves
    return of_cells[key]


def _row(one: Listed, axes: Sequence[str], out: Path, *, has_wandb: bool) -> tuple[Entry, ...]:
    run, record = one.run, one.run.record
    missing = NOT_THERE if run.config else UNKNOWN
    packed = run.packed.top1 if run.packed is not None else None
    return (
        _word(", ".join(map(one_line, one.studies))),
        _number(run.seed, str(run.seed)) if run.seed is not None else Entry(text=UNKNOWN),
        Entry(text=run.state, value=run.state, tone="problem" if run.state in GONE else ""),
        _percent(record.accuracy.top1 if record is not None else None),
        _percent(packed),
        Entry(text=DASH)
        if record is None
        else _number(record.provenance.train_seconds, duration(record.provenance.train_seconds)),
        Entry(text=DASH)
        if run.run_id is None
        else Entry(text=run.run_id, value=run.run_id, link=_link(run.folder, out)),
        *(_word(one_line(one.leaves.get(axis, missing))) for axis in axes),
        *([_wandb(run, out)] if has_wandb else []),
    )


def _word(text: str) -> Entry:
    return Entry(text=text, value=text)


def _number(value: float, text: str) -> Entry:
    return Entry(text=text, value=value)


def _percent(share: float | None) -> Entry:
    return Entry(text=DASH) if share is None else _number(100 * share, percent(100 * share))


def _wandb(run: Run, out: Path) -> Entry:
    """The page where there is one: it opens for every reader of the report, and a folder only beside the runs."""
    if run.wandb_address is not None:
        return Entry(text="online", value=run.wandb_address, link=run.wandb_address)
    if run.wandb is None:
        return Entry(text=DASH)
    text = "offline" if run.wandb.name.startswith("offline-") else "folder"
    return Entry(text=text, value=run.wandb.name, link=_link(run.wandb, out))


def _link(folder: Path | None, out: Path) -> str | None:
    """The way from the report to the folder, so that both can move together."""
    return None if folder is None else quote(os.path.relpath(folder, out)) + "/"


def _details(one: Listed) -> dict[str, str]:
    """What went wrong, how the run was made, and its whole configuration in the words of the command line."""
    run, told = one.run, {}
    if run.error is not None:
        told["error"] = run.error
    if run.problem is not None:
        told["problem"] = run.problem
    if run.record is not None:
        record, made = run.record, run.record.provenance
        told |= {
            "cell": record.cell_id,
            "top-5 %": percent(100 * record.accuracy.top5),
            "last five epochs %": percent(100 * record.last5_top1),
            "weights": record.weight_digest,
            "commit": _commit(made.commit, made.dirty),
            "machine": f"{made.host}, {made.cpu}" + (f", {made.gpu}" if made.gpu is not None else ""),
            "threads": str(made.threads),
            "processes": str(made.devices),
            "trained": f"{made.started} to {made.finished}",
            "taken up again": str(made.resumes),
            "versions": ", ".join(f"{name} {version}" for name, version in sorted(made.versions.items())),
        }
        if record.pretrained_by is not None:
            told["weights from"] = f"run {record.pretrained_by}"
        if made.notes:
            told["notes"] = "\n".join(made.notes)
    return {**told, **one.leaves}


def _commit(commit: str | None, dirty: bool | None) -> str:
    if commit is None:
        return "unknown: not run from a checkout"
    return f"{commit[:12]}{' with uncommitted changes' if dirty else ''}"
