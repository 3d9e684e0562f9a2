"""Every kernel computes what the reference computes, to the last bit, for shapes that fill no word, lane or tile.

Sums are seen through what is called a fingerprint here: a last convolution over the whole map whose weights are drawn
from -1, 0 and 1. All its sums are whole numbers below 2^24 and so exact in any order; a single wrong value changes one
of 24 of them but for one chance in 3^24.
"""

from __future__ import annotations

from itertools import cycle, islice, product
from typing import Any

import numpy as np
import pytest
from packed_graphs import NO_BORDERS, Array, Draft, normal

from bnn_ablate.packed import reference
from bnn_ablate.packed.engine import PackedNetwork
from bnn_ablate.packed.graph import Add, BinaryConv, Concat, Graph, GraphError
from bnn_ablate.packed.library import available_kernels

KERNELS = available_kernels()
CHANNELS = (1, 3, 31, 32, 33, 63, 64, 65, 100, 128, 160)
WINDOWS = {"1x1": (1, 1), "3x3": (3, 3), "5x5": (5, 5), "2x3": (2, 3)}
STRIDES = ((1, 1), (2, 2), (3, 3), (1, 2), (3, 1))
DILATIONS = ((1, 1), (2, 2), (1, 1), (4, 4), (2, 1), (1, 4))
#: Borders left, right, top, bottom, wide enough for any window where the image is not.
BORDERS = ((1, 1, 1, 1), NO_BORDERS, (2, 0, 1, 3), (0, 1, 0, 0), (4, 5, 6, 4), (0, 3, 2, 0), (2, 2, 2, 2))
IMAGES = ((9, 7), (5, 11), (1, 6), (12, 3))
BATCHES = (1, 3, 9, 2)


def images(graph: Graph, count: int, seed: int = 0) -> Array:
    return normal(np.random.default_rng(seed), count, *graph.image_shape)


def drawn_signs(*shape: int) -> Array:
    return np.random.default_rng([1, *shape]).random(shape) < 0.5


def drawn(*shape: int) -> Array:
    return normal(np.random.default_rng([2, *shape]), *shape)


def fingerprint(draft: Draft, x: str, classes: int = 24) -> Array:
    """Adds the last convolution, and returns its weights."""
    weight = np.random.default_rng(4).integers(-1, 2, (classes, *draft.shapes[x])).astype(np.float32)
    draft.conv(x, weight)
    return weight


def ways(graph: Graph, *, threads: tuple[int, ...] = (1,)) -> dict[str, PackedNetwork]:
    """The graph in every kernel and number of threads."""
    made = product(KERNELS, threads)
    return {f"{kernel} {count} threads": PackedNetwork(graph, kernel=kernel, threads=count) for kernel, count in made}


def check(graph: Graph, x: Array, *, threads: tuple[int, ...] = (1,)) -> None:
    """That all kernels give the reference's values, zeros of either sign being one value, and bits of each other."""
    expected, bits = reference.logits(graph, x), set()
    for way, network in ways(graph, threads=threads).items():
        network(-x)  # memory that has been used holds other values
        y = network(x)
        np.testing.assert_array_equal(y, expected, err_msg=way, strict=True)
        bits.add(y.tobytes())
    assert len(bits) == 1


# --- sums of signs -----------------------------------------------------------------------------------------------


def sums_of_signs(window: str, c_in: int) -> list[tuple[int, dict[str, Any]]]:
    """A case for each number of output channels, the other sizes going round in steps that meet in all pairs."""
    first = CHANNELS.index(c_in) * 7 + list(WINDOWS).index(window) * 3

    def turned(values: tuple[Any, ...]) -> Any:
        return islice(cycle(values), first % len(values), None)

    found = []
    for c_out, stride, dilation, borders, image, border, count in zip(
        CHANNELS, *map(turned, (STRIDES, DILATIONS, BORDERS, IMAGES, (-1, 0, 1), BATCHES)), strict=False
    ):
        case = {"stride": stride, "dilation": dilation, "borders": borders, "border": border}
        found.append((c_out, case | {"image": image, "count": count}))
    return found


@pytest.mark.parametrize(("window", "c_in"), list(product(WINDOWS, CHANNELS)))
def test_sums_of_signs_are_the_references(window: str, c_in: int):
    for c_out, sizes in sums_of_signs(window, c_in):
        image, count = sizes.pop("image"), sizes.pop("count")
        signs = drawn_signs(c_out, c_in, *WINDOWS[window])
        draft = Draft((c_in, *image))
        try:
            x = draft.binary_conv("image", signs, **sizes)
        except GraphError:  # the window is larger than the image
            x = draft.binary_conv("image", signs, **sizes | {"borders": (2, 2, 2, 2), "dilation": (1, 1)})
        weight = fingerprint(draft, x)
        (conv,) = (node for node in draft.nodes if isinstance(node, BinaryConv))
        graph = draft.graph()
        pixels = images(graph, count)
        sums = reference.binary_conv(conv, pixels).astype(np.int64)
        assert np.abs(sums).sum(axis=(1, 2, 3)).max() < 2**24
        expected = np.einsum("nchw,ochw->no", sums, weight.astype(np.int64))
        for way, network in ways(graph).items():
            np.testing.assert_array_equal(network(pixels), expected, err_msg=f"{way} {c_out} {sizes}")


