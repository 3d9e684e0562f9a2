"""Channelwise operators move from a concatenation to its parts, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from packed_networks import CASES, make_images, make_network

from bnn_ablate.packed import reference
from bnn_ablate.packed.engine import PackedNetwork
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.graph import Activation, Add, Affine, BinaryConv, Concat, Conv, Graph, Node, Pool
from bnn_ablate.packed.lower import lower
from bnn_ablate.packed.plan import plan
from bnn_ablate.packed.spread import spread

DENSE = [case for case in CASES if case.startswith("dense")]


def dense_graph(case: str) -> Graph:
    return fold(lower(make_network(case), (3, 17, 13)))


@pytest.mark.parametrize("case", DENSE)
def test_every_value_that_is_left_has_the_bits_that_it_had(case: str):
    graph = dense_graph(case)
    images = make_images().numpy()
    before, after = reference.run(graph, images), reference.run(spread(graph), images)
    assert graph.output in after
    for name in set(before) & set(after):
        np.testing.assert_array_equal(after[name], before[name])


def test_what_is_done_to_a_part_comes_right_after_what_it_reads():
    nodes = spread(dense_graph("dense")).nodes
    moved = [i for i, node in enumerate(nodes) if node.name.endswith("]")]
    assert sum(isinstance(nodes[i], Pool) for i in moved) >= 3
    for i in moved:
        assert nodes[i - 1].name == nodes[i].inputs[0]


def test_a_batchnorm_before_signs_is_left_to_become_a_threshold():
    graph = spread(dense_graph("dense"))
    nodes = {node.name: node for node in graph.nodes}
    for conv in graph.binary_convs:
        norm = nodes[conv.inputs[0]]
        assert isinstance(norm, Affine)
        assert "[" not in norm.name


def test_a_graph_without_a_concatenation_is_left_as_it_is():
    graph = fold(lower(make_network("post"), (3, 17, 13)))
    assert spread(graph).nodes == graph.nodes


def test_the_whole_of_a_dense_stage_is_stored_only_where_something_reads_it_whole():
    # 8 features, then 8 and 8 more of it on 8x8 pixels; pooled to one pixel each for the logits
    rng = np.random.default_rng(0)

    def conv(name: str, reads: str, channels: int) -> BinaryConv:
        signs = rng.random((8, channels, 3, 3)) < 0.5
        window = {"stride": (1, 1), "borders": (1, 1, 1, 1), "dilation": (1, 1)}
        return BinaryConv(name=name, inputs=(reads,), signs=signs, border=-1, **window)

    def logits(reads: str, kernel: int) -> Conv:
        weight = rng.standard_normal((2, 24, kernel, kernel)).astype(np.float32)
        window = {"stride": (1, 1), "borders": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "border": 0.0}
        return Conv(name="logits", inputs=(reads,), weight=weight, bias=np.zeros(2, np.float32), **window)

    stage = [
        conv("a", "image", 8),
        Concat(name="ab", inputs=("image", "a")),
        conv("b", "ab", 16),
        Concat(name="abc", inputs=("ab", "b")),
        Activation(name="relu", inputs=("abc",), function="relu"),
    ]
    pool = Pool(
        name="mean", inputs=("relu",), kind="mean", kernel=(8, 8), stride=(8, 8), borders=(0, 0, 0, 0), divisor="inside"
    )
    pooled = Graph((8, 8, 8), (*stage, pool, logits("mean", 1)))
    whole = Graph((8, 8, 8), (*stage, logits("relu", 8)))
    assert plan(pooled).arena_bytes / plan(pooled).chunk < plan(whole).arena_bytes / plan(whole).chunk


def renamed(graph: Graph, names: dict[str, str]) -> Graph:
    """The graph with nodes under other names."""
    return Graph(
        graph.image_shape,
        tuple(
            replace(
                node,
                name=names.get(node.name, node.name),
                inputs=tuple(names.get(name, name) for name in node.inputs),
            )
            for node in graph.nodes
        ),
    )


def test_names_that_the_planner_would_give_may_be_in_a_graph_already():
    rng = np.random.default_rng(2)

    def conv(name: str, reads: str, channels: int, c_out: int) -> BinaryConv:
        signs = rng.random((c_out, channels, 1, 1)) < 0.5
        window = {"stride": (1, 1), "borders": (0, 0, 0, 0), "dilation": (1, 1)}
        return BinaryConv(name=name, inputs=(reads,), signs=signs, border=-1, **window)

    # pieces of 3 and 5 channels, added to 8 in one piece, are made compact; twice in a concatenation they are copied
    graph = Graph(
        (3, 4, 4),
        (
            conv("a", "image", 3, 5),
            Concat(name="cat", inputs=("image", "a")),
            Concat(name="again", inputs=("cat", "cat")),
            conv("b", "again", 16, 8),
            conv("c", "b", 8, 8),
            Add(name="sum", inputs=("cat", "b")),
            Activation(name="relu", inputs=("again",), function="relu"),
            Pool(
                name="mean",
                inputs=("relu",),
                kind="mean",
                kernel=(4, 4),
                stride=(4, 4),
                borders=(0, 0, 0, 0),
                divisor="inside",
            ),
            Concat(name="all", inputs=("sum", "c")),
            Pool(
                name="most",
                inputs=("all",),
                kind="max",
                kernel=(4, 4),
                stride=(4, 4),
                borders=(0, 0, 0, 0),
                divisor="inside",
            ),
            Concat(name="logits", inputs=("mean", "most")),
        ),
    )
    images = rng.standard_normal((3, 3, 4, 4)).astype(np.float32)
    expected = reference.logits(graph, images)
    np.testing.assert_array_equal(PackedNetwork(graph)(images), expected)
    taken = {"a": "again/0", "b": "cat/compact", "c": "relu[0]", "sum": "again/1", "mean": "mean[1]", "most": "b/copy"}
    np.testing.assert_array_equal(PackedNetwork(renamed(graph, taken))(images), expected)


def test_a_long_chain_behind_a_concatenation_is_planned_like_any_other():
    nodes: list[Node] = [Concat(name="cat", inputs=("image", "image"))]
    for i in range(1500):
        nodes.append(Activation(name=f"relu{i}", inputs=(nodes[-1].name,), function="relu"))
    images = np.full((2, 3, 1, 1), 0.5, np.float32)
    assert (PackedNetwork(Graph((3, 1, 1), tuple(nodes)))(images) == 0.5).all()
