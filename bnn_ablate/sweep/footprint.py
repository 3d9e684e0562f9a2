"""How many bytes runs leave on the disk, from the folders of earlier ones or from their networks' parameters."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import fmean

from bnn_ablate.record import CostFacts
from bnn_ablate.settings import Tracking
from bnn_ablate.sweep.past import Ask, Past

#: Bytes of a float32.
FLOAT = 4
#: What a checkpoint says beside its tensors, the configuration, the record.
OTHER_BYTES = 250_000
#: Rows of the curve and of the diagnostics.
EPOCH_BYTES = 3_000
#: What W&B keeps of a run in runs/wandb.
WANDB_BYTES = 50_000


def expected_bytes(ask: Ask, cost: CostFacts, past: Past, tracking: Tracking) -> int:
    """The size of the run's folder once it is done, and of what W&B keeps of it."""
    same_cell = [size for other, size in past.bytes_of if other.cell_id == ask.cell_id]
    like = [
        size
        for other, size in past.bytes_of
        if (other.counted, other.moments, other.task.epochs) == (ask.counted, ask.moments, ask.task.epochs)
    ]
    found = same_cell if same_cell else like
    own = round(fmean(found)) if found else counted_bytes(cost, ask)
    return own + (WANDB_BYTES if tracking.name == "wandb" else 0)


def counted_bytes(cost: CostFacts, ask: Ask) -> int:
    """The checkpoint with the optimizer's values, the packed network, and all else."""
    checkpoint = FLOAT * cost.params * (1 + ask.moments)
    return checkpoint + cost.size_bits // 8 + OTHER_BYTES + EPOCH_BYTES * ask.task.epochs


def free_bytes(runs: Path) -> int:
    """What is free on the disk that ``runs`` is on, or will be."""
    path = runs.absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
