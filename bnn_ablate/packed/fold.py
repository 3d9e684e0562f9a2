"""Affines worked into what stands before them: fewer passes over feature maps, and the same function but for rounding.

Every value that is left has its name from before, and its values up to rounding.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.graph import IMAGE, Affine, Conv, Graph, Node, needed


def fold(graph: Graph) -> Graph:
    """The graph with each Affine merged into an Affine or a float Conv before it that nothing else reads.

    Products are taken in float64 and rounded to float32 once. Affines that change nothing go, and so do nodes on which
    the output does not depend. An Affine behind a BinaryConv stays: signs cannot take it in.
    """
    kept = needed(graph.nodes, graph.output)
    readings = dict.fromkeys(graph.shapes, 0)
    for node in kept:
        for name in node.inputs:
            readings[name] += 1
    stands_for: dict[str, str] = {}
    folded: dict[str, Node] = {}
    for original in kept:
        node = replace(original, inputs=tuple(stands_for.get(name, name) for name in original.inputs))
        if isinstance(node, Affine):
            (source,) = node.inputs
            merged = _merged(folded[source], node) if source in folded and readings[source] == 1 else None
            if merged is not None:
                del folded[source]
                node = merged
        # an output that changes nothing on the image stays: a graph has one node at least
        if isinstance(node, Affine) and _changes_nothing(node) and (node.name, *node.inputs) != (graph.output, IMAGE):
            (source,) = node.inputs
            stands_for[node.name] = source
            readings[source] += readings[node.name] - 1
        else:
            folded[node.name] = node
    return Graph(graph.image_shape, tuple(folded.values()))


def _merged(before: Node, affine: Affine) -> Node | None:
    """One node for two, of the second one's name; None where they cannot be one."""
    scale, shift = affine.scale.astype(np.float64), affine.shift.astype(np.float64)
    merged: Affine | Conv
    # an overflow is found below
    with np.errstate(over="ignore"):
        if isinstance(before, Affine):
            merged = replace(
                before,
                name=affine.name,
                scale=(before.scale * scale).astype(np.float32),
                shift=(before.shift * scale + shift).astype(np.float32),
            )
            finite = _finite(merged.scale, merged.shift)
        elif isinstance(before, Conv) and before.weight.dtype == np.float32:
            merged = replace(
                before,
                name=affine.name,
                weight=(before.weight * scale[:, None, None, None]).astype(np.float32),
                bias=(before.bias * scale + shift).astype(np.float32),
            )
            finite = _finite(merged.weight, merged.bias)
        else:
            return None
    return merged if finite else None


def _finite(*arrays: NDArray[np.float32] | NDArray[np.bool_]) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


def _changes_nothing(node: Affine) -> bool:
    return bool((node.scale == 1).all() and (node.shift == 0).all())
