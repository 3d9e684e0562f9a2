"""Every run of one or more stores, whatever became of it, and whatever could not be read."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bnn_ablate.analysis import Declaration
from bnn_ablate.evaluations import packed_results
from bnn_ablate.older import completed
from bnn_ablate.record import Packed, Record, RecordError, same_result
from bnn_ablate.store import RunFolder, State, Store
from bnn_ablate.study import Job, Study, read_study
from bnn_ablate.wandb_address import FILE, read_address

#: The study of runs that belong to none, and names that would take the report's own files; so would any with a dot.
OTHER_RUNS = "other-runs"
RESERVED = ("index", OTHER_RUNS)

RunState = State | Literal["broken", "missing", "refused"]

#: States of which no result will come by itself, each with its reason; and those with whatever cannot be read.
LOST: tuple[RunState, ...] = ("failed", "diverged", "refused")
GONE: tuple[RunState, ...] = (*LOST, "broken")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as the report sees it: done with a record, or without one for the reason that ``state`` names.

    ``broken``: its files cannot be read, ``error`` says why. ``missing``: planned, and no folder is there. ``refused``:
    a combination that makes no sense, ``error`` says why. What is not known of such a run is None; its ``config`` is
    empty. ``packed`` are a done run's packed results that count, with those of later evaluations; ``problem`` says
    which of these, or which address, could not be read. ``folder`` is where it lies, ``wandb`` the newest of W&B's
    folders of it, ``wandb_address`` its page in W&B; None where there is none.
    """

    run_id: str | None
    cell_id: str | None
    seed: int | None
    state: RunState
    config: Mapping[str, Any]
    record: Record | None
    error: str | None
    packed: Packed | None = None
    problem: str | None = None
    folder: Path | None = None
    wandb: Path | None = None
    wandb_address: str | None = None


@dataclass(frozen=True)
class Contents:
    """What lies in the stores: runs by id, studies by name, and a sentence for everything that is broken."""

    runs: dict[str, Run]
    studies: dict[str, Study]
    problems: tuple[str, ...]


def read_stores(roots: Sequence[Path]) -> Contents:
    """Read all runs and studies; what is broken becomes a problem and the rest goes on.

    A run that lies in several stores is taken from the first that has its record. Studies of one name are joined, and
    what was declared first counts, in whichever store.
    """
    runs: dict[str, Run] = {}
    studies: dict[str, Study] = {}
    problems: list[str] = []
    for root in roots:
        wandb = wandb_folders(root)
        for folder in Store(root).runs():
            run = replace(_addressed(folder, root), folder=folder.path, wandb=wandb.get(folder.path.name))
            if run.state == "broken":
                problems.append(str(run.error))
            if run.problem is not None:
                problems.append(run.problem)
            known = runs.get(folder.path.name)
            if known is not None and known.record is not None and run.record is not None:
                if not same_result(known.record, run.record):
                    problems.append(f"{folder.path.name} has two different records: the one in the first folder counts")
            elif known is None or run.record is not None:
                runs[folder.path.name] = run
        studies_there = Store(root).studies
        if studies_there.exists() and not studies_there.is_dir():
            problems.append(f"{studies_there.name}: it is a file where the studies' folder should be")
        for path in sorted(studies_there.glob("*.json")):
            try:
                study = _named_study(path)
            except RecordError as error:
                problems.append(_relative(error, root))
            except OSError as error:
                problems.append(f"studies/{path.name}: {error.strerror}")
            else:
                studies[study.name] = _joined(studies[study.name], study) if study.name in studies else study
    return Contents(runs, studies, tuple(problems))


def _joined(first: Study, second: Study) -> Study:
    """Both stores' jobs, and declarations in the order of time; what both declare was declared the first time."""
    declared: dict[str, Declaration] = {}
    for one in sorted([*first.declared, *second.declared], key=lambda declaration: declaration.time):
        declared.setdefault(one.digest, one)
    return replace(first, jobs=[*first.jobs, *second.jobs], declared=list(declared.values()))


