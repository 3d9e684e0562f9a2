"""A network as plain values: operators on named feature maps, without torch, without modules, without training.

This is what :mod:`bnn_ablate.packed.lower` makes of a module, what a file holds, what
:mod:`bnn_ablate.packed.reference` computes step by step, and what :mod:`bnn_ablate.packed.plan` turns into a program
for the kernels. Every value is a feature map (C, H, W) of float32 for one image; vectors are (C, 1, 1).

Exactness: the sums of a :class:`BinaryConv` are whole numbers below 2^24 and exact in float32. An :class:`Affine` is
one fused multiply-add, rounded once. Sums of float convolutions and means run over the kernel's rows, its columns and
then channels, each term one fused multiply-add, rounded to float32. All of this is promised for finite values, and
kernels keep to it but for 7x7 stems on large images (:mod:`bnn_ablate.packed.stem`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: True where a sign is -1: "bit 1 means -1".
Signs = NDArray[np.bool_]
#: Channels, height, width.
Shape = tuple[int, int, int]
#: Border pixels (left, right, top, bottom).
Edges = tuple[int, int, int, int]

#: Sizes above these are refused before anything is allocated: no network of this field comes near.
MAX_CHANNELS, MAX_SIDE, MAX_NODES, MAX_TERMS, MAX_VALUES = 2**16, 2**14, 2**12, 2**23, 2**28


class GraphError(ValueError):
    """A graph that is no network; the message names the node and what is wrong with it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """One operator. ``name`` is unique and names its output; ``inputs`` are names of nodes before it."""

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine(Node):
    """fma(x, ``scale``, ``shift``), both (C,): a BatchNorm in inference, or a scaling factor."""

    scale: Floats
    shift: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Activation(Node):
    """``relu``: max(x, 0). ``clip``: min(max(x, -1), 1). ``leaky_clip``: fma(0.1, x - clip(x), clip(x)).

    ``sign``: +1 where x >= 0, else -1.
    """

    function: Literal["relu", "clip", "leaky_clip", "sign"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Window(Node):
    """What convolutions and poolings share: ``borders`` around the image, and the steps of the window over it."""

    stride: tuple[int, int]
    borders: Edges


@dataclass(frozen=True, kw_only=True, eq=False)
class BinaryConv(Window):
    """sign(W) * sign(x), whole numbers: x (c_in, H, W) -> (c_out, H', W').

    ``signs`` (c_out, c_in, k_h, k_w) are those of the weights. ``border`` is what stands for sign(x) outside the image.
    """

    signs: Signs
    border: Literal[-1, 0, 1]
    dilation: tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(Window):
    """W * x + bias in float32: x (c_in, H, W) -> (c_out, H', W'), starting each sum at its bias.

    ``weight`` (c_out, c_in / groups, k_h, k_w) are values, or signs (True: -1), which a file holds as bits; ``bias`` is
    (c_out,). ``border`` is the value outside the image. A Linear is one whose kernel covers the image.
    """

    weight: Floats | Signs
    bias: Floats
    border: float
    dilation: tuple[int, int]
    groups: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool(Window):
    """Maximum or mean over ``kernel``; borders hold no value.

    A mean is the sum divided by the number of pixels inside the image, or by the whole ``kernel``'s
    (``divisor=kernel``).
    """

    kind: Literal["max", "mean"]
    kernel: tuple[int, int]
    divisor: Literal["inside", "kernel"]


@dataclass(frozen=True, kw_only=True, eq=False)
class AbsMean(Node):
    """Mean over channels of abs(x): (C, H, W) -> (1, H, W).

    Every sixteenth channel is summed from the first on; of the sixteen sums the ith and the (i + 8)th are added, then
    the ith and the (i + 4)th, and so on.
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class Multiply(Node):
    """x times a map: (C, H, W) and (1, H, W) -> (C, H, W)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Add(Node):
    """The sum of two feature maps of one shape."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Concat(Node):
    """Feature maps of one height and width behind each other in channels, two or more."""


KINDS: dict[str, type[Node]] = {
    kind.__name__: kind for kind in (Affine, Activation, BinaryConv, Conv, Pool, AbsMean, Multiply, Add, Concat)
}
#: The name of the image.
IMAGE = "image"


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which each comes after its inputs; the last one is the output.

    The image is called ``image``. Raises GraphError where that is not so or where shapes do not fit.
    """

    image_shape: Shape
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_shapes", _shapes(self.image_shape, self.nodes))

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of every value, the image's included."""
        return self._shapes  # type: ignore[attr-defined]

    @property
    def output(self) -> str:
        return self.nodes[-1].name

    @property
    def classes(self) -> int:
        return self.shapes[self.output][0]

    def consumers(self) -> dict[str, list[Node]]:
        """For every value the nodes that read it, once for each reading."""
        found: dict[str, list[Node]] = {name: [] for name in self.shapes}
        for node in self.nodes:
            for name in node.inputs:
                found[name].append(node)
        return found

    @property
    def binary_convs(self) -> list[BinaryConv]:
        return [node for node in self.nodes if isinstance(node, BinaryConv)]


def needed(nodes: Sequence[Node], output: str) -> tuple[Node, ...]:
    """The nodes on which ``output`` depends, itself last."""
    wanted = {output}
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
    return tuple(node for node in nodes if node.name in wanted)


def unused(name: str, names: Collection[str]) -> str:
    """``name``, with as many strokes behind it as make it another one than ``names``."""
    while name in names:
        name += "'"
    return name


def output_side(side: int, before: int, after: int, kernel: int, stride: int, dilation: int) -> int:
    """Positions of a window along one axis."""
    return (side + before + after - dilation * (kernel - 1) - 1) // stride + 1


def _shapes(image_shape: Shape, nodes: tuple[Node, ...]) -> dict[str, Shape]:
    _limited("image", image_shape)
    if not 0 < len(nodes) <= MAX_NODES:
        raise GraphError(f"{len(nodes)} nodes: a network has 1 to {MAX_NODES}")
    shapes = {IMAGE: image_shape}
    for node in nodes:
        if node.name in shapes:
            raise GraphError(f"{node.name} is there twice")
        missing = [name for name in node.inputs if name not in shapes]
        if missing:
            raise GraphError(f"{node.name} reads {missing[0]}, which does not come before it")
        try:
            shape = output_shape(node, [shapes[name] for name in node.inputs])
        except GraphError as error:
            raise GraphError(f"{node.name}: {error}") from None
        _limited(node.name, shape)
        shapes[node.name] = shape
    if shapes[nodes[-1].name][1:] != (1, 1):
        raise GraphError(f"{nodes[-1].name} is the output, and of {shapes[nodes[-1].name]}: logits are (classes, 1, 1)")
    return shapes


def _limited(name: str, shape: Shape) -> None:
    channels, height, width = shape
    if not (0 < channels <= MAX_CHANNELS and 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise GraphError(f"{name} has the shape {shape}: sizes are 1 to {MAX_CHANNELS} channels and {MAX_SIDE} pixels")
    if channels * height * width > MAX_VALUES:
        raise GraphError(f"{name} has {channels * height * width} values: at most {MAX_VALUES}")


def output_shape(node: Node, inputs: list[Shape]) -> Shape:
    """The shape of a node's output; GraphError where its inputs or its own arrays do not fit."""
    arity = {Multiply: 2, Add: 2}.get(type(node), 1)
    if (len(inputs) < 2) if isinstance(node, Concat) else (len(inputs) != arity):
        raise GraphError(f"it reads {len(inputs)} values")
    channels, height, width = inputs[0]
    if isinstance(node, Affine):
        _vector("scale", node.scale, channels)
        _vector("shift", node.shift, channels)
        return inputs[0]
    if isinstance(node, Activation):
        _one_of("function", node.function, ("relu", "clip", "leaky_clip", "sign"))
        return inputs[0]
    if isinstance(node, BinaryConv):
        _one_of("border", node.border, (-1, 0, 1))
        _array("signs", node.signs, np.bool_, 4)
        return _convolved(node, node.signs.shape, node.dilation, inputs[0], groups=1)
    if isinstance(node, Conv):
        _array("weight", node.weight, node.weight.dtype, 4)
        if node.weight.dtype not in (np.bool_, np.float32):
            raise GraphError(f"weight is of {node.weight.dtype}: float32 or bool")
        _vector("bias", node.bias, node.weight.shape[0])
        if not np.isfinite(node.border):
            raise GraphError(f"border={node.border} must be finite")
        return _convolved(node, node.weight.shape, node.dilation, inputs[0], groups=node.groups)
    if isinstance(node, Pool):
        _one_of("kind", node.kind, ("max", "mean"))
        _one_of("divisor", node.divisor, ("inside", "kernel"))
        rows, columns = _windowed(node, node.kernel, (1, 1), inputs[0])
        left, _, top, _ = node.borders
        # each window must see at least one pixel of the image
        last_row, last_column = (rows - 1) * node.stride[0] - top, (columns - 1) * node.stride[1] - left
        if top >= node.kernel[0] or left >= node.kernel[1] or last_row >= height or last_column >= width:
            raise GraphError(f"kernel={node.kernel} borders={node.borders}: a window lies outside the image")
        return channels, rows, columns
    if isinstance(node, AbsMean):
        return 1, height, width
    if isinstance(node, Multiply):
        if inputs[1] != (1, height, width):
            raise GraphError(f"it multiplies {inputs[0]} by {inputs[1]}")
        return inputs[0]
    if isinstance(node, Add):
        if inputs[0] != inputs[1]:
            raise GraphError(f"it adds {inputs[0]} and {inputs[1]}")
        return inputs[0]
    if isinstance(node, Concat):
        if any(shape[1:] != (height, width) for shape in inputs):
            raise GraphError(f"it concatenates {', '.join(map(str, inputs))}")
        return sum(shape[0] for shape in inputs), height, width
    raise GraphError(f"{type(node).__name__} is no operator")


def _windowed(node: Window, kernel: tuple[int, int], dilation: tuple[int, int], image: Shape) -> tuple[int, int]:
    _, height, width = image
    for name, values, least, most in (
        ("kernel", kernel, 1, MAX_SIDE),
        ("stride", node.stride, 1, MAX_SIDE),
        ("dilation", dilation, 1, MAX_SIDE),
        ("borders", node.borders, 0, MAX_SIDE),
    ):
        count = 4 if name == "borders" else 2
        if len(values) != count or not all(isinstance(value, int) and least <= value <= most for value in values):
            raise GraphError(f"{name}={values} must be {count} whole numbers from {least} to {most}")
    left, right, top, bottom = node.borders
    rows = output_side(height, top, bottom, kernel[0], node.stride[0], dilation[0])
    columns = output_side(width, left, right, kernel[1], node.stride[1], dilation[1])
    if rows < 1 or columns < 1:
        raise GraphError(f"kernel={kernel} dilation={dilation} does not fit into {height} x {width} pixels")
    return rows, columns


def _convolved(node: Window, weight: tuple[int, ...], dilation: tuple[int, int], image: Shape, *, groups: int) -> Shape:
    c_out, c_in, k_h, k_w = weight
    if not (isinstance(groups, int) and groups >= 1 and c_out % groups == 0 and c_in * groups == image[0]):
        raise GraphError(f"weights {weight} in {groups} groups do not fit {image[0]} channels")
    if c_in * k_h * k_w > MAX_TERMS:
        raise GraphError(f"sums of {c_in * k_h * k_w} terms: at most {MAX_TERMS}, below which float32 is exact")
    return c_out, *_windowed(node, (k_h, k_w), dilation, image)


def _array(name: str, array: NDArray[Any], dtype: Any, axes: int) -> None:
    if array.dtype != dtype or array.ndim != axes or array.size == 0:
        raise GraphError(f"{name} is of {array.dtype} and shape {array.shape}: {axes} axes of {np.dtype(dtype)}")
    if dtype == np.float32 and not np.isfinite(array).all():
        raise GraphError(f"{name} holds values that are not finite")


def _vector(name: str, array: NDArray[Any], length: int) -> None:
    _array(name, array, np.float32, 1)
    if len(array) != length:
        raise GraphError(f"{name} has {len(array)} values for {length} channels")


def _one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise GraphError(f"{name}={value} must be one of {', '.join(map(str, choices))}")


def attributes(node: Node) -> dict[str, Any]:
    """What a node is made of beside its name and inputs."""
    return {field.name: getattr(node, field.name) for field in fields(node) if field.name not in ("name", "inputs")}
