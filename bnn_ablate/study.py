"""A sweep as a named list of runs, so that a table can show what is there and what is missing.

``python -m bnn_ablate -m ...`` writes runs/studies/<name>.json before its first run starts: every planned job with its
overrides and its run id. The name is ``study=NAME``, or made from the swept axes and a hash of the overrides, so the
same command is the same study; a second command under one name adds its jobs, and so does a single run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bnn_ablate.analysis import Declaration
from bnn_ablate.atomic import write_atomically
from bnn_ablate.checked import STRICT
from bnn_ablate.lease import Lease, in_turn, machine_lock
from bnn_ablate.record import RecordError

#: Overrides that say where and how a sweep runs, not what it asks.
NOT_ASKED = (
    *("study=", "sweeps=", "runs=", "trainer", "tracking", "hydra", "data.root=", "data.download="),
    "analysis.",
)


#: Letters of the axes in a name that is made of them: the hash tells studies apart, and a file's name has an end.
LONGEST_AXES = 80


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Job:
    """One planned run: its overrides, and its id; None for a combination that is ``refused`` for that reason."""

    overrides: list[str]
    run_id: str | None
    refused: str | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Study:
    """A sweep's jobs in the order of the command line, and what was declared before they ran.

    The first declaration counts. One that replaced it before any run was done has taken its place; one that came
    later stands behind it.
    """

    schema: Literal[1]
    name: str
    jobs: list[Job]
    declared: list[Declaration] = field(default_factory=list)


_STUDY: TypeAdapter[Study] = TypeAdapter(Study)


def asked(overrides: list[str], *, folder: bool | None = None) -> list[str]:
    """The overrides that decide results, as typed.

    trainer=smoke is one: it cuts images and epochs. So is data.root of an image folder: it says which images.
    ``folder`` says whether the data are one, where that does not stand in the overrides but in a file of sweeps/.
    """
    if folder is None:
        folder = "data=image_folder" in overrides

    def decides(text: str) -> bool:
        smoke = text.startswith("trainer=") and "smoke" in text.removeprefix("trainer=").split(",")
        return smoke or (folder and text.startswith("data.root=")) or not text.lstrip("+~").startswith(NOT_ASKED)

    return [text for text in overrides if decides(text)]


def default_name(overrides: list[str]) -> str:
    """The swept axes, or "study", and six hex digits of a hash over all that was asked: ``grad-scaling-3f2a91``."""
    swept = sorted(
        re.sub("[^A-Za-z0-9]+", "_", text.split("=", 1)[0].lstrip("+")) for text in asked(overrides) if _is_swept(text)
    )
    digest = hashlib.sha256("\n".join(sorted(asked(overrides))).encode()).hexdigest()[:6]
    # digits alone, or with an e among them, would come back from the command line as a number
    return "-".join(["-".join(swept)[:LONGEST_AXES].rstrip("_-") if swept else "study", digest])


def _is_swept(override: str) -> bool:
    value = override.split("=", 1)[-1]
    if value.startswith(("[", "{")):  # one list or mapping is one value
        return re.search(r"[\]}]\s*,", value) is not None
    return value.startswith(("choice(", "range(", "glob(")) or "," in value


def study_path(studies: Path, name: str) -> Path:
    """Where the study of that name lies."""
    return studies / f"{name}.json"


def read_study(path: Path) -> Study:
    """Read one study; a broken file is a RecordError that names it."""
    try:
        return _STUDY.validate_json(path.read_bytes())
    except ValidationError as error:
        raise RecordError(f"{path}: {error.errors(include_url=False)[0]['msg']}") from None


def plan_jobs(studies: Path, name: str, planned: list[Job], declaration: Declaration | None = None) -> None:
    """Write the planned jobs, kept together with the jobs the study already has, and what is declared for them.

    A job that is already there takes the new run id: an option or the code may have changed since. A declaration takes
    the place of those from before the first result; afterwards it can only be added.
    """
    with _changing(studies, name):
        before = _read(studies, name)
        jobs = {_key(job): job for job in before.jobs}
        for job in planned:
            jobs[_key(job)] = job
        after = replace(before, jobs=list(jobs.values()), declared=_declared(before.declared, declaration))
        if after != before:
            write_atomically(study_path(studies, name), (json.dumps(asdict(after), indent=1) + "\n").encode())


def _declared(before: list[Declaration], new: Declaration | None) -> list[Declaration]:
    if new is None or any(one.digest == new.digest for one in before):
        return before
    return [new] if new.done == 0 else [*before, new]


def add_run(studies: Path, name: str, overrides: list[str], run_id: str) -> None:
    """Say which run a job became, unless the study says so already. ``overrides`` are those that are :func:`asked`."""
    plan_jobs(studies, name, [Job(overrides=overrides, run_id=run_id)])


def _key(job: Job) -> tuple[str, ...]:
    """Overrides in another order ask for the same run."""
    return tuple(sorted(job.overrides))


@contextmanager
def _changing(studies: Path, name: str) -> Iterator[None]:
    """One process at a time, also of hosts that locks of the operating system do not reach."""
    studies.mkdir(parents=True, exist_ok=True)
    lease = Lease(studies / f".{name}.heartbeat", f"study {name}")
    with machine_lock(studies / f".{name}.lock", timeout=-1) as locked, in_turn(lease, locked=locked):
        yield


def _read(studies: Path, name: str) -> Study:
    path = study_path(studies, name)
    return read_study(path) if path.exists() else Study(schema=1, name=name, jobs=[])
