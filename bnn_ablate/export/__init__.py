"""Packed networks in the formats of other engines."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from bnn_ablate.export.errors import ExportError
from bnn_ablate.export.openvino import openvino_files
from bnn_ablate.packed.graph import Graph

__all__ = ["TARGETS", "ExportError", "export_graph"]

#: Translates a graph for a batch of images; what it returns writes files into a folder and gives their names.
Exporter = Callable[[Graph, int], Callable[[Path], list[str]]]
TARGETS: dict[str, Exporter] = {"openvino": openvino_files}


def export_graph(graph: Graph, target: str, out: Path, *, batch: int = 1) -> list[Path]:
    """Write ``graph`` for ``target`` into the folder ``out``, made where it is not there; the files written.

    Files of an earlier export are replaced, once the new ones are whole. Raises ExportError for an unknown target, a
    library that is not installed, a ``batch`` that is not positive, or where the folder cannot be written.
    """
    if target not in TARGETS:
        raise ExportError(f"to={target} must be one of {', '.join(TARGETS)}")
    if batch < 1:
        raise ExportError(f"batch={batch} must be at least 1")
    write = TARGETS[target](graph, batch)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as folder:
            names = write(Path(folder))
            for name in names:
                os.replace(Path(folder) / name, out / name)
    except OSError as error:
        raise ExportError(f"out={out} cannot be written: {error.strerror}") from error
    return [out / name for name in names]
