"""Graphs of any nodes in any order: the engine computes what the reference computes, to the last bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, reject, settings
from hypothesis import strategies as st
from packed_graphs import Array, Draft, described, graphs, normal

from bnn_ablate.packed import reference
from bnn_ablate.packed.engine import PackedNetwork
from bnn_ablate.packed.graph import AbsMean, Add, Concat, Graph, GraphError, Multiply
from bnn_ablate.packed.library import available_kernels
from bnn_ablate.packed.plan import MAX_CHUNK, plan

ONE = (1, 1, 1, 1)


def check(graph: Graph, x: Array, *, threads: int = 1) -> None:
    """Logits of all kernels equal the reference's, and so do all signs that binary convolutions read."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = reference.run(graph, x)
    if not all(np.isfinite(value).all() for value in values.values()):
        reject()  # nothing is promised about infinities
    expected, bits = values[graph.output][:, :, 0, 0], set()
    for kernel in available_kernels():
        network = PackedNetwork(graph, kernel=kernel, threads=threads)
        assert network.lines[0].kind != "winograd", "its sums have another order"
        network(-3 * x)  # memory that has been used holds other values
        y = network(x)
        np.testing.assert_array_equal(y, expected, err_msg=f"{kernel}\n{described(graph)}")
        bits.add(y.tobytes())
        for name, signs in network.signs(x).items():
            (conv,) = (node for node in graph.binary_convs if node.name == name)
            np.testing.assert_array_equal(signs, values[conv.inputs[0]] < 0, err_msg=f"{kernel} {name}")
    assert len(bits) == 1


#: Any graph, the seed and number of its images, threads, and images that go through together.
ANYTHING = given(
    graphs(),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 9]),
    st.sampled_from([1, 1, 2, 3]),
    st.sampled_from([1, MAX_CHUNK]),
)


