"""A packed graph as an OpenVINO model, whose ``BinaryConvolution`` runs bits on x86 CPUs.

What OpenVINO's CPU kernels expect, little of it written down (2026.4; the tests would notice a change): a weight's bit
is 1 for +1, and the first of eight is the lowest of its byte, unlike in OpenVINO's own u1 constants; a FakeQuantize
becomes bits only if it has two levels, equal input bounds, and the outputs 0 and 1; it gives 1 only above its bound, so
that sign(0) = +1 needs one below zero; channels that are no multiple of 8 are computed wrong without a word.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bnn_ablate.export.errors import ExportError
from bnn_ablate.packed.graph import (
    IMAGE,
    AbsMean,
    Activation,
    Add,
    Affine,
    BinaryConv,
    Concat,
    Conv,
    Floats,
    Graph,
    Multiply,
    Node,
    Pool,
    Signs,
    Window,
)

#: openvino.Model and openvino.Node, of a library that need not be there.
Model = Any
Value = Any

#: The largest number below zero that is no denormal: OpenVINO's kernels take those for zero.
BELOW_ZERO = np.float32(-np.finfo(np.float32).tiny)
LARGEST = np.finfo(np.float32).max

#: OpenVINO's binary convolution is wrong unless a pixel's channels fill whole bytes; others are computed with floats,
#: exactly too, since their sums are whole numbers.
PACKED_CHANNELS = 8


def load_openvino() -> Any:
    """The library. Raises ExportError where it is not installed."""
    try:
        return import_module("openvino")
    except ImportError:
        raise ExportError("openvino is not installed: pip install -e '.[bench]'") from None


def to_openvino(graph: Graph, *, batch: int = 1) -> Model:
    """The graph as an openvino.Model: ``image`` (``batch``, C, H, W) float32 -> ``logits`` (``batch``, classes).

    Sums of BinaryConv are exact; the others are rounded in OpenVINO's order, which may give a value that is zero but
    for rounding another sign. Raises ExportError where openvino is not installed.
    """
    return Translation(load_openvino(), graph, batch).model()


def openvino_files(graph: Graph, batch: int) -> Callable[[Path], list[str]]:
    """What writes network.xml, the operators, and network.bin, their weights in full precision; see TARGETS."""
    openvino, model = load_openvino(), to_openvino(graph, batch=batch)

    def write(folder: Path) -> list[str]:
        # OpenVINO would round weights to float16 unless told
        openvino.save_model(model, folder / "network.xml", compress_to_fp16=False)
        return ["network.xml", "network.bin"]

    return write


class Translation:
    """One graph on its way into OpenVINO's operators."""

    def __init__(self, openvino: Any, graph: Graph, batch: int) -> None:
        self.openvino, self.graph, self.batch = openvino, graph, batch
        self.ops = import_module("openvino.opset1")
        self.nodes = {node.name: node for node in graph.nodes}
        self.values: dict[str, Value] = {}
        self.packed: dict[str, Value] = {}

    def model(self) -> Model:
        image = self.ops.parameter([self.batch, *self.graph.image_shape], self.openvino.Type.f32, name=IMAGE)
        image.output(0).set_names({IMAGE})
        self.values[IMAGE] = image
        for node in self.graph.nodes:
            value = TRANSLATORS[type(node)](self, node, *(self.values[name] for name in node.inputs))
            value.set_friendly_name(node.name)
            self.values[node.name] = value
        shape = np.array([self.batch, self.graph.classes], np.int64)
        logits = self.ops.reshape(self.values[self.graph.output], shape, False)
        logits.output(0).set_names({"logits"})
        return self.openvino.Model([logits], [image], "packed")

    def affine(self, node: Affine, x: Value) -> Value:
        return self.ops.add(self.ops.multiply(x, per_channel(node.scale)), per_channel(node.shift))

    def activation(self, node: Activation, x: Value) -> Value:
        if node.function == "sign":
            return self.sign(x)
        if node.function == "relu":
            return self.ops.relu(x)
        clipped = self.ops.clamp(x, -1.0, 1.0)
        if node.function == "clip":
            return clipped
        return self.ops.add(self.ops.multiply(self.ops.subtract(x, clipped), np.float32(0.1)), clipped)

    def sign(self, x: Value) -> Value:
        """+1 where x >= 0, else -1, as floats."""
        return self.ops.select(self.ops.greater_equal(x, np.float32(0)), np.float32(1), np.float32(-1))

    def bits(self, name: str) -> Value:
        """1 where the value ``name`` >= 0, else 0; one operator for all that read it.

        Those of an Affine are taken from its input: OpenVINO itself would do so and lose equality and negative scales.
        """
        if name not in self.packed:
            source, affine = name, self.nodes.get(name)
            bound, low = np.full(1, BELOW_ZERO), np.zeros(1, np.float32)
            if isinstance(affine, Affine):
                (source,) = affine.inputs
                bound, low = bounds(affine)
            inputs, outputs = [per_channel(bound)] * 2, [per_channel(low), per_channel(1 - low)]
            self.packed[name] = self.ops.fake_quantize(self.values[source], *inputs, *outputs, 2)
        return self.packed[name]

    def binary_conv(self, node: BinaryConv, x: Value) -> Value:
        if node.signs.shape[1] % PACKED_CHANNELS != 0:
            return self.convolved(node, node.dilation, self.sign(x), signed(node.signs), float(node.border))
        # a Tensor made of an array only points at it; this one owns its bytes
        weights = self.openvino.Tensor(self.openvino.Type.u1, self.openvino.Shape(node.signs.shape))
        weights.data.reshape(-1)[:] = packed_signs(node.signs)
        return self.ops.binary_convolution(
            self.bits(node.inputs[0]),
            self.openvino.op.Constant(weights),
            **geometry(node, node.dilation),
            mode="xnor-popcount",
            pad_value=float(node.border),
        )

    def conv(self, node: Conv, x: Value) -> Value:
        weight = signed(node.weight)
        if node.groups > 1:
            weight = weight.reshape(node.groups, -1, *weight.shape[1:])
        y = self.convolved(node, node.dilation, x, weight, node.border)
        return self.ops.add(y, per_channel(node.bias)) if node.bias.any() else y

    def convolved(self, node: Window, dilation: tuple[int, int], x: Value, weight: Floats, border: float) -> Value:
        """A float convolution; a weight of five axes (groups first) is grouped."""
        sizes = geometry(node, dilation)
        if border != 0 and any(node.borders):
            begin, end = ([0, 0, *sizes[side]] for side in ("pads_begin", "pads_end"))
            x = self.ops.pad(x, np.array(begin), np.array(end), "constant", np.float32(border))
            sizes |= {"pads_begin": [0, 0], "pads_end": [0, 0]}
        convolution = self.ops.convolution if weight.ndim == 4 else self.ops.group_convolution
        return convolution(x, weight, **sizes)

    def pool(self, node: Pool, x: Value) -> Value:
        sizes = {**geometry(node, None), "kernel_shape": list(node.kernel), "rounding_type": "floor"}
        if node.kind == "max":
            return self.ops.max_pool(x, **sizes)
        return self.ops.avg_pool(x, **sizes, exclude_pad=node.divisor == "inside")

    def abs_mean(self, node: AbsMean, x: Value) -> Value:
        return self.ops.reduce_mean(self.ops.absolute(x), np.array([1]), True)

    def multiply(self, node: Multiply, x: Value, factors: Value) -> Value:
        return self.ops.multiply(x, factors)

    def add(self, node: Add, x: Value, y: Value) -> Value:
        return self.ops.add(x, y)

    def concat(self, node: Concat, *parts: Value) -> Value:
        return self.ops.concat(list(parts), 1)


