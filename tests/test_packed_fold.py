"""Folding leaves the function as it was up to rounding, and fewer nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from packed_networks import CASES, make_images, make_network

from bnn_ablate.packed import reference
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.graph import Activation, Add, Affine, BinaryConv, Conv, Graph, Node
from bnn_ablate.packed.lower import lower


def affine(name: str, source: str, scale: list[float], shift: list[float]) -> Affine:
    values = {"scale": np.array(scale, np.float32), "shift": np.array(shift, np.float32)}
    return Affine(name=name, inputs=(source,), **values)


def conv(name: str, source: str, weight: Any, bias: list[float]) -> Conv:
    """1x1, over two channels."""
    return Conv(
        name=name,
        inputs=(source,),
        weight=np.array(weight).reshape(2, 2, 1, 1),
        bias=np.array(bias, np.float32),
        border=0.0,
        stride=(1, 1),
        borders=(0, 0, 0, 0),
        dilation=(1, 1),
        groups=1,
    )


def relu(name: str, source: str) -> Activation:
    return Activation(name=name, inputs=(source,), function="relu")


def folded(*nodes: Node) -> dict[str, Node]:
    return {node.name: node for node in fold(Graph((2, 1, 1), nodes)).nodes}


def test_an_affine_after_an_affine_is_one():
    # 3 (2 x + 1) + 4 = 6 x + 7; -1 (5 x + 0) + 1 = -5 x + 1
    made = folded(affine("a", "image", [2, 5], [1, 0]), affine("b", "a", [3, -1], [4, 1]))
    assert list(made) == ["b"]
    assert made["b"].inputs == ("image",)
    np.testing.assert_array_equal(made["b"].scale, [6, -5])
    np.testing.assert_array_equal(made["b"].shift, [7, 1])


def test_products_are_rounded_once():
    third = np.float32(1 / 3)
    made = folded(affine("a", "image", [third, third], [third, 1]), affine("b", "a", [third, 3], [third, 2**-30]))
    exact = np.float64(third) * np.float64(third)
    assert made["b"].scale[0] == np.float32(exact)
    assert made["b"].shift[0] == np.float32(exact + np.float64(third)) != third * third + third


def test_an_affine_after_a_float_convolution_is_worked_into_its_weights():
    weight = np.array([[1, 2], [3, 4]], np.float32)
    made = folded(conv("a", "image", weight, [1, 2]), affine("b", "a", [2, -1], [10, 20]), relu("c", "b"))
    assert list(made) == ["b", "c"]
    np.testing.assert_array_equal(made["b"].weight[:, :, 0, 0], [[2, 4], [-3, -4]])
    np.testing.assert_array_equal(made["b"].bias, [12, 18])


def test_an_affine_after_signs_stays():
    signs = np.array([[True, False], [False, True]])
    window = {"stride": (1, 1), "borders": (0, 0, 0, 0), "dilation": (1, 1)}
    binary = BinaryConv(name="a", inputs=("image",), signs=signs.reshape(2, 2, 1, 1), border=-1, **window)
    assert list(folded(binary, affine("b", "a", [2, 2], [1, 1]))) == ["a", "b"]
    assert list(folded(conv("a", "image", signs, [0, 0]), affine("b", "a", [2, 2], [1, 1]))) == ["a", "b"]


def test_an_affine_before_a_convolution_stays():
    weight = np.ones((2, 2), np.float32)
    assert list(folded(affine("a", "image", [2, 2], [1, 1]), conv("b", "a", weight, [0, 0]))) == ["a", "b"]


def test_what_something_else_reads_is_not_merged():
    both = Add(name="c", inputs=("a", "b"))
    weight = np.ones((2, 2), np.float32)
    for first in (affine("a", "image", [2, 2], [1, 1]), conv("a", "image", weight, [0, 0])):
        assert list(folded(first, affine("b", "a", [3, 3], [0, 0]), both)) == ["a", "b", "c"]


def test_an_affine_that_changes_nothing_goes():
    nothing = affine("b", "a", [1, 1], [0, 0])
    made = folded(relu("a", "image"), nothing, relu("c", "b"))
    assert {name: node.inputs for name, node in made.items()} == {"a": ("image",), "c": ("a",)}
    assert list(folded(relu("a", "image"), nothing)) == ["a"]
    # two that undo each other, exactly
    there, back = affine("a", "r", [2, 4], [1, 2]), affine("b", "a", [0.5, 0.25], [-0.5, -0.5])
    assert list(folded(relu("r", "image"), there, back)) == ["r"]


def test_what_is_read_beside_an_idle_affine_is_not_merged():
    nothing = affine("b", "a", [1, 1], [0, 0])
    both = Add(name="e", inputs=("c", "d"))
    made = folded(affine("a", "image", [2, 2], [1, 1]), nothing, affine("c", "b", [3, 3], [0, 0]), relu("d", "a"), both)
    assert {name: node.inputs for name, node in made.items()} == {
        "a": ("image",),
        "c": ("a",),
        "d": ("a",),
        "e": ("c", "d"),
    }
    np.testing.assert_array_equal(made["c"].scale, [3, 3])


def test_a_graph_keeps_one_node():
    assert list(folded(affine("a", "image", [1, 1], [0, 0]))) == ["a"]


def test_nodes_that_the_output_does_not_need_go():
    made = folded(affine("a", "image", [2, 2], [1, 1]), relu("unread", "a"), affine("b", "a", [3, 3], [0, 0]))
    assert list(made) == ["b"]


def test_factors_whose_product_is_beyond_float32_stay_apart():
    assert list(folded(affine("a", "image", [1e30, 1], [0, 0]), affine("b", "a", [1e30, 1], [0, 0]))) == ["a", "b"]


@pytest.mark.parametrize("case", [case for case in CASES if "activations" not in case and case.startswith("post")])
def test_a_folded_network_has_the_values_of_the_whole_one(case: str):
    graph = lower(make_network(case), (3, 17, 13))
    smaller = fold(graph)
    assert len(smaller.nodes) < len(graph.nodes)
    images = make_images().numpy()
    values, others = reference.run(graph, images), reference.run(smaller, images)
    for name, mine in others.items():
        # two roundings for one; no sum of signs changes with these weights
        np.testing.assert_allclose(mine, values[name], rtol=2e-5, atol=2e-5 * max(1, np.abs(mine).max()), err_msg=name)