def wandb_folders(root: Path) -> dict[str, Path]:
    """W&B's newest folder of each run, beside the runs of the store.

    A run of a W&B agent has another id there and is not found; it has an address.
    """
    return {path.name.rpartition("-")[2]: path for path in sorted((root / "wandb").glob("*run-*-*"), key=_begun)}


def _begun(path: Path) -> tuple[str, str]:
    """W&B's folders are named offline-run-TIME-ID and run-TIME-ID."""
    return path.name.rpartition("run-")[2], path.name


def read_runs(store: Store, run_ids: Container[str | None]) -> dict[str, Run]:
    """Those of the runs that lie in one store, by id."""
    return {folder.path.name: read_run(folder, store.root) for folder in store.runs() if folder.path.name in run_ids}


def read_run(folder: RunFolder, root: Path) -> Run:
    """The run in one folder: a record decides, and without one its status."""
    name = folder.path.name
    try:
        record = folder.record()
        if record is None:
            return _without_record(folder)
        if record.run_id != name:
            raise RecordError(f"{folder.path}/record.json: it is the record of run {record.run_id}")
    except (RecordError, OSError) as error:
        return _broken(
            folder, _relative(error, root) if isinstance(error, RecordError) else f"{name}: {error.strerror}"
        )
    packed, problem = record.packed, None
    try:
        packed = packed_results(record, folder.evaluations)
    except RecordError as error:
        problem = _relative(error, root)
    return Run(
        run_id=name,
        cell_id=record.cell_id,
        seed=record.seed,
        state="done",
        config=completed(record.config),
        record=record,
        error=None,
        packed=packed,
        problem=problem,
    )


def _addressed(folder: RunFolder, root: Path) -> Run:
    """The run with its page in W&B; an address that cannot be read is a problem and costs nothing else."""
    run = read_run(folder, root)
    try:
        return replace(run, wandb_address=read_address(folder.path))
    except RecordError as error:
        problem = _relative(error, root)
    except OSError as error:
        problem = f"{folder.path.name}/{FILE}: {error.strerror}"
    return replace(run, problem=problem if run.problem is None else f"{run.problem}; {problem}")


def _without_record(folder: RunFolder) -> Run:
    status = folder.status()
    if status is None:
        raise RecordError(f"{folder.path}: neither record.json nor status.json is there")
    if status.state == "done":
        raise RecordError(f"{folder.path}/status.json: the run is said to be done, and record.json is not there")
    return Run(
        run_id=folder.path.name,
        cell_id=status.cell_id,
        seed=status.seed,
        state=status.state,
        config=completed(status.config),
        record=None,
        error=status.error,
    )


def _broken(folder: RunFolder, sentence: str) -> Run:
    """A run whose result cannot be read; where its status can, that still says to which row it belongs."""
    try:
        status = folder.status()
    except (RecordError, OSError):
        status = None
    return Run(
        run_id=folder.path.name,
        cell_id=status.cell_id if status is not None else None,
        seed=status.seed if status is not None else None,
        state="broken",
        config=completed(status.config) if status is not None else {},
        record=None,
        error=sentence,
    )


def missing_run(job: Job, seed: int | None) -> Run:
    """A planned run that has left nothing."""
    return Run(
        run_id=job.run_id,
        cell_id=None,
        seed=seed,
        state="missing" if job.refused is None else "refused",
        config={},
        record=None,
        error=job.refused,
    )


def _named_study(path: Path) -> Study:
    study = read_study(path)
    if study.name != path.stem:
        raise RecordError(f"{path}: the file holds the study {study.name}: rename one of them")
    if study.name in RESERVED or "." in study.name:
        raise RecordError(f"{path}: the report has a file of that name itself: rename the study")
    return study


def _relative(error: RecordError, root: Path) -> str:
    """The message without the way to the store: where a store lies must not change the report."""
    return str(error).removeprefix(f"{root}/")
