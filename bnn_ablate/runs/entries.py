"""The runs of a store as the command sees them: what became of each, who works on it, and how far it is."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from bnn_ablate.lease import Seen
from bnn_ablate.older import completed
from bnn_ablate.record import Epoch, Record, RecordError
from bnn_ablate.report.cells import Cell, flatten
from bnn_ablate.report.runs import Run, read_run, read_stores
from bnn_ablate.store import RunFolder, Status
from bnn_ablate.study import Study

#: ``begun``: its folder is there and no state was written yet; without a sign of life it was killed that early.
EntryState = Literal["begun", "running", "stopped", "trained", "failed", "diverged", "broken", "done"]
STATES: tuple[EntryState, ...] = ("begun", "running", "stopped", "trained", "failed", "diverged", "broken", "done")

_RUN_ID = re.compile("[0-9a-f]{12}")


class RunsError(ValueError):
    """The command cannot do what was asked; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run. ``leaves`` are its settings as text in the words of the command line, the seed among them.

    ``curve`` is the record's, or what metrics.csv has so far. ``holder`` is the heartbeat of the process that works on
    the run, None where there is no sign of life; ``updated`` is when its state was last written, in UTC.
    """

    run: Run
    folder: RunFolder
    state: EntryState
    studies: tuple[str, ...]
    status: Status | None
    holder: Seen | None
    leaves: Mapping[str, str]
    curve: tuple[Epoch, ...]
    updated: datetime

    @property
    def id(self) -> str:
        return self.folder.path.name

    @property
    def record(self) -> Record | None:
        return self.run.record

    @property
    def epochs(self) -> int | None:
        """How many it shall have; None where no file says it."""
        planned = self.run.config.get("recipe", {}).get("epochs")
        return planned if isinstance(planned, int) else None

    @property
    def train_seconds(self) -> float | None:
        """Time in training so far, None before the first epoch is over."""
        if self.record is not None:
            return self.record.provenance.train_seconds
        return sum(row.seconds for row in self.curve) if self.curve else None

    @property
    def differing(self) -> Mapping[str, str]:
        """The settings by which tables tell runs apart, beside the seed: with a record, images and version too."""
        return Cell({}, (self.run,)).leaves


@dataclass(frozen=True)
class Listing:
    """All runs of a store, the last one to change last, its studies, and a sentence for all that cannot be read."""

    root: Path
    entries: tuple[Entry, ...]
    studies: Mapping[str, Study]
    problems: tuple[str, ...]


def read_listing(root: Path) -> Listing:
    """Read the store under ``root``. Raises RunsError where there is no such folder."""
    if not root.is_dir():
        raise RunsError(f"runs={root}: there is no such folder")
    contents = read_stores([root])
    studies_of: dict[str, list[str]] = {}
    for name, study in sorted(contents.studies.items()):
        for run_id in dict.fromkeys(job.run_id for job in study.jobs if job.run_id is not None):
            studies_of.setdefault(run_id, []).append(name)
    entries = [
        _entry(RunFolder(root / run_id), run, run.state, tuple(studies_of.get(run_id, ())))
        for run_id, run in contents.runs.items()
    ]
    for path in sorted(root.iterdir()):
        if _RUN_ID.fullmatch(path.name) and path.is_dir() and path.name not in contents.runs:
            with suppress(FileNotFoundError):  # a run that refuses its settings takes its folder away again
                entries.append(_without_state(RunFolder(path), root, tuple(studies_of.get(path.name, ()))))
    return Listing(
        root, tuple(sorted(entries, key=lambda each: (each.updated, each.id))), contents.studies, contents.problems
    )


def _without_state(folder: RunFolder, root: Path, studies: tuple[str, ...]) -> Entry:
    """A folder without record and status; read as a run once more, because it may have become one meanwhile."""
    if (folder.path / "status.json").exists() or folder.has_record:
        run = read_run(folder, root)
        return _entry(folder, run, run.state, studies)
    try:
        config: Mapping[str, Any] = completed(read_config(folder))
    except RunsError:
        config = {}
    seed = config.get("seed")
    run = Run(
        run_id=folder.path.name,
        cell_id=None,
        seed=seed if isinstance(seed, int) else None,
        state="running",
        config=config,
        record=None,
        error=None,
    )
    return _entry(folder, run, "begun", studies)


def _entry(folder: RunFolder, run: Run, state: Any, studies: tuple[str, ...]) -> Entry:
    try:
        status = folder.status()
    except (RecordError, OSError):
        status = None  # the run is told as broken, or its record says all
    seed = {} if run.seed is None else {"seed": str(run.seed)}
    return Entry(
        run=run,
        folder=folder,
        state=state,
        studies=studies,
        status=status,
        holder=folder.holder(),
        leaves={key: text for key, text in flatten(run.config) if key != "seed"} | seed,
        curve=tuple(run.record.curve) if run.record is not None else tuple(read_metrics(folder.metrics)),
        updated=_updated(folder, run, status),
    )


def _updated(folder: RunFolder, run: Run, status: Status | None) -> datetime:
    said = run.record.provenance.finished if run.record is not None else status.updated if status is not None else None
    if said is not None:
        try:
            when = datetime.fromisoformat(said)
            return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        except ValueError:
            pass  # somebody else's hand: the folder's own time is near enough for an order
    return datetime.fromtimestamp(folder.path.stat().st_mtime, UTC)


def read_config(folder: RunFolder) -> dict[str, Any]:
    """What config.yaml holds. Raises RunsError where it is missing or damaged."""
    path = folder.path / "config.yaml"
    try:
        config = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        config = None
    if not isinstance(config, dict):
        raise RunsError(f"{path} is missing or damaged")
    return config


def read_metrics(path: Path) -> list[Epoch]:
    """The rows of metrics.csv, without what a process left of a row when it was killed."""
    rows: list[Epoch] = []
    try:
        whole_lines = path.read_text().rpartition("\n")[0]
        for line in csv.DictReader(io.StringIO(whole_lines)):
            rows.append(_epoch(line))
    except (OSError, ValueError, TypeError, KeyError):  # none yet, or a row that is no row: those before it count
        return rows
    return rows


def _epoch(line: Mapping[str, str]) -> Epoch:
    values: dict[str, Any] = {}
    for field in fields(Epoch):
        text = line[field.name]
        values[field.name] = None if text == "" else int(text) if field.name == "epoch" else float(text)
    return Epoch(**values)
