"""A graph as JSON's values and tensors: arrays leave a reference ``{"signs" or "floats": tensor, "shape": [...]}``."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.container import Refused, Tensor, choice, fields, integers, printable, shown
from bnn_ablate.packed.graph import KINDS, MAX_NODES, MAX_VALUES, Floats, Graph, Node, Signs, attributes

#: How a file holds an array of signs; part of each file, so that it explains itself.
BITS = (
    "a set bit is the sign -1, a cleared one +1; the signs of an array follow one another in C order, the first in the"
    " highest bit of the first byte; what is left of the last byte is 0"
)

#: What each kind of node has beside name and inputs, by type.
_HINTS: dict[str, dict[str, Any]] = {
    name: {field: hint for field, hint in get_type_hints(kind).items() if field not in ("name", "inputs")}
    for name, kind in KINDS.items()
}
#: How an array of each type may be stored.
_STORED: dict[Any, tuple[str, ...]] = {Floats: ("floats",), Signs: ("signs",), Floats | Signs: ("floats", "signs")}


def describe(graph: Graph) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What stands for ``graph`` in JSON, and the tensors it refers to: signs as U8, packed as BITS says, and floats."""
    tensors: dict[str, NDArray[Any]] = {}
    nodes = [_described(node, tensors) for node in graph.nodes]
    return {"image_shape": list(graph.image_shape), "nodes": nodes}, tensors


def _described(node: Node, tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """A node in JSON's types; its arrays join ``tensors``."""
    kind = type(node).__name__
    described: dict[str, Any] = {}
    for field, value in attributes(node).items():
        if isinstance(value, np.ndarray):
            signs = value.dtype == np.bool_
            # names of nodes are unique and names of fields have no dot: so are names of tensors
            tensors[f"{node.name}.{field}"] = np.packbits(value) if signs else np.ascontiguousarray(value)
            described[field] = {"signs" if signs else "floats": f"{node.name}.{field}", "shape": list(value.shape)}
        else:
            plain = value.item() if isinstance(value, np.generic) else value
            described[field] = float(plain) if _HINTS[kind][field] is float else plain
    return {"kind": kind, "name": node.name, "inputs": list(node.inputs), "attributes": described}


def graph_of(described: Any, tensors: dict[str, Tensor]) -> Graph:
    """The graph whose description has arrays in ``tensors``, each in one place of it, all of them in use.

    Raises Refused, and GraphError for a description of no network.
    """
    arrays = _Arrays(tensors)
    fields(described, ("image_shape", "nodes"), "graph")
    channels, height, width = integers(described["image_shape"], 3, "image_shape")
    nodes = described["nodes"]
    if not isinstance(nodes, list) or not 0 < len(nodes) <= MAX_NODES:
        raise Refused(f"is invalid: nodes is {shown(nodes)} and must be a list of 1 to {MAX_NODES}")
    read = tuple(_node(node, position, arrays) for position, node in enumerate(nodes))
    arrays.check_all_taken()
    return Graph((channels, height, width), read)


def _node(described: Any, position: int, arrays: _Arrays) -> Node:
    fields(described, ("kind", "name", "inputs", "attributes"), f"node {position}")
    name = printable(described["name"], f"the name of node {position}")
    kind = choice(described["kind"], tuple(KINDS), f"kind of {name}")
    inputs = described["inputs"]
    if not isinstance(inputs, list) or not 0 < len(inputs) <= MAX_NODES:
        raise Refused(f"is invalid: inputs of {name} is {shown(inputs)} and must be a list of 1 to {MAX_NODES} names")
    hints = _HINTS[kind]
    found = fields(described["attributes"], hints, f"{kind} {name}")
    return KINDS[kind](
        name=name,
        inputs=tuple(printable(value, f"an input of {name}") for value in inputs),
        **{field: _attribute(hint, found[field], f"{field} of {name}", arrays) for field, hint in hints.items()},
    )


def _attribute(hint: Any, value: Any, what: str, arrays: _Arrays) -> Any:
    """A value of the type that the field is declared with; ranges are for Graph to check."""
    if hint in _STORED:
        return arrays.take(value, _STORED[hint], what)
    if get_origin(hint) is Literal:
        return choice(value, get_args(hint), what)
    if get_origin(hint) is tuple:
        return integers(value, len(get_args(hint)), what)
    if type(value) is not hint:
        raise Refused(f"is invalid: {what} is {shown(value)} and must be of type {hint.__name__}")
    return value


class _Arrays:
    """The tensors of a file; each belongs to one field of one node."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._left = dict(tensors)
        self._signs = 0

    def take(self, reference: Any, stored: tuple[str, ...], what: str) -> NDArray[Any]:
        """The array that ``reference`` names: an array of its own, whatever the alignment in the file."""
        if not isinstance(reference, dict) or len(reference) != 2 or not set(reference) & set(stored):
            raise Refused(
                f"is invalid: {what} is {shown(reference)} and must have the fields {' or '.join(stored)}, and shape"
            )
        how = next(way for way in stored if way in reference)
        fields(reference, (how, "shape"), what)
        name = printable(reference[how], f"the tensor of {what}")
        if name not in self._left:
            raise Refused(f"is invalid: {what} is to be in tensor {name}, which is not there or belongs to another")
        tensor = self._left.pop(name)
        shape = integers(reference["shape"], None, f"shape of {what}")
        count = math.prod(shape)
        if min(shape) < 1 or count > MAX_VALUES:
            raise Refused(f"is invalid: {what} has the shape {shown(list(shape))}: 1 to {MAX_VALUES} values")
        return self._floats(tensor, shape, name) if how == "floats" else self._bits(tensor, shape, name)

    def _floats(self, tensor: Tensor, shape: tuple[int, ...], name: str) -> Floats:
        if (tensor.dtype, tensor.shape) != ("F32", shape):
            raise Refused(_unfit(tensor, f"F32 of shape {shown(list(shape))}", name))
        return np.frombuffer(tensor.content, "<f4").astype(np.float32).reshape(shape)

    def _bits(self, tensor: Tensor, shape: tuple[int, ...], name: str) -> Signs:
        count = math.prod(shape)
        if (tensor.dtype, tensor.shape) != ("U8", (-(-count // 8),)):
            raise Refused(_unfit(tensor, f"U8 of shape [{-(-count // 8)}], the bits of {shown(list(shape))}", name))
        # bits become bytes: eight times a file's size, so all of them together have the limit of one array
        self._signs += count
        if self._signs > MAX_VALUES:
            raise Refused(f"has more than {MAX_VALUES} signs")
        packed = np.frombuffer(tensor.content, np.uint8)
        if count % 8 and packed[-1] & (0xFF >> count % 8):
            raise Refused(f"is invalid: tensor {name} has bits set behind its {count} signs")
        return np.unpackbits(packed, count=count).view(np.bool_).reshape(shape)

    def check_all_taken(self) -> None:
        if self._left:
            raise Refused(f"is invalid: tensor {next(iter(self._left))} belongs to no node")


def _unfit(tensor: Tensor, expected: str, name: str) -> str:
    return f"is invalid: tensor {name} is {tensor.dtype} of shape {shown(list(tensor.shape))} and must be {expected}"
