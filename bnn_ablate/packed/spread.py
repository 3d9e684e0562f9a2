"""Channelwise operators taken from a concatenation to its parts: the same values, from smaller memory.

A pooling over the concatenated feature map of a dense stage reads all of it long after most of it was made. Over each
part, as soon as that is made, it finds the part in a nearer cache, and the whole is never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bnn_ablate.packed.graph import (
    IMAGE,
    MAX_NODES,
    Activation,
    Affine,
    BinaryConv,
    Concat,
    Graph,
    Node,
    Pool,
    needed,
    unused,
)


def spread(graph: Graph) -> Graph:
    """The graph with each Affine, Activation and Pool of a concatenation done to its parts, the result being one again.

    What signs are taken of stays: an Affine before a BinaryConv is never computed. Parts of ``name`` are called
    ``name[0]``, ``name[1]``, ...; they come right after what they read. A graph that would get too many nodes is left.
    """
    consumers = graph.consumers()
    channels = {name: shape[0] for name, shape in graph.shapes.items()}
    parts_of: dict[str, tuple[str, ...]] = {}
    nodes: list[Node] = []
    moved: set[str] = set()
    for node in graph.nodes:
        if isinstance(node, Concat):
            parts_of[node.name] = tuple(leaf for name in node.inputs for leaf in parts_of.get(name, (name,)))
        elif (
            isinstance(node, Affine | Activation | Pool)
            and node.inputs[0] in parts_of
            and not any(isinstance(reader, BinaryConv) for reader in consumers[node.name])
        ):
            names, first = [], 0
            for i, leaf in enumerate(parts_of[node.inputs[0]]):
                name, last = unused(f"{node.name}[{i}]", channels), first + channels[leaf]
                nodes.append(_part(node, name, leaf, slice(first, last)))
                channels[name], first = channels[leaf], last
                names.append(name)
            moved.update(names)
            parts_of[node.name] = tuple(names)
            nodes.append(Concat(name=node.name, inputs=tuple(names)))
            continue
        nodes.append(node)
    kept = needed(nodes, graph.output)
    return Graph(graph.image_shape, _early(kept, moved)) if len(kept) <= MAX_NODES else graph


def _part(node: Affine | Activation | Pool, name: str, reads: str, channels: slice) -> Node:
    if isinstance(node, Affine):
        scale, shift = node.scale[channels], node.shift[channels]
        return replace(node, name=name, inputs=(reads,), scale=scale, shift=shift)
    return replace(node, name=name, inputs=(reads,))


def _early(nodes: Sequence[Node], moved: set[str]) -> tuple[Node, ...]:
    """The nodes in their order, but those that were moved as soon as what they read is there."""
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        if node.name in moved:
            readers.setdefault(node.inputs[0], []).append(node)
    ordered: list[Node] = []
    waiting = readers.get(IMAGE, [])[::-1]
    for node in nodes:
        _drain(waiting, readers, ordered)
        if node.name not in moved:
            waiting.append(node)
    _drain(waiting, readers, ordered)
    return tuple(ordered)


def _drain(waiting: list[Node], readers: dict[str, list[Node]], ordered: list[Node]) -> None:
    """Put what waits in order, each node followed by those that were moved behind it."""
    while waiting:
        node = waiting.pop()
        ordered.append(node)
        waiting.extend(readers.get(node.name, [])[::-1])
