"""Networks that were trained in every option: packed, they predict what they predicted, on all test images of digits.

Each option stands on one of the three kinds of networks here; tests/slow has all of them on all three.
"""

from __future__ import annotations

import pytest
from packed_networks import CASES
from trained_networks import agreed, trained

KINDS = ("post", "pre", "dense")
OPTIONS = [[case for case in CASES if case.split()[0] == kind] for kind in KINDS]
THIRD = [case for turn, cases in enumerate(OPTIONS) for case in cases[turn::3]]
#: Steps of 64 images: enough to move every weight and statistic from where it began.
STEPS = 6


@pytest.mark.parametrize("case", THIRD)
def test_a_trained_network_predicts_the_same_when_packed(case: str) -> None:
    compared = agreed(trained(case, STEPS))
    has_signs = "weights=float" not in case and "activations=float" not in case
    assert (compared.sign_bits > 0) == has_signs


def test_a_trained_network_with_dilated_convolutions_predicts_the_same_when_packed() -> None:
    assert agreed(trained("dense", STEPS, dilation=(1, 2))).sign_bits > 0
