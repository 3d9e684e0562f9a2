"""The packed engine on real CIFAR-10 images, where BNN_ABLATE_DATA says where they lie."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bnn_ablate.data import eval_batches, load_splits
from bnn_ablate.models import build_network
from bnn_ablate.packed import PackedNetwork, available_kernels, reference
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.lower import lower

NETWORKS = {
    "resnet_e18": ("model=resnet_e18", "model.width=0.5"),
    "resnet_e18 xnor": ("model=resnet_e18", "model.width=0.25", "scaling=xnor", "shortcut=every_block"),
    "densenet28": ("model=binary_densenet28", "model.width=0.25"),
}


@pytest.mark.skipif("BNN_ABLATE_DATA" not in os.environ, reason="BNN_ABLATE_DATA is not set: no real images")
@pytest.mark.parametrize("name", NETWORKS)
def test_real_images_give_torchs_logits_and_the_references_bits(name: str, make_settings: Callable[..., Any]):
    root = Path(os.environ["BNN_ABLATE_DATA"]) / "cifar10"
    settings = make_settings(
        *("data=cifar10", f"data.root={root}", "data.download=false", "data.limit_train=256", "data.limit_test=64"),
        *NETWORKS[name],
    )
    splits = load_splits(settings.data)
    shares = {"rank": 0, "world_size": 1, "device": "cpu", "workers": 0}
    ((images, _),) = eval_batches(splits.test, settings.data, settings.recipe, 64, **shares)
    torch.manual_seed(0)
    module = build_network(settings.model, settings.design, in_channels=3, num_classes=10, image_size=32)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the statistics of these very images
        for batch, _ in eval_batches(splits.train, settings.data, settings.recipe, 128, **shares):
            module.train()(batch)
        module.eval()
        expected = module(images)
    graph = fold(lower(module, (3, 32, 32)))
    network = PackedNetwork(graph)
    logits = network(images)
    read: dict[str, torch.Tensor] = {}
    for key, layer in module.named_modules():
        layer.register_forward_hook(lambda _, args, __, key=key: read.update({key: args[0]}))
    with torch.no_grad():
        module(images)
    flips = {key: float((signs != (read[key].numpy() < 0)).mean()) for key, signs in network.signs(images).items()}
    # Float32 sums in another order than torch's: at first hardly a value lies that close to a threshold, and each one
    # that does moves others in every layer behind it, most in weights that no training has made robust.
    first, *_ = flips.values()
    assert first < 1e-5, flips
    assert max(flips.values()) < 1e-2, flips
    assert (logits.argmax(1) == expected.argmax(1)).float().mean() >= 0.95
    assert (logits - expected).abs().mean() < 0.02 * expected.abs().mean()
    few = np.ascontiguousarray(images[:2].numpy())
    np.testing.assert_array_equal(logits[:2].numpy(), reference.logits(graph, few))
    for kernel in available_kernels():
        assert PackedNetwork(graph, kernel=kernel, threads=2)(images).numpy().tobytes() == logits.numpy().tobytes()
