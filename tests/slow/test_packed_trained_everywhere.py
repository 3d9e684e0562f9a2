"""Every option on every kind of network, trained for an epoch of digits: packed, it predicts what it predicted."""

from __future__ import annotations

import pytest
from packed_networks import CASES
from trained_networks import agreed, trained

#: Predictions of 28,080 that signs may turn which rounding has flipped; with equal signs there is none.
MOST_DISAGREEING = 2


@pytest.fixture(scope="module")
def flips():
    """Flipped and compared sign bits of all networks; what they are in the end is shown with -rP."""
    counts = {"networks": 0, "disagreeing": 0, "flipped": 0, "sign_bits": 0}
    yield counts
    print(counts)


@pytest.mark.parametrize("case", CASES)
def test_a_network_trained_for_an_epoch_predicts_the_same_when_packed(case, flips):
    compared = agreed(trained(case, steps=22))
    flips["networks"] += 1
    for name in ("disagreeing", "flipped", "sign_bits"):
        flips[name] += getattr(compared, name)
    assert flips["disagreeing"] <= MOST_DISAGREEING
