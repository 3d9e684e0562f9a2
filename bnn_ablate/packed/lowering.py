"""What lowering keeps while it goes through a module: the nodes so far, where it is, and which value is which."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnn_ablate.packed.graph import IMAGE, Floats, GraphError, Node, Shape, Signs, output_shape


class LoweringError(ValueError):
    """A module that no graph can stand for; the message is one sentence that names it, its type and the reason."""


@dataclass
class Storage:
    """Where torch keeps a tensor: what is computed in place is seen through every name of it."""

    name: str


@dataclass(frozen=True)
class Value:
    """A tensor of the module: the node that computes it, and whether it is flattened to (N, C H W)."""

    storage: Storage
    flat: bool = False

    @classmethod
    def image(cls) -> Value:
        return cls(Storage(IMAGE))

    @property
    def name(self) -> str:
        return self.storage.name


class Builder:
    """The nodes so far, in order, and the shape of every value."""

    def __init__(self, image_shape: Shape) -> None:
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {IMAGE: image_shape}
        self.times: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """``name``, or with #2, #3 ... behind it where it is taken: a layer may be called more than once."""
        self.times[name] = self.times.get(name, 0) + 1
        if name not in self.shapes:
            return name
        return self.unique(f"{name}#{max(self.times[name], 2)}")

    def add(self, node: Node) -> str:
        shape = output_shape(node, [self.shapes[name] for name in node.inputs])
        self.nodes.append(node)
        self.shapes[node.name] = shape
        return node.name


@dataclass(frozen=True)
class Place:
    """A call that is being lowered: the module that it is, or whose forward makes it, and where nodes go."""

    builder: Builder
    name: str
    kind: str
    #: the function that the forward of the module calls
    function: str = field(default="")

    def inside(self, function: str) -> Place:
        return replace(self, function=function)

    def refused(self, reason: str) -> LoweringError:
        where = self.name if self.name else "the module"
        call = f": {self.function}" if self.function else ""
        return LoweringError(f"{where} ({self.kind}) cannot be lowered{call}: {reason}")

    def called(self, lowering: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What ``lowering`` makes of the call's arguments; LoweringError where it does not take them."""
        try:
            inspect.signature(lowering).bind(self, *args, **kwargs)
        except TypeError as error:
            raise self.refused(f"it is called with other arguments than can be: {error}") from error
        try:
            return lowering(self, *args, **kwargs)
        except GraphError as error:
            raise self.refused(str(error)) from error

    def add(self, kind: type[Node], /, *inputs: Value, suffix: str = "", **attributes: Any) -> Value:
        """A new node of ``kind``, named by its module, by the function and by ``suffix``."""
        name = ".".join(part for part in (self.name, self.function, suffix) if part)
        node = kind(name=self.builder.unique(name), inputs=tuple(value.name for value in inputs), **attributes)
        return Value(Storage(self.builder.add(node)), flat=inputs[0].flat)

    def pixelwise(self, kind: type[Node], /, *inputs: Value, inplace: bool, **attributes: Any) -> Value:
        """A new node whose output torch writes over its first input where it works ``inplace``."""
        result = self.add(kind, *inputs, **attributes)
        if not inplace:
            return result
        inputs[0].storage.name = result.name
        return inputs[0]

    def shape(self, value: Value) -> Shape:
        return self.builder.shapes[value.name]

    def maps(self, value: object) -> Shape:
        """The shape (C, H, W) of what must be feature maps."""
        if not isinstance(value, Value) or value.flat:
            raise self.refused("it reads no feature maps (N, C, H, W)")
        return self.shape(value)

    def floats(self, tensor: Tensor) -> Floats:
        """A copy of a parameter or buffer."""
        if tensor.dtype != torch.float32:
            raise self.refused(f"its values are {str(tensor.dtype).removeprefix('torch.')}, not float32")
        values: Floats = np.array(tensor.detach().cpu().numpy(), order="C")
        if not np.isfinite(values).all():
            raise self.refused("its values are not all finite")
        return values

    def signs(self, tensor: Tensor) -> Signs:
        """True where the sign is -1."""
        return self.floats(tensor) < 0


def pair(value: Any) -> tuple[int, int]:
    """(rows, columns) of what torch takes as a number or two."""
    if isinstance(value, int):
        return value, value
    rows, columns = value if len(value) == 2 else (*value, *value)
    return rows, columns
