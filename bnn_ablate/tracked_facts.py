"""What W&B is told of a run: its name, group, tags and columns before the training, its figures afterwards."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bnn_ablate.identity import Ids, labels, plain_config
from bnn_ablate.record import Record
from bnn_ablate.report.numbers import MIB
from bnn_ablate.report.rows import combined_macs
from bnn_ablate.settings import Settings
from bnn_ablate.store import Store
from bnn_ablate.study import Job, read_study, study_path
from bnn_ablate.study_axes import axes_of, cell_of, name_among

#: W&B refuses longer ones.
LONGEST_NAME, LONGEST_TAG = 128, 64


def jobs_of(settings: Settings) -> list[Job]:
    """The jobs of the sweep that the run belongs to, as far as they are planned; none for a single run."""
    if settings.study is None:
        return []
    path = study_path(Store(Path(settings.runs)).studies, settings.study)
    return read_study(path).jobs if path.exists() else []


def opening_facts(settings: Settings, ids: Ids, label: str, job_type: str) -> dict[str, Any]:
    """The arguments of wandb.init that describe the run.

    Columns are flat, since W&B filters, groups and plots by them: the option of each axis under its name, and whatever
    else the sweep varies under the name of its :class:`~bnn_ablate.study_axes.Axis`; ``cell`` is the run's name without
    its seed. All settings lie in ``settings``.
    """
    jobs = jobs_of(settings)
    options, config = labels(settings), plain_config(settings, ids)
    varied = {axis.column: axis.value(config) for axis in axes_of(jobs)}
    name = name_among(label, jobs) if label else ids.run_id
    return {
        "name": name[:LONGEST_NAME],
        "group": settings.study,
        "job_type": job_type,
        "tags": [f"{axis}={option}"[:LONGEST_TAG] for axis, option in options.items()],
        "config": {
            **varied,
            **options,
            "seed": settings.seed,
            "cell": cell_of(name) if label else ids.cell_id,
            "run_id": ids.run_id,
            "cell_id": ids.cell_id,
            "settings": config,
        },
    }


def closing_facts(record: Record) -> dict[str, Any]:
    """The run's summary; what was not measured is left out.

    Accuracies are fractions, sizes MiB, MACs those of one image, of which ``macs_combined`` counts 64 binary ones as
    one, latency the median milliseconds of one image in the packed network.
    """
    facts = {
        "top1": record.accuracy.top1,
        "top5": record.accuracy.top5,
        "last5_top1": record.last5_top1,
        "packed_top1": record.packed.top1,
        "size_mib": record.cost.size_bits / MIB,
        "macs_float": record.cost.macs_float,
        "macs_binary": record.cost.macs_binary,
        "macs_combined": combined_macs(record),
        "latency_ms": record.packed.median_latency_ms,
        "train_seconds": record.provenance.train_seconds,
        "packed": asdict(record.packed),
        "weight_digest": record.weight_digest,
    }
    return {key: value for key, value in facts.items() if value is not None}