def check_anything(graph: Graph, seed: int, count: int, threads: int, chunk: int) -> None:
    note(described(graph))
    x = normal(np.random.default_rng(seed), count, *graph.image_shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bnn_ablate.packed.plan.MAX_CHUNK", chunk)  # images that go through together
        try:
            program = plan(graph)
        except GraphError:  # a value that is read with two kinds of border, which has a test below
            reject()
        if any(line.kind == "winograd" for line in program.lines):
            reject()
        check(graph, x, threads=threads)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@ANYTHING
def test_any_graph_gives_the_references_bits(graph: Graph, seed: int, count: int, threads: int, chunk: int):
    check_anything(graph, seed, count, threads, chunk)


# --- graphs that have been wrong, or nearly ----------------------------------------------------------------------

rng = np.random.default_rng(5)


def signs(*shape: int) -> Array:
    return rng.random(shape) < 0.5


def weights(*shape: int) -> Array:
    return normal(rng, *shape)


def signs_of_a_mean_over_channels() -> Draft:
    d = Draft((5, 4, 6))
    d.mean_of_all(d.binary_conv(d.add(AbsMean, "image"), signs(3, 1, 3, 3), borders=ONE))
    return d


def signs_of_means_in_a_concat() -> Draft:
    d = Draft((15, 5, 7))
    x = d.binary_conv(d.add(Concat, "image", "image"), signs(1, 30, 1, 1))
    m = d.affine(d.add(AbsMean, x), 1.0, -0.5)
    d.mean_of_all(d.binary_conv(d.add(Concat, m, x, m), signs(5, 3, 3, 3), borders=ONE))
    return d


def signs_of_the_normalised_image_in_a_concat() -> Draft:
    d = Draft((3, 6, 6))
    n = d.affine("image", 2.0, -0.5)
    x = d.add(Concat, n, d.conv(n, weights(20, 3, 3, 3), borders=ONE))
    d.mean_of_all(d.binary_conv(x, signs(16, 23, 3, 3), borders=ONE))
    return d


def signs_of_a_pooled_image_with_a_border() -> Draft:
    d = Draft((3, 6, 6))
    x = d.conv("image", weights(16, 3, 3, 3), borders=ONE)
    y = d.binary_conv(d.pool("image", "max", (3, 3), borders=ONE), signs(16, 3, 3, 3), borders=ONE)
    d.mean_of_all(d.add(Add, x, y))
    return d


def a_sum_in_place_with_another_border() -> Draft:
    d = Draft((3, 6, 6))
    a = d.conv("image", weights(16, 3, 3, 3), borders=ONE)
    b = d.conv(a, weights(16, 16, 3, 3), borders=ONE)
    c = d.add(Add, d.binary_conv(b, signs(16, 16, 3, 3), borders=ONE), a)
    d.mean_of_all(d.add(Add, d.conv(c, weights(16, 16, 3, 3), border=1.0, borders=ONE), b))
    return d


def signs_of_subnormal_values() -> Draft:
    d = Draft((7, 3, 4))
    x = d.affine(d.affine("image", -1e-44, 0.0), 0.36, 0.0)
    d.mean_of_all(d.binary_conv(x, signs(5, 7, 1, 1)))
    return d


def factors_that_overflow_when_doubled() -> Draft:
    d = Draft((3, 6, 6))
    x = d.affine(d.binary_conv("image", signs(5, 3, 1, 1)), 1.1e38, 1.0)
    x = d.affine(d.affine(x, 1e-38, 0.0), 1.0, 0.5)
    y = d.affine(d.affine(d.binary_conv("image", signs(5, 1 + 2, 1, 1)), -1.1e38, 0.0), 1e-38, 0.0)
    d.mean_of_all(d.add(Add, x, y))
    return d


def a_factor_that_overflows_when_doubled() -> Draft:
    d = Draft((1, 6, 6))
    d.mean_of_all(d.affine(d.affine(d.binary_conv("image", signs(5, 1, 1, 1)), 3e38, 0.0), 1e-38, 0.0))
    return d


def two_readers_of_one_affine() -> Draft:
    d = Draft((20, 5, 4))
    n = d.affine("image", -1.0, 0.3)
    x, y = d.binary_conv(n, signs(18, 20, 1, 1)), d.binary_conv(n, signs(18, 20, 3, 3), border=0, borders=ONE)
    p = d.pool(n, "mean", (2, 2), borders=(1, 0, 0, 1))
    d.mean_of_all(d.add(Concat, d.add(Add, x, y), p, n))
    return d


def sums_of_other_layouts() -> Draft:
    d = Draft((6, 4, 4))
    x = d.conv("image", weights(5, 6, 1, 1))
    pair, whole = d.add(Concat, x, "image"), d.conv("image", weights(11, 6, 1, 1))
    y = d.add(Add, pair, whole)
    z = d.add(Add, d.add(Concat, "image", x), pair)
    z = d.add(Add, z, d.binary_conv(d.add(Add, y, z), signs(11, 11, 3, 3), borders=ONE))
    d.mean_of_all(d.add(Concat, z, y, z))
    return d


def a_value_with_itself() -> Draft:
    d = Draft((9, 4, 4))
    x = d.binary_conv("image", signs(9, 9, 3, 3), borders=ONE)
    x = d.add(Add, x, x)
    x = d.add(Concat, x, x, d.add(Concat, x, "image"))
    m = d.add(AbsMean, x)
    x = d.add(Multiply, d.add(Multiply, x, d.add(Multiply, m, m)), m)
    d.mean_of_all(x)
    return d


def maps_and_factors() -> Draft:
    d = Draft((4, 5, 5))
    m = d.conv(d.add(AbsMean, "image"), np.full((1, 1, 3, 3), 1 / 9, np.float32), borders=ONE)
    x = d.binary_conv("image", signs(33, 4, 3, 3), borders=ONE)
    x = d.add(Multiply, d.affine(x, -0.7, 0.0), m)
    x = d.activation(d.affine(x, 1.3, -0.2), "leaky_clip")
    y = d.add(Multiply, d.affine(d.conv("image", weights(33, 4, 1, 1)), 0.5, 0.25), m)
    d.mean_of_all(d.activation(d.add(Add, x, y), "relu"))
    return d


def the_image_alone() -> Draft:
    d = Draft((3, 1, 1))
    d.add(Concat, "image", d.affine("image", 2.0, 1.0), "image")
    return d


def a_mean_over_channels_alone() -> Draft:
    d = Draft((3, 1, 1))
    d.add(AbsMean, d.activation(d.affine("image", 2.0, 1.0), "clip"))
    return d


def functions_before_poolings() -> Draft:
    d = Draft((18, 6, 6))
    x = d.binary_conv("image", signs(18, 18, 1, 1))
    s = d.activation(x, "sign")
    p = d.pool(s, "mean", (2, 2), divisor="kernel", borders=ONE)
    q = d.pool(d.activation(d.affine(s, -2.0, 0.5), "relu"), "max", (2, 2), borders=ONE)
    d.mean_of_all(d.add(Add, p, q))
    return d


HAND: tuple[Callable[[], Draft], ...] = (
    signs_of_a_mean_over_channels,
    signs_of_means_in_a_concat,
    signs_of_the_normalised_image_in_a_concat,
    signs_of_a_pooled_image_with_a_border,
    a_sum_in_place_with_another_border,
    signs_of_subnormal_values,
    factors_that_overflow_when_doubled,
    a_factor_that_overflows_when_doubled,
    two_readers_of_one_affine,
    sums_of_other_layouts,
    a_value_with_itself,
    maps_and_factors,
    the_image_alone,
    a_mean_over_channels_alone,
    functions_before_poolings,
)


@pytest.mark.parametrize("make", HAND, ids=[make.__name__ for make in HAND])
def test_graphs_by_hand_give_the_references_bits(make: Callable[[], Draft]):
    graph = make().graph()
    check(graph, normal(np.random.default_rng(6), 9, *graph.image_shape))


@pytest.mark.parametrize("joined", [False, True])
def test_a_large_image_that_the_stem_and_others_read_is_there_for_both(joined: bool):
    # the 7x7 stem of such images is summed in an order of its own, so the others are looked at alone
    d = Draft((3, 97, 98))
    n = d.affine("image", 2.0, -0.5)
    stem = d.activation(d.conv(n, weights(8, 3, 7, 7), stride=(2, 2), borders=(3, 3, 3, 3)), "clip")
    both = d.add(Concat, n, n)
    x = d.binary_conv(both, signs(8, 6, 1, 1), stride=(2, 2)) if joined else d.pool(both, "max", (1, 1), stride=(2, 2))
    d.mean_of_all(d.add(Concat, stem, x))
    graph = d.graph()
    pixels = normal(np.random.default_rng(7), 1, 3, 97, 98)
    expected = reference.logits(graph, pixels)
    for kernel in available_kernels():
        y = PackedNetwork(graph, kernel=kernel)(pixels)
        np.testing.assert_array_equal(y[:, 8:], expected[:, 8:])
        # means of 2401 values of at most 1, each some 10 roundings of 2^-24 off
        np.testing.assert_allclose(y[:, :8], expected[:, :8], atol=1e-5)


def test_two_kinds_of_border_around_one_value_are_refused():
    d = Draft((3, 4, 4))
    a = d.conv("image", weights(4, 3, 1, 1))
    x, y = (d.conv(a, weights(4, 4, 3, 3), border=border, borders=ONE) for border in (0.0, 1.0))
    d.mean_of_all(d.add(Add, x, y))
    with pytest.raises(GraphError, match=r"^conv0 is read with borders of 0.0 and 1.0: one is possible$"):
        PackedNetwork(d.graph())
