"""The packed network of a run."""

from __future__ import annotations

from pathlib import Path

from bnn_ablate.export.errors import ExportError
from bnn_ablate.models import shapes_of
from bnn_ablate.outcome import PLAIN_ERRORS
from bnn_ablate.packed.file import read_graph
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.graph import Graph, GraphError
from bnn_ablate.packed.lower import lower
from bnn_ablate.packed.lowering import LoweringError
from bnn_ablate.store import RunFolder, Store
from bnn_ablate.trained import load_trained, saved_settings


def packed_run(run_id: str, runs: Path) -> Graph:
    """The packed file of a run, or, of one without, the network of its last checkpoint, packed now.

    Raises ExportError where the run is not trained, damaged, or cannot be packed; PackedFileError for its packed file.
    """
    try:
        folder = Store(runs).run(run_id)
        status = folder.status()
        if status is None or status.state not in ("trained", "done"):
            state = "is not there" if status is None else f"is {status.state}"
            raise ExportError(f"run={run_id} {state} in {runs}: only a trained run can be exported")
        if folder.packed.exists():
            return read_graph(folder.packed)
        return _packed_now(folder)
    except (*PLAIN_ERRORS, LoweringError, GraphError) as error:
        raise ExportError(f"run={run_id}: {error}") from error


def _packed_now(folder: RunFolder) -> Graph:
    settings = saved_settings(folder)
    shapes = shapes_of(settings)
    side = shapes["image_size"]
    return fold(lower(load_trained(settings, folder).network, (shapes["in_channels"], side, side)))
