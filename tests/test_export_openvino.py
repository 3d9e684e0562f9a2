"""Networks exported to OpenVINO answer as the reference does.

Weights, factors and images are multiples of 1/8, so that no sum is rounded before the last mean and Linear: no sign can
flip because OpenVINO adds in another order. Where openvino is not installed only the refusals are tested.
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_factories import make_binary_densenet, make_dense_design, make_design, make_resnet_e
from torch import nn

from bnn_ablate.export import ExportError, export_graph
from bnn_ablate.export.__main__ import main
from bnn_ablate.export.openvino import bounds, to_openvino
from bnn_ablate.models import build_network
from bnn_ablate.packed import reference
from bnn_ablate.packed.file import write_graph
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.graph import (
    IMAGE,
    AbsMean,
    Activation,
    Add,
    Affine,
    BinaryConv,
    Concat,
    Conv,
    Graph,
    Multiply,
    Node,
    Pool,
    output_shape,
)
from bnn_ablate.packed.lower import lower

SHAPE = (16, 9, 7)


@pytest.fixture
def openvino() -> Any:
    return pytest.importorskip("openvino", reason="openvino is not installed")


def eighths(shape: tuple[int, ...], seed: int, most: int = 16) -> Any:
    """Multiples of 1/8 from -most/8 to most/8, zeros among them."""
    return (np.random.default_rng(seed).integers(-most, most + 1, shape) / 8).astype(np.float32)


def read_out(name: str, shape: tuple[int, int, int]) -> Conv:
    """Sixteen logits, each a sum over all of the feature map ``name`` with whole factors."""
    weight = np.random.default_rng(5).integers(-3, 4, (16, *shape)).astype(np.float32)
    plain = {"stride": (1, 1), "borders": (0, 0, 0, 0), "border": 0.0, "dilation": (1, 1), "groups": 1}
    return Conv(name="logits", inputs=(name,), weight=weight, bias=np.arange(16, dtype=np.float32), **plain)


def graph_of(*nodes: Node, shape: tuple[int, int, int] = SHAPE) -> Graph:
    """``nodes`` and a read-out of the last."""
    shapes = {IMAGE: shape}
    for node in nodes:
        shapes[node.name] = output_shape(node, [shapes[name] for name in node.inputs])
    return Graph(shape, (*nodes, read_out(nodes[-1].name, shapes[nodes[-1].name])))


def answers(openvino: Any, model: Any, images: Any) -> Any:
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(model, "CPU", settings)(images)[0]


def assert_same(openvino: Any, graph: Graph, batch: int = 2) -> None:
    images = eighths((batch, *graph.image_shape), seed=1)
    given = answers(openvino, to_openvino(graph, batch=batch), images)
    np.testing.assert_array_equal(given, reference.logits(graph, images))


def binary_conv(name: str = "conv", inputs: tuple[str, ...] = (IMAGE,), **changes: Any) -> BinaryConv:
    signs = np.random.default_rng(2).random(changes.pop("weights", (24, 16, 3, 3))) < 0.5
    plain: dict[str, Any] = {"stride": (1, 1), "borders": (1, 1, 1, 1), "border": -1, "dilation": (1, 1)}
    return BinaryConv(name=name, inputs=inputs, signs=signs, **plain | changes)


@pytest.mark.parametrize("border", [-1, 0, 1])
@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"stride": (2, 2)},
        {"stride": (2, 2), "borders": (0, 1, 0, 1)},
        {"dilation": (2, 2), "borders": (2, 2, 2, 2)},
        {"weights": (24, 16, 1, 1), "borders": (0, 0, 0, 0)},
        {"weights": (7, 16, 5, 3), "borders": (1, 1, 2, 2)},
    ],
    ids=str,
)
def test_binary_convolutions_are_exact_and_the_sign_of_zero_is_plus_one(
    openvino: Any, geometry: dict[str, Any], border: int
) -> None:
    assert_same(openvino, graph_of(binary_conv(**geometry, border=border)))


@pytest.mark.parametrize("channels", [1, 3, 8, 12, 31, 33, 64, 100, 160])
def test_any_number_of_channels_can_be_exported(openvino: Any, channels: int) -> None:
    conv = binary_conv(weights=(5, channels, 3, 3), border=0)
    assert_same(openvino, graph_of(conv, shape=(channels, 6, 6)))


def test_signs_stay_bits_in_the_file(openvino: Any, tmp_path: Path) -> None:
    conv = binary_conv(weights=(256, 16, 3, 3), borders=(0, 0, 0, 0))
    pool = Pool(
        name="p", inputs=("conv",), kind="max", kernel=(7, 5), stride=(1, 1), borders=(0,) * 4, divisor="inside"
    )
    graph = Graph(SHAPE, (conv, pool))
    _, weights = export_graph(graph, "openvino", tmp_path)
    assert 256 * 16 * 9 / 8 <= weights.stat().st_size < 256 * 16 * 9 / 8 + 200


@pytest.mark.parametrize("function", ["relu", "clip", "sign"])
def test_activations_are_exact(openvino: Any, function: Any) -> None:
    assert_same(openvino, graph_of(Activation(name="a", inputs=(IMAGE,), function=function)))


def test_the_leaky_clip_is_right_up_to_rounding(openvino: Any) -> None:
    graph, images = graph_of(Activation(name="a", inputs=(IMAGE,), function="leaky_clip")), eighths((1, *SHAPE), 1)
    given = answers(openvino, to_openvino(graph), images)
    np.testing.assert_allclose(given, reference.logits(graph, images), rtol=1e-5, atol=1e-3)


def test_batchnorm_before_a_sign_keeps_negative_scales_and_zeros(openvino: Any) -> None:
    affine = Affine(name="bn", inputs=(IMAGE,), scale=eighths((16,), 3, most=4), shift=eighths((16,), 4, most=2))
    assert (affine.scale < 0).any()
    assert (affine.scale == 0).any()
    assert_same(openvino, graph_of(affine, binary_conv(inputs=("bn",))))


def test_bounds_part_the_numbers_where_the_sign_of_a_batchnorm_changes() -> None:
    generator = np.random.default_rng(0)
    scale, shift = (generator.standard_normal(3000).astype(np.float32) for _ in range(2))
    scale[:6], shift[:6] = [0, 0, 0, 1e-30, -1e-30, 1], [0, 1, -1, 1e10, 1e10, 0]
    bound, low = bounds(Affine(name="bn", inputs=(IMAGE,), scale=scale, shift=shift))
    most = np.finfo(np.float32).max
    above, below = np.nextafter(bound, most), np.nextafter(bound, -most)
    above[5] = 0.0  # what is nearer to zero is no normal number
    for x in (bound, above, below, np.zeros_like(bound), generator.standard_normal(3000).astype(np.float32)):
        np.testing.assert_array_equal(np.where(x > bound, 1 - low, low), reference.fma(x, scale, shift) >= 0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"groups": 4, "weight": eighths((8, 4, 3, 3), 6)},
        {"border": -0.5, "borders": (1, 0, 2, 1)},
        {"weight": eighths((8, 16, 3, 3), 6) < 0},
        {"stride": (2, 1), "dilation": (2, 1)},
    ],
    ids=["plain", "groups", "border", "signs", "stride"],
)
def test_float_convolutions_are_exact(openvino: Any, changes: dict[str, Any]) -> None:
    plain = {"stride": (1, 1), "borders": (1, 1, 1, 1), "border": 0.0, "dilation": (1, 1), "groups": 1}
    plain |= {"weight": eighths((8, 16, 3, 3), 6), "bias": eighths((8,), 7)}
    assert_same(openvino, graph_of(Conv(name="conv", inputs=(IMAGE,), **plain | changes)))


@pytest.mark.parametrize("borders", [(0, 0, 0, 0), (0, 1, 0, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize(("kind", "divisor"), [("max", "inside"), ("mean", "inside"), ("mean", "kernel")])
def test_poolings_keep_their_borders(openvino: Any, kind: Any, divisor: Any, borders: tuple[int, ...]) -> None:
    pool = Pool(name="pool", inputs=(IMAGE,), kind=kind, kernel=(2, 2), stride=(2, 2), borders=borders, divisor=divisor)
    assert_same(openvino, graph_of(pool))


def test_a_map_of_magnitudes_scales_a_convolution(openvino: Any) -> None:
    magnitude = AbsMean(name="k", inputs=(IMAGE,))
    assert_same(openvino, graph_of(binary_conv(), magnitude, Multiply(name="y", inputs=("conv", "k"))))


def test_sums_and_concatenations_are_exact(openvino: Any) -> None:
    first, second = binary_conv("first"), binary_conv("second", ("first",), weights=(24, 24, 3, 3))
    joined = Concat(name="joined", inputs=("sum", IMAGE, "first"))
    third = binary_conv("third", ("joined",), weights=(8, 64, 3, 3), border=0)
    assert_same(openvino, graph_of(first, second, Add(name="sum", inputs=("first", "second")), joined, third))


def in_eighths(graph: Graph) -> Graph:
    """The graph with its values but those of the last layer rounded to multiples of 1/8."""
    rounded = []
    for node in graph.nodes[:-1]:
        arrays = {field.name: getattr(node, field.name) for field in fields(node)}
        changes = {
            name: (np.round(8 * array) / 8).astype(np.float32)
            for name, array in arrays.items()
            if isinstance(array, np.ndarray) and array.dtype == np.float32
        }
        rounded.append(replace(node, **changes))
    return Graph(graph.image_shape, (*rounded, graph.nodes[-1]))


def trained(network: nn.Module) -> nn.Module:
    """``network`` in eval mode, with BatchNorms that are not as they began."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias, 0, 0.3)
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 1, 3)
    return network.eval()


