"""How far a run is, read from its folder without leaving a trace there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bnn_ablate.record import RecordError
from bnn_ablate.store import RunFolder

#: As in status.json, but that ``running`` needs a sign of life; ``new`` never wrote a state; ``broken`` has a file that
#: cannot be read.
StandingState = Literal["done", "running", "trained", "stopped", "failed", "diverged", "new", "broken"]


@dataclass(frozen=True)
class Standing:
    """A run's state; ``epochs`` are those that its checkpoint keeps.

    ``remark`` is who works on the run, why it failed or diverged, or what is broken.
    """

    state: StandingState
    epochs: int
    remark: str | None

    @property
    def to_do(self) -> bool:
        """Whether a sweep has something to do here: not what is over, nor what another process is at."""
        return self.state in ("new", "stopped", "failed", "trained")


def standing_of(folder: RunFolder) -> Standing:
    """How far the run in ``folder`` is."""
    try:
        record = folder.record()
        if record is not None:
            return Standing("done", len(record.curve), None)
        status = folder.status()
    except RecordError as error:
        return Standing("broken", 0, str(error))
    epochs = _rows(folder.metrics) if folder.checkpoint.exists() else 0
    holder = folder.holder()
    if holder is not None:
        return Standing("running", epochs, holder.holder)
    if status is None:
        return Standing("new", 0, None)
    if status.state in ("running", "done"):  # killed, or its record was taken away: it goes on from its checkpoint
        return Standing("stopped", epochs, None)
    return Standing(status.state, epochs, status.error)


def _rows(metrics: Path) -> int:
    """Whole rows of metrics.csv below its title."""
    return max(0, metrics.read_text().count("\n") - 1) if metrics.exists() else 0


def folder_bytes(folder: RunFolder) -> int:
    """What a run's folder holds, without evaluations that were made later; 0 where there is none."""
    if not folder.path.exists():
        return 0
    return sum(entry.stat().st_size for entry in os.scandir(folder.path) if entry.is_file())
