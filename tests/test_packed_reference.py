"""The reference computes what the operators' docstrings say: against torch, tables by hand and exact fractions."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bnn_ablate.packed import reference
from bnn_ablate.packed.graph import (
    AbsMean,
    Activation,
    Add,
    Affine,
    BinaryConv,
    Concat,
    Conv,
    Edges,
    Graph,
    Multiply,
    Node,
    Pool,
)

#: Another order of summation and float32: at most (terms) 2^-24 of the sum of magnitudes; here 100 terms of size 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
WHOLE: dict[str, Any] = {"stride": (1, 1), "borders": (0, 0, 0, 0), "dilation": (1, 1)}


def operator(node: Node, *maps: np.ndarray) -> np.ndarray:
    """The output of one node on feature maps (N, C, H, W)."""
    return reference.OPERATORS[type(node)](node, *maps)


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal float32 values, some of them zeros of either sign."""
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    x.reshape(-1)[::11] = 0.0
    x.reshape(-1)[::22] = -0.0
    return x


def padded(x: np.ndarray, borders: Edges, value: float) -> torch.Tensor:
    return F.pad(torch.from_numpy(x), borders, value=value)


# --- fma ---------------------------------------------------------------------------------------------------------


def nearest_float32(value: Fraction) -> float:
    """The float32 next to an exact value, ties to the even one, by search among its neighbours."""
    guess = np.float32(float(value))
    near = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    lower, upper = next((a, b) for a, b in pairwise(near) if Fraction(float(a)) <= value <= Fraction(float(b)))
    below, above = value - Fraction(float(lower)), Fraction(float(upper)) - value
    if below != above:
        return float(lower if below < above else upper)
    return float(lower if lower.view(np.uint32) % 2 == 0 else upper)


floats = st.floats(width=32, min_value=-(2.0**60), max_value=2.0**60)


@settings(max_examples=300, deadline=None)
@given(x=floats, y=floats, z=floats)
# next to ties of float32, by less than float64 can hold; ties; cancellation; subnormal products and sums
@example(x=1 + 2.0**-23, y=1 - 2.0**-23, z=2.0**24 + 2)
@example(x=1 + 2.0**-23, y=-1 + 2.0**-23, z=-(2.0**24) - 2)
@example(x=1 + 2.0**-23, y=1 + 2.0**-22, z=2.0**24 + 4)
@example(x=1.0, y=1.0, z=2.0**-24)
@example(x=2.0**-60, y=2.0**-60, z=1 + 2.0**-23)
@example(x=1 + 2.0**-23, y=1 + 2.0**-23, z=-1.0)
@example(x=2.0**-75, y=2.0**-75, z=2.0**-149)
@example(x=3 * 2.0**-75, y=2.0**-75, z=0.0)
@example(x=0.0, y=-1.0, z=0.0)
def test_fma_is_rounded_once(x: float, y: float, z: float):
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    assert float(reference.fma(*map(np.float32, (x, y, z)))) == nearest_float32(exact)


def test_fma_is_not_rounded_twice():
    x, y = np.float32(1 + 2.0**-23), np.float32(1 - 2.0**-23)  # the product is 1 - 2^-46
    z = np.float32(2.0**24 + 2)  # one more is a tie, and the 2^-46 below it is lost in float64
    assert np.float32(np.float64(x) * np.float64(y) + np.float64(z)) == 2.0**24 + 4
    assert reference.fma(x, y, z) == 2.0**24 + 2


def test_fma_of_infinities_and_of_what_overflows_is_infinite():
    big = np.float32(3e38)
    assert reference.fma(big, big, np.float32(0)) == np.inf
    assert reference.fma(np.float32(-np.inf), np.float32(1), np.float32(1)) == -np.inf


# --- pointwise ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # of -3, -1, -0.5, -0.0, 0, 0.5, 1, 2
        ("sign", [-1, -1, -1, 1, 1, 1, 1, 1]),
        ("relu", [0, 0, 0, 0, 0, 0.5, 1, 2]),
        ("clip", [-1, -1, -0.5, 0, 0, 0.5, 1, 1]),
        ("leaky_clip", [-1.2, -1, -0.5, 0, 0, 0.5, 1, 1.1]),
    ],
)
def test_activations_are_those_of_the_table(function: Any, expected: list[float]):
    x = np.array([-3, -1, -0.5, -0.0, 0, 0.5, 1, 2], np.float32).reshape(1, 2, 2, 2)
    y = operator(Activation(name="y", inputs=("x",), function=function), x)
    np.testing.assert_array_equal(y.reshape(-1), np.array(expected, np.float32))


