"""What a graph computes, written naively in NumPy: the specification that the kernels must equal bit for bit.

Every operator is its docstring in :mod:`bnn_ablate.packed.graph` spelt out: the order of every sum, and where it is
rounded. Slow; for tests and for reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnn_ablate.packed.graph import (
    IMAGE,
    AbsMean,
    Activation,
    Add,
    Affine,
    BinaryConv,
    Concat,
    Conv,
    Edges,
    Floats,
    Graph,
    Multiply,
    Node,
    Pool,
    output_side,
)

Array = NDArray[Any]


def run(graph: Graph, images: Floats) -> dict[str, Floats]:
    """Every value of the graph for ``images`` (N, C, H, W) by its name, the image's included: (N, C', H', W') float32.

    Raises ValueError where the images are not of the graph's shape or not float32.
    """
    if images.dtype != np.float32 or images.shape[1:] != graph.image_shape:
        raise ValueError(f"images of {images.dtype} and shape {images.shape}: float32 and (N, *{graph.image_shape})")
    values = {IMAGE: images}
    for node in graph.nodes:
        values[node.name] = OPERATORS[type(node)](node, *(values[name] for name in node.inputs))
        assert values[node.name].dtype == np.float32
        assert values[node.name].shape[1:] == graph.shapes[node.name]
    return values


def logits(graph: Graph, images: Floats) -> Floats:
    """The output of the graph for ``images`` (N, C, H, W): (N, classes)."""
    return run(graph, images)[graph.output][:, :, 0, 0]


def fma(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Floats:
    """x y + z of float32 arrays, rounded once.

    In float64 the product is exact. The sum is rounded to odd (inexact results get an odd last bit, Boldo and Melquiond
    2008), so that the rounding to float32 behind it, 29 bits shorter, gives what one rounding would.
    """
    a, b = np.asarray(x, np.float64) * np.asarray(y, np.float64), np.asarray(z, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        total = a + b
        seen = total - a
        error = (a - (total - seen)) + (b - seen)  # total + error is the sum exactly (Knuth)
        even = (total.view(np.int64) & 1) == 0
        total = np.where(even & (np.abs(error) > 0), np.nextafter(total, np.copysign(np.inf, error)), total)
        return total.astype(np.float32)


def affine(node: Affine, x: Floats) -> Floats:
    return fma(x, node.scale[:, None, None], node.shift[:, None, None])


def activation(node: Activation, x: Floats) -> Floats:
    if node.function == "sign":
        return np.where(x >= 0, np.float32(1), np.float32(-1))
    if node.function == "relu":
        return np.maximum(x, np.float32(0))
    clipped = np.clip(x, np.float32(-1), np.float32(1))
    return clipped if node.function == "clip" else fma(np.float32(0.1), x - clipped, clipped)


def binary_conv(node: BinaryConv, x: Floats) -> Floats:
    x_b = padded(np.where(x >= 0, 1, -1).astype(np.int32), node.borders, node.border)
    w_b = np.where(node.signs, -1, 1).astype(np.int32)
    y: Array = np.zeros((), np.int32)
    for row, column, pixels in taps(x_b, w_b.shape[2:], node.stride, node.dilation):
        y = y + np.einsum("nchw,oc->nohw", pixels, w_b[:, :, row, column])
    return y.astype(np.float32)


def conv(node: Conv, x: Floats) -> Floats:
    weight = node.weight
    if weight.dtype == np.bool_:
        weight = np.where(weight, np.float32(-1), np.float32(1))
    c_out, c_in, *kernel = weight.shape
    # a group's output features are (groups, c_out / groups), its input channels (groups, c_in)
    weight = weight.reshape(node.groups, c_out // node.groups, c_in, *kernel)
    y = node.bias.reshape(node.groups, -1, 1, 1)
    for row, column, pixels in taps(padded(x, node.borders, node.border), kernel, node.stride, node.dilation):
        pixels = pixels.reshape(len(x), node.groups, c_in, *pixels.shape[2:])
        for channel in range(c_in):
            y = fma(pixels[:, :, channel, None], weight[:, :, channel, row, column, None, None], y)
    return y.reshape(len(x), c_out, *y.shape[-2:])


def pool(node: Pool, x: Floats) -> Floats:
    around = -np.inf if node.kind == "max" else 0.0
    windows = [pixels for _, _, pixels in taps(padded(x, node.borders, around), node.kernel, node.stride, (1, 1))]
    if node.kind == "max":
        return np.maximum.reduce(windows)
    count = np.full((), node.kernel[0] * node.kernel[1], np.float32)
    if node.divisor == "inside":
        inside = padded(np.ones_like(x[:1, :1]), node.borders, 0.0)
        count = summed([pixels for _, _, pixels in taps(inside, node.kernel, node.stride, (1, 1))])
    return summed(windows) / count


def abs_mean(node: AbsMean, x: Floats) -> Floats:
    channels = x.shape[1]
    lanes = [
        summed([np.abs(x[:, channel, None]) for channel in range(i, channels, 16)]) for i in range(min(16, channels))
    ]
    lanes += [np.zeros_like(lanes[0])] * (16 - len(lanes))
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [lanes[i] + lanes[i + half] for i in range(half)]
    return lanes[0] / np.float32(channels)


def multiply(node: Multiply, x: Floats, by: Floats) -> Floats:
    return x * by


def add(node: Add, x: Floats, y: Floats) -> Floats:
    return x + y


def concat(node: Concat, *maps: Floats) -> Floats:
    return np.concatenate(maps, axis=1)


OPERATORS: dict[type[Node], Callable[..., Floats]] = {
    Affine: affine,
    Activation: activation,
    BinaryConv: binary_conv,
    Conv: conv,
    Pool: pool,
    AbsMean: abs_mean,
    Multiply: multiply,
    Add: add,
    Concat: concat,
}


def padded(x: Array, borders: Edges, value: float) -> Array:
    """x (N, C, H, W) with ``value`` in its borders."""
    left, right, top, bottom = borders
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def taps(
    x: Array, kernel: tuple[int, ...] | list[int], stride: tuple[int, int], dilation: tuple[int, int]
) -> Iterator[tuple[int, int, Array]]:
    """For each row and column of the kernel the pixels under it in all windows over the padded x: (N, C, H', W')."""
    rows, columns = (output_side(x.shape[2 + i], 0, 0, kernel[i], stride[i], dilation[i]) for i in (0, 1))
    for row, column in product(range(kernel[0]), range(kernel[1])):
        top, left = row * dilation[0], column * dilation[1]
        below, beyond = top + (rows - 1) * stride[0] + 1, left + (columns - 1) * stride[1] + 1
        yield row, column, x[:, :, top : below : stride[0], left : beyond : stride[1]]


def summed(terms: list[Floats]) -> Floats:
    """Float32 additions from the first term on."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