TRANSLATORS: dict[type[Node], Callable[..., Value]] = {
    Affine: Translation.affine,
    Activation: Translation.activation,
    BinaryConv: Translation.binary_conv,
    Conv: Translation.conv,
    Pool: Translation.pool,
    AbsMean: Translation.abs_mean,
    Multiply: Translation.multiply,
    Add: Translation.add,
    Concat: Translation.concat,
}


def bounds(affine: Affine) -> tuple[Floats, Floats]:
    """For each channel the largest x on one side of the sign of ``affine``, and the bit (0 or 1) up to it.

    The bit is 1 where fma(x, scale, shift) >= 0: above the bound where scales are positive, up to it where they are
    negative. Channels of one sign have the largest float as their bound.
    """
    scale, shift = affine.scale.astype(np.float64), affine.shift.astype(np.float64)
    low = scale < 0

    def up_to(x: Floats) -> Any:
        """Whether x has the bit ``low``; the product is exact in float64, and the sum has the right sign."""
        return ((x * scale + shift).astype(np.float32) >= 0) == low

    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # a quotient may be beyond all floats
        start = -shift / scale
        bound = np.clip(start, -LARGEST, LARGEST).astype(np.float32)
        for _ in range(2):  # the quotient is rounded: a step too far at most, or too short
            bound = np.where(up_to(bound), bound, np.nextafter(bound, -LARGEST))
        for _ in range(2):
            above = np.nextafter(bound, LARGEST)
            bound = np.where(up_to(above), above, bound)
    bound = np.where((bound < 0) & (bound > BELOW_ZERO), BELOW_ZERO, bound)
    constant = (scale == 0) | (np.abs(start) >= LARGEST)
    return np.where(constant, LARGEST, bound), np.where(constant, shift >= 0, low).astype(np.float32)


def signed(weight: Floats | Signs) -> Floats:
    """Weights as they are, or -1 where a sign is True, else +1."""
    values: Any = np.where(weight, np.float32(-1), np.float32(1)) if weight.dtype == np.bool_ else weight
    return values


def packed_signs(signs: Signs) -> Any:
    """Bytes of the weights, a bit each: 1 is +1, the first of eight in the lowest bit."""
    return np.packbits(~signs.reshape(-1), bitorder="little")


def per_channel(values: Floats) -> Floats:
    """A vector (C,) as (1, C, 1, 1)."""
    return values.reshape(1, -1, 1, 1)


def geometry(node: Window, dilation: tuple[int, int] | None) -> dict[str, list[int]]:
    left, right, top, bottom = node.borders
    sizes = {"strides": list(node.stride), "pads_begin": [top, left], "pads_end": [bottom, right]}
    return sizes if dilation is None else {**sizes, "dilations": list(dilation)}
