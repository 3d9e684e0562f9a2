"""Jobs of a sweep without Hydra, for tests of what is done with them."""

from __future__ import annotations

from dataclasses import replace

from bnn_ablate.identity import Ids
from bnn_ablate.settings import Settings
from bnn_ablate.sweep.jobs import SweepJob


def job(settings: Settings, number: int, *, label: str | None = None, needs: str | None = None) -> SweepJob:
    """The ``number``-th job, with a run id made of it."""
    ids = Ids(run_id=f"{number:012x}", cell_id="c" * 12, checksum="x", checkpoint=None)
    return SweepJob(
        (f"seed={number}",), f"seed={number}" if label is None else label, replace(settings, seed=number), ids, needs
    )