@pytest.mark.parametrize("padding", ["minus_one", "zero", "plus_one"])
@pytest.mark.parametrize("stem", ["cifar", "imagenet", "grouped"])
def test_a_resnet_e_answers_as_the_reference(openvino: Any, stem: str, padding: str) -> None:
    assert_network(openvino, make_resnet_e(), make_design(stem=stem, padding=padding))


@pytest.mark.parametrize(
    "options",
    [
        {"order": "pre"},
        {"padding": "zero", "side": "same"},
        {"scaling": "channel", "downsample": "binary"},
        {"scaling": "xnor"},
        {"output": "popcount", "shortcut": "every_block"},
        {"first": "binary", "last": "binary", "shortcut": "none"},
        {"weights": "float"},
        {"activations": "float", "function": "clip"},
    ],
    ids=str,
)
def test_designs_answer_as_the_reference(openvino: Any, options: dict[str, Any]) -> None:
    assert_network(openvino, make_resnet_e(), make_design(**options))


def test_channels_that_fill_no_bytes_answer_as_the_reference(openvino: Any) -> None:
    assert_network(openvino, make_resnet_e(channels=(12, 20), stem_features=12), make_design())


def test_a_binary_densenet_answers_as_the_reference(openvino: Any) -> None:
    assert_network(openvino, make_binary_densenet(), make_dense_design())


