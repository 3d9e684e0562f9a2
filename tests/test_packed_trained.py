"""Networks that were trained in every option: packed, they predict what they predicted, on all test images of digits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from network_factories import make_binary_densenet, make_resnet_e
from packed_networks import CASES
from torch import Tensor, nn

from bnn_ablate.data import eval_batches, load_splits, train_batches
from bnn_ablate.models import build_network
from bnn_ablate.packed import pack
from bnn_ablate.packed_evaluation import compare
from bnn_ablate.provenance import pin_arithmetic
from bnn_ablate.settings import Settings

Pairs = list[tuple[Tensor, Tensor]]
#: Share of sign bits that rounding may flip: float sums in another order, beside 0.
MOST_FLIPS = 1e-4


@pytest.fixture(scope="module")
def digits(make_settings: Callable[..., Settings]) -> tuple[Pairs, Pairs]:
    """An epoch of training batches, and all test images."""
    settings = make_settings("data=digits")
    splits = load_splits(settings.data)
    where = {"rank": 0, "world_size": 1, "device": "cpu", "workers": 0}
    train = train_batches(splits.train, settings.data, settings.recipe, 0, **where)
    return list(train), list(eval_batches(splits.test, settings.data, settings.recipe, 360, **where))


def trained(case: str, batches: Pairs) -> nn.Module:
    """The network of a case after an epoch."""
    pin_arithmetic(1)
    torch.manual_seed(sum(map(ord, case)))
    make = make_binary_densenet if case.startswith("dense") else make_resnet_e
    network = build_network(make(), CASES[case], in_channels=1, num_classes=10, image_size=16)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for images, labels in batches:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network.eval()


@pytest.mark.parametrize("case", CASES)
def test_a_trained_network_predicts_the_same_when_packed(case: str, digits: tuple[Pairs, Pairs]) -> None:
    train, test = digits
    network = trained(case, train)
    packed = pack(network, tuple(test[0][0].shape[1:]), threads=1)
    compared = compare(network, packed, test)
    print(case, compared.floats.sums[2], compared.disagreeing, compared.disagreeing_with_equal_signs, compared.flipped, compared.sign_bits)
    assert compared.disagreeing_with_equal_signs == 0
    assert compared.flipped <= MOST_FLIPS * compared.sign_bits
    assert len(compared.floats.correct) == 360
