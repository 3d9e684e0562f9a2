"""Whole networks in the engine: every model, every option, odd images, against the reference and against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CONF
from packed_graphs import normal
from packed_networks import CASES, make_images, make_network, randomised

from bnn_ablate.models import build_network
from bnn_ablate.packed import PackedNetwork, available_kernels, pack, reference
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.graph import Graph
from bnn_ablate.packed.lower import lower

MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))


def check(graph: Graph, images: np.ndarray, *, threads: int = 1) -> None:
    """Logits of every kernel are the reference's, but for a 7x7 stem's rounding, and those of the first kernel."""
    networks = [PackedNetwork(graph, kernel=kernel, threads=threads) for kernel in available_kernels()]
    logits = [network(images) for network in networks]
    assert len({y.tobytes() for y in logits}) == 1
    if all(line.kind != "winograd" for line in networks[0].lines):
        np.testing.assert_array_equal(logits[0], reference.logits(graph, images))
    else:
        values, signs = reference.run(graph, images), networks[0].signs(images)
        flips = [np.mean(signs[conv.name] != (values[conv.inputs[0]] < 0)) for conv in graph.binary_convs]
        # what the stem rounds otherwise moves values next to a threshold, and these move others
        assert max(flips, default=0) < 2e-3
        np.testing.assert_allclose(logits[0], values[graph.output][:, :, 0, 0], rtol=0.05, atol=0.05)


@pytest.mark.parametrize("case", CASES)
def test_every_option_gives_the_references_bits(case: str):
    graph = fold(lower(make_network(case), (3, 17, 13)))
    check(graph, make_images(2).numpy(), threads=2 if "xnor" in case else 1)


@pytest.mark.parametrize(("size", "count"), [((3, 19, 14), 1), ((1, 9, 11), 2)])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_gives_the_references_bits(
    model: str, size: tuple[int, int, int], count: int, make_settings: Callable[..., Any]
):
    overrides = [f"model={model}", "data=synthetic", "data.image_size=16"]
    if model == "resnet18":
        overrides += ["activations=float", "weights=float", "padding=zero"]
    # the smallest widths that the models' reductions allow
    width = 0.25 if model in ("binary_densenet37", "binary_densenet37_dilated", "binary_densenet_flex") else 0.125
    settings = make_settings(*overrides, f"model.width={width}")
    torch.manual_seed(len(model))
    network = build_network(settings.model, settings.design, in_channels=size[0], num_classes=3, image_size=16)
    graph = fold(lower(randomised(network), size))
    check(graph, normal(np.random.default_rng(1), count, *size))


@pytest.mark.parametrize("order", ["post", "pre"])
def test_a_large_image_through_the_7x7_stem_is_the_same_in_all_kernels_and_threads(order: str):
    network = make_network(f"{order} stem=imagenet", channels=(16, 20), stem_features=20)
    graph = fold(lower(network, (3, 97, 102)))
    images = normal(np.random.default_rng(2), 2, 3, 97, 102)
    networks = [PackedNetwork(graph, kernel=k, threads=t) for k in available_kernels() for t in (1, 2, 3)]
    assert any(line.kind == "winograd" for line in networks[0].lines)
    assert len({network(images).tobytes() for network in networks}) == 1
    strided = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert networks[0](strided).tobytes() == networks[1](images).tobytes()
    check(graph, images)


def test_a_resnet_e18_of_224_pixels_agrees_with_torch(make_settings: Callable[..., Any]):
    settings = make_settings(
        *("model=resnet_e18", "model.width=0.25", "stem=imagenet", "data=synthetic", "data.image_size=224")
    )
    torch.manual_seed(0)
    module = build_network(settings.model, settings.design, in_channels=3, num_classes=10, image_size=224)
    module = randomised(module)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    network = pack(module, (3, 224, 224))
    read: dict[str, torch.Tensor] = {}
    for name, layer in module.named_modules():
        layer.register_forward_hook(lambda _, args, __, name=name: read.update({name: args[0]}))
    with torch.no_grad():
        expected = module(images)
    flips = [float((signs != (read[name].numpy() < 0)).mean()) for name, signs in network.signs(images.numpy()).items()]
    assert len(flips) == 16
    # float32 sums in another order: a value in ten thousand lies so close to a threshold, and each one moves others
    assert max(flips) < 1e-3
    torch.testing.assert_close(network(images), expected, rtol=0.01, atol=0.02)
