"""The jobs of a sweep: composed once, checked, and named by their run ids before anything starts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from bnn_ablate.data.identity import data_checksum
from bnn_ablate.identity import Ids, ids_of
from bnn_ablate.job import plain_of
from bnn_ablate.outcome import PLAIN_ERRORS
from bnn_ablate.pretraining import float_settings
from bnn_ablate.settings import Data, Settings, read_settings
from bnn_ablate.study import asked
from bnn_ablate.study_axes import names_of
from bnn_ablate.sweep.compose import Compose, Plain, composed
from bnn_ablate.sweep.expand import Overrides


@dataclass(frozen=True)
class SweepJob:
    """One run that a sweep asks for. ``label`` is what differs from the sweep's other jobs, for people."""

    overrides: Overrides
    label: str
    settings: Settings
    ids: Ids
    #: Run id of the float network that it starts from (pretrain=relu and the like).
    needs: str | None
    #: ``pretrain``: it is the float network that others start from.
    job_type: Literal["train", "pretrain"] = "train"

    @property
    def run_id(self) -> str:
        return self.ids.run_id


@dataclass(frozen=True)
class RefusedJob:
    """A combination that makes no sense; ``reason`` is one sentence."""

    overrides: Overrides
    label: str
    reason: str


@dataclass(frozen=True)
class SweepJobs:
    """What a sweep asks for: jobs in the order of the command line, those that are refused, and how many were equal."""

    jobs: tuple[SweepJob, ...]
    refused: tuple[RefusedJob, ...]
    #: Jobs that are the same run as an earlier one.
    repeated: int


def sweep_jobs(overrides: Sequence[Overrides], compose: Compose, folders: Sequence[Path]) -> SweepJobs:
    """Compose, check and name each job; ``folders`` are those that options are looked for in.

    What Hydra cannot compose is an error of the whole sweep, which ``compose`` raises before anything has started; a
    combination that our own checks refuse is one refused job.
    """
    labels = labels_of(overrides)
    checksums = _Checksums()
    jobs: dict[str, SweepJob] = {}
    refused = []
    for one, label, read in zip(overrides, labels, _readers(overrides, compose, folders), strict=True):
        try:
            settings = read()
            ids = ids_of(settings, checksum=checksums.of(settings.data))
            first = float_settings(settings)
            needs = None if first is None else ids_of(first, checksum=ids.checksum).run_id
        except PLAIN_ERRORS as error:
            refused.append(RefusedJob(one, label, str(error)))
            continue
        jobs.setdefault(ids.run_id, SweepJob(one, label, settings, ids, needs))
    return SweepJobs(tuple(jobs.values()), tuple(refused), len(overrides) - len(refused) - len(jobs))


class _Checksums:
    """Checksums of images, found once for each set: a sweep of hundreds of jobs must not read its images each time."""

    def __init__(self) -> None:
        self.found: dict[Data, str] = {}

    def of(self, data: Data) -> str:
        if data not in self.found:
            self.found[data] = data_checksum(data)
        return self.found[data]


def float_networks(jobs: Sequence[SweepJob]) -> list[SweepJob]:
    """The float networks that some of ``jobs`` start from, each once, unless they are jobs themselves."""
    found: dict[str, SweepJob] = {}
    own = {job.run_id for job in jobs}
    for job in jobs:
        first = float_settings(job.settings)
        if first is None or job.needs is None or job.needs in own or job.needs in found:
            continue
        label = f"the float network of pretrain={job.settings.design.pretrain.name} seed={job.settings.seed}"
        ids = ids_of(first, checksum=job.ids.checksum)
        found[job.needs] = SweepJob(job.overrides, label, first, ids, None, "pretrain")
    return list(found.values())


def labels_of(overrides: Sequence[Overrides]) -> list[str]:
    """The jobs' names: what each asks that not all of them do."""
    return names_of([asked(list(one)) for one in overrides])


class _Reader:
    """Checked settings of one cell's jobs: what they share is resolved once, which takes longer than the check."""

    def __init__(self, plain: Plain) -> None:
        self.plain = plain
        self.resolved: Any = None
        # a value made from the seed is another one for each seed
        self.shared = re.search(r"\$\{[^}]*seed", json.dumps(plain)) is None

    def read(self, seed: int | None) -> Settings:
        """The settings with that seed, or with the one that was composed."""
        if seed is None:
            return read_settings(plain_of(OmegaConf.create(self.plain)))
        if self.resolved is None or not self.shared:
            self.resolved = plain_of(OmegaConf.create({**self.plain, "seed": seed}))
        return read_settings({**self.resolved, "seed": seed})


#: A seed as Hydra and Python read it alike; others (0x10, 1e3, an interpolation) are left to Hydra.
_SEED = re.compile(r"seed=(0|[1-9]\d*)")


def _readers(
    overrides: Sequence[Overrides], compose: Compose, folders: Sequence[Path]
) -> Iterator[Callable[[], Settings]]:
    """What reads the settings of each job. Jobs that differ in their seed only are composed once."""
    cells = [tuple(text for text in one if not _SEED.fullmatch(text)) for one in overrides]
    distinct = list(dict.fromkeys(cells))
    readers = {cell: _Reader(plain) for cell, plain in zip(distinct, composed(distinct, compose, folders), strict=True)}
    for one, cell in zip(overrides, cells, strict=True):
        seeds = [int(found[1]) for text in one if (found := _SEED.fullmatch(text))]
        yield partial(readers[cell].read, seeds[-1] if seeds else None)
