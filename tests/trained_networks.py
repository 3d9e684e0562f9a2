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
from bnn_ablate.models import build_network
from bnn_ablate.packed import pack
from bnn_ablate.packed_evaluation import Comparison, compare
from bnn_ablate.provenance import pin_arithmetic

Pairs = list[tuple[Tensor, Tensor]]

TEST_IMAGES = 360
#: Share of sign bits that rounding may flip: float sums in another order, beside 0.
MOST_FLIPS = 1e-4


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
    compared = compare(network, pack(network, (1, 16, 16), threads=1), test)
    assert len(compared.packed.correct) == compared.sign_images == TEST_IMAGES
    assert compared.disagreeing_with_equal_signs == 0
    assert compared.flipped <= MOST_FLIPS * compared.sign_bits
    return compared
