"""Small networks that digits have trained for a while, and what is asked of their packed selves."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from conftest import composed
from network_factories import make_binary_densenet, make_resnet_e
from packed_networks import CASES
from torch import Tensor, nn

from bnn_ablate.data import eval_batches, load_splits, train_batches
from bnn_ablate.job import settings_of
from bnn_ablate.layers import BinaryConv2d
from bnn_ablate.models import build_network
from bnn_ablate.packed import PackedNetwork, pack
from bnn_ablate.packed_evaluation import Comparison, compare
from bnn_ablate.provenance import pin_arithmetic

Pairs = list[tuple[Tensor, Tensor]]

TEST_IMAGES = 360
#: Share of sign bits that may differ: where rounding flips one, in all images with the same patch, those of the layers
#: behind follow.
MOST_FLIPS = 1e-3
#: How near to 0, in mean magnitudes of what a layer reads, a value is that float sums in another order may flip.
ROUNDING = 1e-6


@cache
def digits() -> tuple[Pairs, Pairs]:
    """An epoch of training batches of 64 images, and all test images."""
    settings = settings_of(composed("data=digits"))
    splits = load_splits(settings.data)
    where: dict[str, Any] = {"rank": 0, "world_size": 1, "device": "cpu", "workers": 0}
    train = train_batches(splits.train, settings.data, settings.recipe, 0, **where)
    return list(train), list(eval_batches(splits.test, settings.data, settings.recipe, TEST_IMAGES, **where))


def trained(case: str, steps: int, **sizes: Any) -> nn.Module:
    """The network of one of packed_networks.CASES after some steps of training, in eval mode."""
    pin_arithmetic(1)
    torch.manual_seed(sum(map(ord, case)))
    make = make_binary_densenet if case.startswith("dense") else make_resnet_e
    network = build_network(make(**sizes), CASES[case], in_channels=1, num_classes=10, image_size=16)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    train, _ = digits()
    for images, labels in train[:steps]:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network.eval()


def agreed(network: nn.Module) -> Comparison:
    """The network beside its packed self on all test images, and exceptions within what rounding explains."""
    _, test = digits()
    packed = pack(network, (1, 16, 16), threads=1)
    compared = compare(network, packed, test)
    assert len(compared.packed.correct) == compared.sign_images == TEST_IMAGES
    assert compared.disagreeing_with_equal_signs == 0
    assert compared.flipped <= MOST_FLIPS * compared.sign_bits
    if compared.flipped > 0:
        for images, _ in test:
            assert largest_first_flip(network, packed, images) <= ROUNDING
    return compared


def largest_first_flip(network: nn.Module, packed: PackedNetwork, images: Tensor) -> float:
    """The value farthest from 0, in mean magnitudes, whose sign differs in the first layer where an image has one."""
    read: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: read.__setitem__(name, inputs[0]))
        for name, layer in network.named_modules()
        if isinstance(layer, BinaryConv2d)
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    signs = packed.signs(images)
    largest = 0.0
    untouched = torch.ones(len(images), dtype=torch.bool)
    for name, values in read.items():  # in the order of their calls
        flipped = (values < 0) != torch.from_numpy(signs[name])
        first = flipped & untouched.view(-1, 1, 1, 1)
        if first.any():
            largest = max(largest, (values[first].abs().max() / values.abs().mean()).item())
        untouched &= ~flipped.flatten(1).any(1)
    return largest
