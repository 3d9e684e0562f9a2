"""The jobs of a sweep: composed once, checked, and named by their run ids before anything starts."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from bnn_ablate.data.identity import data_checksum
from bnn_ablate.identity import Ids, ids_of
from bnn_ablate.job import settings_of
from bnn_ablate.outcome import PLAIN_ERRORS
from bnn_ablate.pretraining import float_settings
from bnn_ablate.settings import Data, Settings
from bnn_ablate.study import asked
from bnn_ablate.sweep.expand import Overrides

#: Composes one job's configuration from its overrides.
Compose = Callable[[Sequence[str]], DictConfig]

#: Below so many configurations, further processes cost more than they save: each takes Hydra about a tenth of a second.
FEW = 24


@dataclass(frozen=True)
class SweepJob:
    """One run that a sweep asks for. ``label`` is what differs from the sweep's other jobs, for people."""

    overrides: Overrides
    label: str
    settings: Settings
    ids: Ids
    #: Run id of the float network that it starts from (pretrain=relu and the like).
    needs: str | None

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


def sweep_jobs(overrides: Sequence[Overrides], compose: Compose) -> SweepJobs:
    """Compose, check and name each job.

    What Hydra cannot compose is an error of the whole sweep, which ``compose`` raises before anything has started; a
    combination that our own checks refuse is one refused job.
    """
    labels = labels_of(overrides)
    checksums = _Checksums()
    jobs: dict[str, SweepJob] = {}
    refused = []
    for one, label, config in zip(overrides, labels, composed(overrides, compose), strict=True):
        try:
            settings = settings_of(config)
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
        found[job.needs] = SweepJob(job.overrides, label, first, ids, None)
    return list(found.values())


def labels_of(overrides: Sequence[Overrides]) -> list[str]:
    """What each job asks that not all of them do; "baseline" where a job asks nothing more than the others."""
    asked_for = [asked(list(one)) for one in overrides]
    shared = set.intersection(*(set(one) for one in asked_for)) if asked_for else set()
    if len(overrides) == 1:
        shared = set()
    labels = [" ".join(text for text in one if text not in shared) for one in asked_for]
    return [label if label else "baseline" for label in labels]


def composed(overrides: Sequence[Overrides], compose: Compose) -> list[DictConfig]:
    """The configuration of each job, without the part of Hydra.

    Jobs that differ in their seed only are composed once: setting one number is the same, and fifty times as fast. Many
    are composed by several processes.
    """
    without_seed = [tuple(text for text in one if not text.startswith("seed=")) for one in overrides]
    distinct = list(dict.fromkeys(without_seed))
    plain = _Plain(compose)
    if len(distinct) < FEW:
        found = [plain(one) for one in distinct]
    else:
        # forked, because what composes belongs to this process; nothing here has started a thread yet
        with multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
            found = pool.map(plain, distinct, chunksize=4)
    by_overrides = dict(zip(distinct, found, strict=True))
    configs = []
    for one, key in zip(overrides, without_seed, strict=True):
        config = OmegaConf.create(by_overrides[key])
        for text in one:
            if text.startswith("seed="):
                config.seed = OmegaConf.from_dotlist([text]).seed
        configs.append(config)
    return configs


class _Plain:
    """Composes to plain containers, which other processes can send; interpolations stay as they are written."""

    def __init__(self, compose: Compose) -> None:
        self.compose = compose

    def __call__(self, overrides: Overrides) -> Any:
        config = self.compose(overrides)
        with open_dict(config):
            del config["hydra"]
        return OmegaConf.to_container(config, resolve=False)


def renamed(job: SweepJob, study: str) -> SweepJob:
    """The job as part of that study."""
    return replace(job, settings=replace(job.settings, study=study))
