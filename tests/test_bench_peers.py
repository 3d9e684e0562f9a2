"""The contenders of the inference benchmark compute what they are said to."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_factories import make_binary_densenet, make_dense_design, make_design, make_resnet_e

from bnn_ablate.bench.onnx_models import float_model, int8_model
from bnn_ablate.bench.peers import (
    KINDS,
    UNMEASURED,
    Contender,
    FloatResNet18,
    UnavailableError,
    float_networks,
    larq_compute_engine,
    same_network,
)
from bnn_ablate.bench.simulation import Simulation
from bnn_ablate.models import build_network
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.graph import IMAGE, BinaryConv, Graph
from bnn_ablate.packed.lower import lower

SHAPE = (3, 16, 16)


def binary_network(sizes: Any, design: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(sizes, design, in_channels=3, num_classes=10, image_size=16).eval()


def noise(batch: int, shape: tuple[int, int, int] = SHAPE) -> Any:
    return np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)


@pytest.mark.parametrize(
    "design",
    [
        make_design(),
        make_design(stem="imagenet", padding="zero", side="same"),
        make_design(stem="grouped", padding="plus_one", scaling="xnor"),
        make_design(first="binary", last="binary", scaling="channel"),
        make_design(activations="float", function="leaky_clip"),
    ],
    ids=["plain", "same", "xnor", "binary", "leaky_clip"],
)
@torch.no_grad()
def test_the_float_simulation_answers_as_the_module(design: Any) -> None:
    network, images = binary_network(make_resnet_e(), design), torch.from_numpy(noise(2))
    torch.testing.assert_close(Simulation(lower(network, SHAPE))(images), network(images), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_float_simulation_answers_as_a_binary_densenet() -> None:
    network, images = binary_network(make_binary_densenet(), make_dense_design()), torch.from_numpy(noise(2))
    torch.testing.assert_close(Simulation(lower(network, SHAPE))(images), network(images), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_onnx_models_answer_as_the_float_resnet18_that_they_are_made_of() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    resnet, images = FloatResNet18((3, 32, 32), classes=10, batch=2), noise(2, (3, 32, 32))
    expected = resnet.module(torch.from_numpy(images)).numpy()
    spread = expected.std()
    assert np.abs(onnxruntime.InferenceSession(resnet.onnx).run(None, {IMAGE: images})[0] - expected).max() < (
        1e-5 * spread
    )
    quantized = onnxruntime.InferenceSession(resnet.onnx_int8).run(None, {IMAGE: images})[0]
    assert 0 < np.abs(quantized - expected).max() < 0.2 * spread


def test_weights_of_int8_models_have_a_scale_a_channel() -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    resnet = FloatResNet18((3, 8, 8), classes=10, batch=1)
    model = onnx.load(io.BytesIO(int8_model(float_model(resnet.graph, batch=1), [noise(1, (3, 8, 8))])))
    weights = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = [tensor for tensor in weights if tensor.name.endswith("weight_quantized")]
    assert len(weights) == 21  # 20 convolutions of ResNet18, the three of its shortcuts among them, and the Linear
    for weight in weights:
        assert list(scales[weight.name.removesuffix("quantized") + "scale"].dims) == [weight.dims[0]]


def test_a_binary_network_is_no_float_network() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    conv = BinaryConv(
        name="conv",
        inputs=(IMAGE,),
        signs=np.zeros((2, 3, 1, 1), np.bool_),
        stride=(1, 1),
        borders=(0, 0, 0, 0),
        border=0,
        dilation=(1, 1),
    )
    with pytest.raises(ValueError, match=r"conv \(BinaryConv\) is no operator of a float network"):
        float_model(Graph((3, 1, 1), (conv,)), batch=1)


@pytest.fixture
def graph() -> Graph:
    return fold(lower(binary_network(make_resnet_e(), make_design()), SHAPE))


def contenders(graph: Graph, batch: int) -> list[Contender]:
    """All but what is compiled, which takes most of a minute."""
    sizes = {"batch": batch, "threads": 1}
    found = [*same_network("small", graph, **sizes), *float_networks(graph.image_shape, classes=10, **sizes)]
    return [contender for contender in found if "compiled" not in contender.kinds]


@torch.no_grad()
def test_contenders_that_are_there_answer_with_logits(graph: Graph) -> None:
    images = noise(2)
    expected = Simulation(graph)(torch.from_numpy(images)).numpy()
    for contender in contenders(graph, 2):
        try:
            run = contender.make()
        except UnavailableError:
            continue
        logits = run(images)
        assert logits.shape == (2, 10)
        if contender.network == "small":
            np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


def test_contenders_of_libraries_that_are_not_there_say_so(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("openvino", "onnxruntime", "onnx"):
        monkeypatch.setitem(sys.modules, module, None)
    missing = [each for each in contenders(graph, 1) if "OpenVINO" in each.engine or "onnxruntime" in each.engine]
    assert len(missing) == 5
    for contender in missing:
        with pytest.raises(UnavailableError, match=r"^not installed$"):
            contender.make()


def test_larq_compute_engine_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "larq_compute_engine", None)
    with pytest.raises(UnavailableError, match=r"^not installed$"):
        larq_compute_engine()
    monkeypatch.delitem(sys.modules, "larq_compute_engine")
    (tmp_path / "larq_compute_engine.py").write_text("raise AssertionError('it is not to be loaded')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnavailableError, match=r"^installed, not measured: it converts Keras models"):
        larq_compute_engine()


@pytest.mark.parametrize(("size", "kernel"), [(32, (3, 3)), (63, (3, 3)), (64, (7, 7)), (224, (7, 7))])
def test_images_from_64_pixels_on_get_the_stem_of_imagenet(size: int, kernel: tuple[int, int]) -> None:
    layers = FloatResNet18((3, size, size), classes=10, batch=1).module.modules()
    assert next(layer for layer in layers if isinstance(layer, torch.nn.Conv2d)).kernel_size == kernel


def test_every_contender_can_be_asked_for(graph: Graph) -> None:
    kinds = {kind for contender in contenders(graph, 1) for kind in contender.kinds}
    assert kinds - {UNMEASURED} == set(KINDS) - {"compiled"}
