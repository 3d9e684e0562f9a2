"""A graph that is no network cannot be made; the sentence names the node and what is wrong with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bnn_ablate.packed.graph import (
    MAX_NODES,
    AbsMean,
    Activation,
    Add,
    Affine,
    BinaryConv,
    Concat,
    Conv,
    Graph,
    GraphError,
    Multiply,
    Node,
    Pool,
    Shape,
    attributes,
    needed,
    output_shape,
)

#: The shape that nodes are tried on.
MAPS = (2, 5, 6)


def affine(name: str = "n", *inputs: str, channels: int = 2, **changes: Any) -> Affine:
    scale, shift = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    return Affine(**{"name": name, "inputs": inputs, "scale": scale, "shift": shift} | changes)


def binary_conv(**changes: Any) -> BinaryConv:
    """3x3 with a border of one pixel, from 2 to 4 channels."""
    made = {"name": "n", "inputs": ("image",), "signs": np.zeros((4, 2, 3, 3), bool), "border": -1, "stride": (1, 1)}
    return BinaryConv(**made | {"borders": (1, 1, 1, 1), "dilation": (1, 1)} | changes)


def conv(**changes: Any) -> Conv:
    """The same with values."""
    made = {"name": "n", "inputs": ("image",), "weight": zeros(4, 2, 3, 3), "bias": zeros(4), "border": 0.0}
    made |= {"stride": (1, 1), "borders": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
    return Conv(**made | changes)


def pool(**changes: Any) -> Pool:
    """2x2, stride 2."""
    made = {"name": "n", "inputs": ("image",), "kind": "max", "kernel": (2, 2), "divisor": "inside"}
    return Pool(**made | {"stride": (2, 2), "borders": (0, 0, 0, 0)} | changes)


def mean(name: str, of: str, height: int, width: int) -> Pool:
    return pool(name=name, inputs=(of,), kind="mean", kernel=(height, width), stride=(1, 1))


def named(kind: type[Node], *inputs: str, **attributes: Any) -> Node:
    return kind(name="n", inputs=inputs, **attributes)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


# --- what a graph is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node", "inputs", "expected"),
    [
        (affine(), [MAPS], MAPS),
        (named(Activation, function="sign"), [MAPS], MAPS),
        (binary_conv(), [MAPS], (4, 5, 6)),
        (binary_conv(stride=(2, 3)), [MAPS], (4, 3, 2)),
        (binary_conv(borders=(0, 0, 0, 0)), [MAPS], (4, 3, 4)),
        (binary_conv(dilation=(2, 1)), [MAPS], (4, 3, 6)),
        (binary_conv(borders=(0, 1, 2, 3)), [MAPS], (4, 8, 5)),
        (conv(), [MAPS], (4, 5, 6)),
        (conv(weight=np.ones((4, 1, 3, 3), bool), groups=2), [MAPS], (4, 5, 6)),
        (conv(weight=zeros(4, 2, 5, 6), borders=(0, 0, 0, 0)), [MAPS], (4, 1, 1)),
        (pool(), [MAPS], (2, 2, 3)),
        (pool(borders=(0, 0, 0, 1)), [MAPS], (2, 3, 3)),
        (pool(kernel=(3, 1), borders=(0, 0, 1, 1), stride=(1, 1)), [MAPS], MAPS),
        (named(AbsMean), [MAPS], (1, 5, 6)),
        (named(Multiply), [MAPS, (1, 5, 6)], MAPS),
        (named(Add), [MAPS, MAPS], MAPS),
        (named(Concat), [MAPS, (7, 5, 6), MAPS], (11, 5, 6)),
    ],
)
def test_an_operator_gives_the_shape_of_the_table(node: Node, inputs: list[Shape], expected: Shape):
    assert output_shape(node, inputs) == expected


def two_branches() -> Graph:
    both = Add(name="c", inputs=("b", "b"))
    return Graph(MAPS, (affine("a", "image"), binary_conv(name="b", inputs=("a",)), both, mean("d", "c", 5, 6)))


def test_a_graph_knows_shapes_consumers_and_its_output():
    made = two_branches()
    assert dict(made.shapes) == {"image": MAPS, "a": MAPS, "b": (4, 5, 6), "c": (4, 5, 6), "d": (4, 1, 1)}
    assert (made.output, made.classes) == ("d", 4)
    readers = {name: [node.name for node in nodes] for name, nodes in made.consumers().items()}
    assert readers == {"image": ["a"], "a": ["b"], "b": ["c", "c"], "c": ["d"], "d": []}
    assert [node.name for node in made.binary_convs] == ["b"]


def test_nodes_on_which_the_output_does_not_depend_are_not_needed():
    nodes = (affine("a", "image"), affine("unread", "a"), mean("b", "a", 5, 6), affine("c", "b"))
    assert [node.name for node in needed(nodes, "b")] == ["a", "b"]


def test_attributes_are_what_a_node_is_made_of_beside_name_and_inputs():
    assert attributes(Add(name="a", inputs=("b", "c"))) == {}
    assert set(attributes(pool())) == {"kind", "kernel", "divisor", "stride", "borders"}


# --- what is none ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "nodes", "message"),
    [
        (MAPS, (), "0 nodes: a network has 1 to 4096"),
        (MAPS, (affine("a", "image"), affine("a", "image")), "a is there twice"),
        (MAPS, (affine("image", "image"),), "image is there twice"),
        (MAPS, (affine("a", "b"), affine("b", "image")), "a reads b, which does not come before it"),
        (MAPS, (affine("a", "a"),), "a reads a, which does not come before it"),
        (MAPS, (affine("a", "image"),), r"a is the output, and of \(2, 5, 6\): logits are \(classes, 1, 1\)"),
        (MAPS, (affine("stem.1", "image", channels=3),), "stem.1: scale has 3 values for 2 channels"),
        ((2, 0, 6), (affine("a", "image"),), r"image has the shape \(2, 0, 6\): sizes are 1 to 65536 channels"),
        ((2**17, 1, 1), (affine("a", "image"),), r"image has the shape \(131072, 1, 1\)"),
        ((2, 2**14 + 1, 1), (affine("a", "image"),), r"image has the shape \(2, 16385, 1\): .* and 16384 pixels"),
        ((2, 2**14, 2**14), (affine("a", "image"),), "image has 536870912 values: at most 268435456"),
        (
            (2**16, 16, 16),
            (named(Concat, *["image"] * 17),),
            r"n has the shape \(1114112, 16, 16\): sizes are 1 to 65536 channels",
        ),
    ],
)
def test_a_list_of_nodes_that_is_no_network_is_refused(image: Shape, nodes: tuple[Node, ...], message: str):
    with pytest.raises(GraphError, match=f"^{message}"):
        Graph(image, nodes)


def test_more_nodes_than_any_network_has_are_refused():
    with pytest.raises(GraphError, match=r"^4097 nodes: a network has 1 to 4096"):
        Graph(MAPS, (affine("a", "image"),) * (MAX_NODES + 1))


@pytest.mark.parametrize(
    ("node", "inputs", "message"),
    [
        (affine(), [], "it reads 0 values"),
        (affine(), [MAPS, MAPS], "it reads 2 values"),
        (named(Add), [MAPS], "it reads 1 values"),
        (named(Multiply), [MAPS], "it reads 1 values"),
        (named(Concat), [MAPS], "it reads 1 values"),
        (named(Node), [MAPS], "Node is no operator"),
        (affine(shift=zeros(3)), [MAPS], "shift has 3 values for 2 channels"),
        (affine(scale=np.zeros(2)), [MAPS], r"scale is of float64 and shape \(2,\): 1 axes of float32"),
        (affine(scale=zeros(2, 1)), [MAPS], r"scale is of float32 and shape \(2, 1\)"),
        (affine(scale=np.array([np.nan, 1], np.float32)), [MAPS], "scale holds values that are not finite"),
        (named(Activation, function="gelu"), [MAPS], "function=gelu must be one of relu, clip, leaky_clip, sign"),
        (binary_conv(border=2), [MAPS], "border=2 must be one of -1, 0, 1"),
        (binary_conv(signs=zeros(4, 2, 3, 3)), [MAPS], "signs is of float32"),
        (binary_conv(signs=np.zeros((4, 2, 3, 0), bool)), [MAPS], r"signs is of bool and shape \(4, 2, 3, 0\)"),
        (binary_conv(), [(3, 5, 6)], r"weights \(4, 2, 3, 3\) in 1 groups do not fit 3 channels"),
        (binary_conv(stride=(0, 1)), [MAPS], r"stride=\(0, 1\) must be 2 whole numbers from 1 to 16384"),
        (binary_conv(stride=(1, 1.0)), [MAPS], r"stride=\(1, 1.0\) must be 2 whole numbers"),
        (binary_conv(stride=(1, 1, 1)), [MAPS], r"stride=\(1, 1, 1\) must be 2 whole numbers"),
        (binary_conv(dilation=(1, 2**15)), [MAPS], r"dilation=\(1, 32768\) must be 2 whole numbers"),
        (binary_conv(borders=(-1, 0, 0, 0)), [MAPS], r"borders=\(-1, 0, 0, 0\) must be 4 whole numbers from 0"),
        (binary_conv(borders=(1, 1)), [MAPS], r"borders=\(1, 1\) must be 4 whole numbers"),
        (
            binary_conv(dilation=(4, 1)),
            [MAPS],
            r"kernel=\(3, 3\) dilation=\(4, 1\) does not fit into 5 x 6 pixels",
        ),
        (conv(weight=np.zeros((4, 2, 3, 3))), [MAPS], "weight is of float64: float32 or bool"),
        (conv(weight=zeros(4, 2, 3)), [MAPS], r"weight is of float32 and shape \(4, 2, 3\): 4 axes"),
        (conv(weight=np.full((4, 2, 3, 3), np.inf, np.float32)), [MAPS], "weight holds values that are not finite"),
        (conv(bias=zeros(5)), [MAPS], "bias has 5 values for 4 channels"),
        (conv(border=np.inf), [MAPS], "border=inf must be finite"),
        (conv(groups=3), [MAPS], r"weights \(4, 2, 3, 3\) in 3 groups do not fit 2 channels"),
        (conv(groups=0), [MAPS], "in 0 groups do not fit"),
        (
            binary_conv(signs=np.zeros((1, 2**15, 17, 17), bool)),
            [(2**15, 20, 20)],
            "sums of 9469952 terms: at most 8388608, below which float32 is exact",
        ),
        (pool(kind="median"), [MAPS], "kind=median must be one of max, mean"),
        (pool(divisor="both"), [MAPS], "divisor=both must be one of inside, kernel"),
        (pool(kernel=(0, 2)), [MAPS], r"kernel=\(0, 2\) must be 2 whole numbers"),
        (pool(kernel=(6, 2)), [MAPS], r"kernel=\(6, 2\) .*does not fit into 5 x 6 pixels"),
        (pool(borders=(2, 0, 0, 0)), [MAPS], r"kernel=\(2, 2\) borders=\(2, 0, 0, 0\): a window lies outside"),
        (pool(borders=(0, 0, 2, 0)), [MAPS], "a window lies outside the image"),
        (pool(borders=(0, 2, 0, 0)), [MAPS], "a window lies outside the image"),
        (pool(borders=(0, 0, 0, 3)), [MAPS], "a window lies outside the image"),
        (named(Multiply), [MAPS, MAPS], r"it multiplies \(2, 5, 6\) by \(2, 5, 6\)"),
        (named(Add), [MAPS, (2, 5, 5)], r"it adds \(2, 5, 6\) and \(2, 5, 5\)"),
        (named(Concat), [MAPS, (2, 5, 5)], r"it concatenates \(2, 5, 6\), \(2, 5, 5\)"),
    ],
)
def test_a_node_that_does_not_fit_is_refused(node: Node, inputs: list[Shape], message: str):
    with pytest.raises(GraphError, match=f"^{message}" if not message.startswith(("in ", "a ")) else message):
        output_shape(node, inputs)
