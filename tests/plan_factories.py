"""Jobs of a sweep, and finished runs of them that took as long as a test says."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from conftest import TINY_TRAINING
from factories import make_record

from bnn_ablate.identity import ids_of, plain_config
from bnn_ablate.pretraining import float_settings
from bnn_ablate.processor import cpu_name
from bnn_ablate.record import CostFacts, Record
from bnn_ablate.settings import Settings
from bnn_ablate.states import status_of
from bnn_ablate.store import RunFolder, State, Store
from bnn_ablate.sweep.jobs import RefusedJob, SweepJob, SweepJobs
from bnn_ablate.sweep.sweeping import Sweep

#: A step takes 0.0114 + 2.4e-9 x 1e6 + B (0.0002 + 70e-12 x 1e6 + 22e-12 x 1e7) = 0.0138 + 0.00049 B units of work.
COST = CostFacts(
    params=1_000_000, params_binary=800_000, size_bits=7_200_000, macs_float=1_000_000, macs_binary=10_000_000
)

#: A network whose sizes pass every check of settings and cannot be built all the same.
IMPOSSIBLE = (
    *TINY_TRAINING,
    "model=binary_densenet28",
    "model.layers_per_stage=[1,1]",
    "model.dilation=[1,1]",
    "model.reduction=[100]",
)


def make_job(settings: Settings, label: str = "", **changes: Any) -> SweepJob:
    """The job of these settings; ``changes`` are of Settings."""
    settings = replace(settings, **changes)
    first = float_settings(settings)
    name = f"{label} seed={settings.seed}".strip()
    return SweepJob(
        tuple(name.split()), name, settings, ids_of(settings), None if first is None else ids_of(first).run_id
    )


def put_finished(
    root: Path,
    job: SweepJob,
    *,
    training: float,
    whole: float,
    cost: CostFacts = COST,
    config_yaml: str = "trainer:\n  binary_forward: packed\n",
    resumes: int = 0,
    **place: Any,
) -> Record:
    """A finished run of ``job`` that trained for so many seconds and took ``whole`` (a whole number) from its start to
    its record, on this machine's processor; ``place`` has other fields of the record's provenance."""
    made = make_record(seed=job.settings.seed)
    epochs = job.settings.recipe.epochs
    began = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    record = replace(
        made,
        run_id=job.run_id,
        cell_id=job.ids.cell_id,
        config=plain_config(job.settings, job.ids),
        cost=cost,
        data=replace(made.data, num_train=96, num_test=24),
        curve=[replace(made.curve[0], epoch=epoch, seconds=training / epochs) for epoch in range(epochs)],
        steps=epochs * (96 // job.settings.recipe.batch_size),
        provenance=replace(
            made.provenance,
            **{"cpu": cpu_name(), **place},
            started=began.isoformat(timespec="seconds"),
            finished=(began + timedelta(seconds=whole)).isoformat(timespec="seconds"),
            train_seconds=training,
            resumes=resumes,
        ),
    )
    folder = put_state(root, job, "done")
    folder.write_record(record)
    (folder.path / "config.yaml").write_text(config_yaml)
    return record


def put_state(root: Path, job: SweepJob, state: State, *, epochs: int = 0, error: str | None = None) -> RunFolder:
    """A run in that state, with a checkpoint after so many epochs."""
    folder = Store(root).run(job.run_id)
    folder.path.mkdir(parents=True)
    folder.write_status(status_of(job.settings, job.ids, state, sentence=error))
    if epochs:
        folder.checkpoint.write_bytes(b"a checkpoint")
        folder.metrics.write_text("epoch,lr\n" + "".join(f"{epoch},0.01\n" for epoch in range(epochs)))
    return folder


def make_sweep(root: Path, *jobs: SweepJob, refused: tuple[RefusedJob, ...] = (), repeated: int = 0) -> Sweep:
    """These jobs as a launcher is given them."""
    return Sweep("study-1234", Store(root), SweepJobs(jobs, refused, repeated))