def test_an_affine_is_one_rounding_of_each_channel():
    x, scale, shift = drawn(2, 3, 4, 5), drawn(3, seed=1), drawn(3, seed=2)
    y = operator(Affine(name="y", inputs=("x",), scale=scale, shift=shift), x)
    for c, row in enumerate(x[1].reshape(3, -1)):
        exact = [Fraction(float(v)) * Fraction(float(scale[c])) + Fraction(float(shift[c])) for v in row]
        np.testing.assert_array_equal(y[1, c].reshape(-1), [nearest_float32(v) for v in exact])


def test_maps_are_added_multiplied_averaged_and_concatenated():
    x, y, k = drawn(2, 3, 4, 5), drawn(2, 3, 4, 5, seed=1), drawn(2, 1, 4, 5, seed=2)
    two, three = {"name": "z", "inputs": ("x", "y")}, {"name": "z", "inputs": ("x", "y", "x")}
    np.testing.assert_array_equal(operator(Add(**two), x, y), x + y)
    np.testing.assert_array_equal(operator(Multiply(**two), x, k), x * k)
    np.testing.assert_array_equal(operator(Concat(**three), x, y, x), torch.cat([*map(torch.from_numpy, (x, y, x))], 1))
    mean = operator(AbsMean(name="z", inputs=("x",)), x)
    # of sixteen sums the first and the third meet before the second: (|a| + |c|) + |b|, each float32
    expected = ((np.abs(x[:, :1]) + np.abs(x[:, 2:])) + np.abs(x[:, 1:2])) / np.float32(3)
    np.testing.assert_array_equal(mean, expected)


# --- convolutions ------------------------------------------------------------------------------------------------