@pytest.mark.parametrize("c_in", [31 * 32 - 1, 31 * 32, 31 * 32 + 1, 62 * 32 + 1, 4096])
@pytest.mark.parametrize("other", [False, True])
def test_the_largest_counts_do_not_overflow(c_in: int, other: bool):
    # bytes hold the counts of 31 words in the AVX2 kernel
    draft = Draft((c_in, 2, 3))
    draft.binary_conv("image", np.full((17, c_in, 2, 3), other))
    expected = np.full((1, 17), -6 * c_in if other else 6 * c_in)
    for way, network in ways(draft.graph()).items():
        np.testing.assert_array_equal(network(np.ones((1, c_in, 2, 3), np.float32)), expected, err_msg=way)


def test_zero_of_either_sign_counts_as_plus_one():
    draft = Draft((4, 1, 1))
    draft.binary_conv("image", np.zeros((1, 4, 1, 1), bool))
    x = np.array([0.0, -0.0, 1e-45, -1e-45], np.float32).reshape(1, 4, 1, 1)
    for way, network in ways(draft.graph()).items():
        assert network(x).tolist() == [[2.0]], way


@pytest.mark.parametrize(("height", "width"), [(97, 101), (128, 96)])
def test_large_images_go_through_one_by_one(height: int, width: int):
    draft = Draft((3, height, width))
    x = draft.binary_conv("image", drawn_signs(33, 3, 3, 3), border=0, borders=(1, 0, 1, 2), stride=(2, 1))
    x = draft.binary_conv(x, drawn_signs(20, 33, 3, 3), stride=(2, 2))
    draft.mean_of_all(x)
    graph = draft.graph()
    check(graph, images(graph, 3), threads=(1, 2, 5))


# --- floats ------------------------------------------------------------------------------------------------------

CONVS: dict[str, tuple[int, int, tuple[int, int], dict[str, Any]]] = {
    "1x1": (17, 33, (1, 1), {}),
    "3x3": (5, 65, (3, 3), {"borders": (1, 1, 1, 1)}),
    "wide": (3, 130, (3, 3), {"borders": (2, 0, 0, 1), "border": 1.0, "stride": (2, 1)}),
    "stem": (3, 20, (7, 7), {"borders": (3, 3, 3, 3), "stride": (2, 2)}),
    "even": (4, 16, (2, 4), {"dilation": (2, 1), "border": -0.5, "borders": (0, 2, 1, 0)}),
    "groups": (12, 24, (3, 3), {"groups": 3, "borders": (1, 1, 1, 1)}),
    "depthwise": (33, 33, (3, 3), {"groups": 33, "borders": (1, 1, 1, 1), "border": 0.25}),
    "groups of sixteen": (64, 128, (1, 1), {"groups": 4}),
    "groups across lanes": (36, 60, (2, 2), {"groups": 6, "stride": (3, 3)}),
    "two outputs a group": (20, 40, (1, 3), {"groups": 20}),
}


@pytest.mark.parametrize("binary", [False, True], ids=["values", "signs"])
@pytest.mark.parametrize("case", CONVS)
def test_float_convolutions_are_the_references(case: str, binary: bool):
    c_in, c_out, kernel, window = CONVS[case]
    draft = Draft((c_in, 9, 7))
    weight = drawn(c_out, c_in // window.get("groups", 1), *kernel)
    x = draft.conv("image", weight < 0 if binary else weight, drawn(c_out), **window)
    x = draft.affine(x, -0.3, 0.1)
    draft.mean_of_all(draft.add(Add, x, draft.activation(x, "leaky_clip")))
    graph = draft.graph()
    check(graph, images(graph, 9), threads=(1, 3))


@pytest.mark.parametrize("divisor", ["inside", "kernel"])
@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize(
    ("kernel", "window"),
    [
        ((2, 2), {"stride": (2, 2)}),
        ((3, 3), {"stride": (2, 2), "borders": (1, 1, 1, 1)}),
        ((3, 2), {"stride": (1, 3), "borders": (0, 1, 2, 1)}),
        ((9, 7), {"borders": (6, 6, 8, 8), "stride": (5, 4)}),
    ],
)
def test_poolings_are_the_references(kernel: tuple[int, int], window: dict[str, Any], kind: str, divisor: str):
    draft = Draft((19, 9, 7))
    x = draft.activation(draft.affine("image", -1.5, 0.25), "clip")
    x = draft.pool(x, kind, kernel, divisor=divisor, **window)
    y = draft.binary_conv(x, drawn_signs(19, 19, 1, 1))
    draft.mean_of_all(draft.add(Add, y, x), divisor=divisor)
    graph = draft.graph()
    check(graph, images(graph, 3), threads=(1, 2))


@pytest.mark.parametrize("count", [1, 7, 8, 9, 17])
def test_the_last_chunk_of_a_batch_may_be_short(count: int):
    draft = Draft((5, 6, 5))
    x = draft.binary_conv("image", drawn_signs(40, 5, 3, 3), border=0, borders=(1, 1, 1, 1))
    x = draft.conv(x, drawn(24, 40, 3, 3), borders=(1, 1, 1, 1), border=2.0)
    draft.mean_of_all(draft.add(Concat, x, draft.binary_conv(x, drawn_signs(3, 24, 1, 1))))
    graph = draft.graph()
    check(graph, images(graph, count), threads=(1, 2, 5))
