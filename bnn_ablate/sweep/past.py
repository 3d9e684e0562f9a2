"""What finished runs tell of later ones: how fast a machine was, what a network costs, what a folder holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bnn_ablate.design import AXES
from bnn_ablate.identity import plain_config
from bnn_ablate.older import completed
from bnn_ablate.processor import cpu_name, gpu_name
from bnn_ablate.record import CostFacts, Record, RecordError
from bnn_ablate.settings import Trainer
from bnn_ablate.store import RunFolder, Store
from bnn_ablate.sweep.images import image_counts
from bnn_ablate.sweep.jobs import SweepJob
from bnn_ablate.sweep.standing import folder_bytes
from bnn_ablate.sweep.work import Task, other_work, training_work

#: Axes that change where weights start and nothing that is computed afterwards.
STARTS = ("init", "pretrain")
#: Axes that change what is computed, and neither parameters nor MACs.
UNCOUNTED = (*STARTS, "grad", "latent", "output", "padding")


@dataclass(frozen=True)
class Place:
    """Where a run computes: two runs of one network take the same time in one place."""

    #: Processor, or GPU where it trains on one; None for a GPU where there is none.
    machine: str | None
    gpu: bool
    devices: int
    threads: int
    compiled: bool
    binary_forward: str | None


def place_of(trainer: Trainer) -> Place:
    """Where a run with this trainer would compute on this machine."""
    gpu = trainer.accelerator == "gpu"
    return Place(
        machine=gpu_name() if gpu else cpu_name(),
        gpu=gpu,
        devices=trainer.devices,
        threads=trainer.threads,
        compiled=trainer.compile,
        binary_forward=trainer.binary_forward,
    )


@dataclass(frozen=True)
class Ask:
    """What of a run decides its time and its bytes.

    ``network`` tells networks apart that compute different things, ``counted`` those that have different parameters or
    MACs; ``sizes`` is the model's sizes and the images' shape, whatever the design.
    """

    cell_id: str
    place: Place
    network: str
    counted: str
    sizes: str
    family: str
    task: Task
    #: Values that the optimizer keeps for each parameter.
    moments: int


def ask_of(job: SweepJob) -> Ask:
    """The same of a job that may not have begun. Raises DataError where its images are not there."""
    settings, counts = job.settings, image_counts(job.settings.data)
    config = plain_config(settings, job.ids)
    return Ask(
        cell_id=job.ids.cell_id,
        place=place_of(settings.trainer),
        task=Task(
            batch_size=settings.recipe.batch_size,
            steps=counts.train // settings.recipe.batch_size,
            epochs=settings.recipe.epochs,
            evaluated=counts.test + counts.holdout,
            tested=counts.test,
        ),
        **_keys(config),
    )


def _keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """What tells networks apart, of a configuration as records hold it."""
    model = {key: value for key, value in config["model"].items() if key != "name"}
    data, optimizer = config["data"], config["recipe"]["optimizer"]
    shape = [data.get("image_size"), data.get("num_classes"), len(data.get("mean", ()))]
    sizes = {"model": model, "images": shape}

    def text(without: tuple[str, ...]) -> str:
        design = {axis: config[axis] for axis in AXES if axis in config and axis not in without}
        return json.dumps({**sizes, "design": design}, sort_keys=True)

    return {
        "network": text(STARTS),
        "counted": text(UNCOUNTED),
        "sizes": json.dumps(sizes, sort_keys=True),
        "family": model["family"],
        "moments": _moments(optimizer),
    }


def _moments(optimizer: Mapping[str, Any]) -> int:
    if optimizer["name"] in ("adam", "radam"):
        return 2
    return 0 if optimizer.get("momentum") == 0 else 1


@dataclass(frozen=True)
class Pace:
    """How long a run of ``ask`` took, relative to the formula of :mod:`bnn_ablate.sweep.work`.

    ``training`` for the steps, ``other`` for all else; None where that was not measured.
    """

    ask: Ask
    training: float
    other: float | None


@dataclass(frozen=True)
class Past:
    """What a store's finished runs tell. ``bytes_of`` has the folders that are whole, by run."""

    paces: tuple[Pace, ...]
    costs: Mapping[str, CostFacts]
    bytes_of: tuple[tuple[Ask, int], ...]
    #: Records that cannot be read, and so tell nothing.
    unreadable: int

    def cost_like(self, ask: Ask) -> CostFacts | None:
        """The cost of the network, or of one with its sizes and another design; None where there is neither."""
        if ask.counted in self.costs:
            return self.costs[ask.counted]
        like = next((pace.ask for pace in self.paces if pace.ask.sizes == ask.sizes), None)
        return None if like is None else self.costs[like.counted]


def read_past(store: Store) -> Past:
    """Read every record of ``store``."""
    paces: list[Pace] = []
    costs: dict[str, CostFacts] = {}
    sizes: list[tuple[Ask, int]] = []
    unreadable = 0
    for folder in store.runs():
        try:
            record = folder.record()
        except RecordError:
            unreadable += 1
            continue
        if record is None:
            continue
        try:
            ask = _ask_of_record(record, folder)
            pace = _pace(record, ask)
        except (LookupError, TypeError, ValueError, ZeroDivisionError):  # a configuration by another hand
            unreadable += 1
            continue
        costs.setdefault(ask.counted, record.cost)
        paces.append(pace)
        if folder.checkpoint.exists() and folder.packed.exists():
            sizes.append((ask, folder_bytes(folder)))
    return Past(tuple(paces), costs, tuple(sizes), unreadable)


def _ask_of_record(record: Record, folder: RunFolder) -> Ask:
    where, data = record.provenance, record.data
    return Ask(
        cell_id=record.cell_id,
        place=Place(
            machine=where.cpu if where.gpu is None else where.gpu,
            gpu=where.gpu is not None,
            devices=where.devices,
            threads=where.threads,
            compiled=where.compiled,
            binary_forward=_binary_forward(folder),
        ),
        task=Task(
            batch_size=record.config["recipe"]["batch_size"],
            steps=record.steps // len(record.curve),
            epochs=len(record.curve),
            evaluated=data.num_test + data.num_holdout,
            tested=data.num_test,
        ),
        **_keys(completed(record.config)),
    )


def _binary_forward(folder: RunFolder) -> str | None:
    """The trainer's field, which no record has: from config.yaml; None where that is missing."""
    path = folder.path / "config.yaml"
    if not path.exists():
        return None
    found = re.search(r"^  binary_forward: (\w+)$", path.read_text(), re.MULTILINE)
    return "float" if found is None else found[1]  # there was no other way before there was the field


def _pace(record: Record, ask: Ask) -> Pace:
    where = record.provenance
    other = None
    if where.resumes == 0:  # else the time between two attempts would count
        whole = (datetime.fromisoformat(where.finished) - datetime.fromisoformat(where.started)).total_seconds()
        # times to the second: a single difference may come out too small, their mean does not
        other = (whole - where.train_seconds) / other_work(record.cost, ask.task, ask.task.epochs)
    training = where.train_seconds / training_work(record.cost, ask.task, ask.task.epochs)
    return Pace(ask, training=training, other=other)