#: (kernel, stride, borders, dilation)
WINDOWS: tuple[tuple[tuple[int, int], tuple[int, int], Edges, tuple[int, int]], ...] = (
    ((3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    ((3, 3), (2, 2), (0, 1, 0, 1), (1, 1)),
    ((1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    ((1, 1), (2, 2), (0, 0, 0, 0), (1, 1)),
    ((3, 3), (1, 1), (2, 2, 2, 2), (2, 2)),
    ((2, 5), (3, 1), (2, 0, 1, 3), (1, 2)),
    ((7, 9), (1, 1), (0, 0, 0, 0), (1, 1)),
)


@pytest.mark.parametrize("border", [-1, 0, 1])
@pytest.mark.parametrize(("kernel", "stride", "borders", "dilation"), WINDOWS)
def test_a_binary_convolution_is_torchs_of_signs_exactly(
    kernel: tuple[int, int], stride: tuple[int, int], borders: Edges, dilation: tuple[int, int], border: Any
):
    x, signs = drawn(2, 5, 7, 9), drawn(4, 5, *kernel, seed=1) < 0
    node = BinaryConv(
        name="y", inputs=("x",), signs=signs, border=border, stride=stride, borders=borders, dilation=dilation
    )
    y = operator(node, x)
    x_b = padded(np.where(x >= 0, 1, -1).astype(np.float64), borders, border)
    w_b = torch.from_numpy(np.where(signs, -1.0, 1.0))
    np.testing.assert_array_equal(y, F.conv2d(x_b, w_b, stride=stride, dilation=dilation))


@pytest.mark.parametrize("border", [0.0, 1.0])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bits", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "borders", "dilation"), WINDOWS)
def test_a_convolution_is_torchs_up_to_the_order_of_the_sum(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    borders: Edges,
    dilation: tuple[int, int],
    bits: bool,
    groups: int,
    border: float,
):
    x, weight, bias = drawn(2, 4, 7, 9), drawn(6, 4 // groups, *kernel, seed=1), drawn(6, seed=2)
    node = Conv(
        name="y",
        inputs=("x",),
        weight=weight < 0 if bits else weight,
        bias=bias,
        border=border,
        stride=stride,
        borders=borders,
        dilation=dilation,
        groups=groups,
    )
    values = torch.from_numpy(np.where(weight < 0, np.float32(-1), np.float32(1)) if bits else weight)
    y = F.conv2d(padded(x, borders, border), values, torch.from_numpy(bias), stride, dilation=dilation, groups=groups)
    np.testing.assert_allclose(operator(node, x), y, **CLOSE)


def test_a_convolution_adds_rows_then_columns_then_channels_to_its_bias():
    # 2^24 + 1 is lost and -2^24 brings back the rest: the sum depends on the order, and these are all its terms
    big = np.float32(2**24)
    x = np.array([[[1, big], [1, 1]], [[1, -big], [1, 1]]], np.float32)[None]
    node = Conv(
        name="y",
        inputs=("x",),
        weight=np.ones((1, 2, 2, 2), np.float32),
        bias=np.array([1], np.float32),
        border=0.0,
        groups=1,
        **WHOLE,
    )
    # bias 1, row 0 column 0: + 1 + 1 = 3; column 1: + 2^24 = 2^24 + 4 (a tie, to even), - 2^24 = 4; row 1: + 4 = 8
    assert operator(node, x) == 8


# --- poolings ----------------------------------------------------------------------------------------------------


def pool(kind: Any, kernel: int, stride: int, borders: Edges, divisor: Any = "inside") -> Pool:
    return Pool(
        name="y",
        inputs=("x",),
        kind=kind,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        borders=borders,
        divisor=divisor,
    )


@pytest.mark.parametrize(
    ("node", "torchs"),
    [
        (pool("max", 3, 2, (1, 1, 1, 1)), lambda x: F.max_pool2d(x, 3, 2, 1)),
        (pool("max", 2, 2, (0, 1, 0, 1)), lambda x: F.max_pool2d(x, 2, 2, ceil_mode=True)),
        (pool("mean", 2, 2, (0, 1, 0, 1)), lambda x: F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)),
        (pool("mean", 3, 1, (1, 1, 1, 1)), lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        (pool("mean", 3, 1, (1, 1, 1, 1), "kernel"), lambda x: F.avg_pool2d(x, 3, 1, 1)),
    ],
)
def test_a_pooling_is_torchs(node: Pool, torchs: Callable[[torch.Tensor], torch.Tensor]):
    x = -np.abs(drawn(2, 3, 7, 9)) - 1  # below the zeros that stand outside
    # torch divides the same sum by the same number; only compilers may reorder nine terms
    np.testing.assert_allclose(operator(node, x), torchs(torch.from_numpy(x)), rtol=0 if node.kind == "max" else 1e-6)


def test_a_mean_adds_rows_then_columns_and_divides_once():
    big = np.float32(2**24)
    x = np.array([[big, 1], [1, -big]], np.float32)[None, None]
    # ((2^24 + 1) + 1) - 2^24 in float32: both ones are lost
    assert operator(pool("mean", 2, 2, (0, 0, 0, 0)), x) == 0
    x = np.array([[1, 1], [big, -big]], np.float32)[None, None]
    assert operator(pool("mean", 2, 2, (0, 0, 0, 0)), x) == np.float32(0.5)


# --- graphs ------------------------------------------------------------------------------------------------------


def small_graph() -> Graph:
    affine = Affine(name="a", inputs=("image",), scale=np.array([2], np.float32), shift=np.array([1], np.float32))
    mean = Pool(
        name="b", inputs=("a",), kind="mean", kernel=(2, 2), stride=(1, 1), borders=(0, 0, 0, 0), divisor="inside"
    )
    return Graph((1, 2, 2), (affine, mean))


def test_a_run_gives_every_value_by_name():
    images = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    values = reference.run(small_graph(), images)
    assert list(values) == ["image", "a", "b"]
    np.testing.assert_array_equal(values["a"], 2 * images + 1)
    np.testing.assert_array_equal(reference.logits(small_graph(), images), [[4.0], [12.0]])


@pytest.mark.parametrize("images", [np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 3), np.float32)])
def test_other_images_than_the_graphs_are_refused(images: np.ndarray):
    with pytest.raises(ValueError, match=r"images of float\d\d and shape .*: float32 and \(N, \*\(1, 2, 2\)\)"):
        reference.run(small_graph(), images)