def assert_network(openvino: Any, sizes: Any, design: Any) -> None:
    torch.manual_seed(0)
    network = trained(build_network(sizes, design, in_channels=3, num_classes=10, image_size=16))
    graph = in_eighths(fold(lower(network, (3, 16, 16))))
    images = eighths((2, 3, 16, 16), seed=1, most=8)
    given = answers(openvino, to_openvino(graph, batch=2), images)
    np.testing.assert_allclose(given, reference.logits(graph, images), rtol=1e-5, atol=1e-5)


def test_the_command_writes_what_openvino_reads(
    openvino: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = graph_of(binary_conv())
    write_graph(tmp_path / "net.safetensors", graph)
    out = tmp_path / "out"
    assert main([str(tmp_path / "net.safetensors"), "--to", "openvino", "--out", str(out), "--batch", "3"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["network.bin", "network.xml"]
    assert f"{out / 'network.xml'} written" in capsys.readouterr().out
    images = eighths((3, *SHAPE), seed=1)
    given = answers(openvino, openvino.Core().read_model(out / "network.xml"), images)
    np.testing.assert_array_equal(given, reference.logits(graph, images))


def test_without_openvino_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    write_graph(tmp_path / "net.safetensors", graph_of(binary_conv()))
    assert main([str(tmp_path / "net.safetensors"), "--to", "openvino", "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out == "error: openvino is not installed: pip install -e '.[bench]'\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"target": "onnx"}, "to=onnx must be one of openvino"),
        ({"batch": 0}, "batch=0 must be at least 1"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path: Path, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ExportError, match=sentence):
        export_graph(graph_of(binary_conv()), **{"target": "openvino", "out": tmp_path / "out"} | arguments)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(openvino: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ExportError, match="cannot be written: File exists"):
        export_graph(graph_of(binary_conv()), "openvino", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
