"""Float and packed network side by side: what is counted, against counts made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from packed_networks import make_network
from torch import Tensor, nn

from bnn_ablate.latency import Timing
from bnn_ablate.packed import PackedNetwork, pack
from bnn_ablate.packed_evaluation import SIGNS_AT_A_TIME, compare, flipped_signs, packed_facts, write_packed

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return make_network("post")


@pytest.fixture(scope="module")
def packed(network: nn.Module) -> PackedNetwork:
    return pack(network, SHAPE, threads=1)


def images(count: int) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def batches(count: int, size: int) -> list[tuple[Tensor, Tensor]]:
    labels = torch.arange(count) % 5
    return list(zip(images(count).split(size), labels.split(size), strict=True))


class Altered:
    """A packed network whose signs and logits are changed on their way out."""

    def __init__(self, packed: PackedNetwork, flip: dict[int, int], wrong: tuple[int, ...] = ()) -> None:
        self.packed, self.flip, self.wrong = packed, flip, wrong
        self.seen = images(40)

    def place(self, image: Tensor) -> int:
        """Which of the images this is."""
        return int((self.seen == image).flatten(1).all(1).nonzero().item())

    def __call__(self, batch: Tensor) -> Tensor:
        logits = self.packed(batch)
        for row, image in zip(logits, batch, strict=True):
            if self.place(image) in self.wrong:
                row.copy_(-row)  # the largest becomes the smallest
        return logits

    def signs(self, batch: Tensor) -> dict[str, np.ndarray]:
        signs = self.packed.signs(batch)
        first = signs["stages.0.0.body.0"]
        for row, image in zip(first, batch, strict=True):
            for pixel in range(self.flip.get(self.place(image), 0)):
                row[0, pixel] = ~row[0, pixel]  # a whole row of 16 pixels
        return signs


def test_a_packed_network_and_its_own_float_one_agree(network: nn.Module, packed: PackedNetwork) -> None:
    compared = compare(network, packed, batches(40, 16))
    assert torch.equal(compared.floats.correct, compared.packed.correct)
    assert compared.floats.top5 == compared.packed.top5 == 40  # of five classes
    assert (compared.disagreeing, compared.flipped, compared.sign_images) == (0, 0, 40)
    with torch.no_grad():
        expected = network(images(40)).argmax(1) == torch.arange(40) % 5
    assert torch.equal(compared.packed.correct, expected)


def test_all_signs_that_binary_convolutions_read_are_counted(network: nn.Module, packed: PackedNetwork) -> None:
    shapes = [signs.shape for signs in packed.signs(images(1)).values()]
    compared = compare(network, packed, batches(6, 4))
    assert compared.sign_bits == 6 * sum(int(np.prod(shape)) for shape in shapes)
    # a network of two stages of two convolutions, of which the first three read 16x16 maps
    assert len(shapes) == 4
    assert [shape[2:] for shape in shapes] == [(16, 16), (16, 16), (16, 16), (8, 8)]


def test_flipped_signs_are_counted_image_by_image(network: nn.Module, packed: PackedNetwork) -> None:
    altered = Altered(packed, flip={0: 1, SIGNS_AT_A_TIME: 2})
    flips, predicted, _ = flipped_signs(network, altered, images(SIGNS_AT_A_TIME + 2))
    assert flips.tolist() == [16, *[0] * (SIGNS_AT_A_TIME - 1), 32, 0]
    assert torch.equal(predicted, network(images(SIGNS_AT_A_TIME + 2)).argmax(1))


def test_only_the_first_images_are_compared_bit_by_bit(network: nn.Module, packed: PackedNetwork) -> None:
    altered = Altered(packed, flip={3: 1, 9: 1, 10: 1, 30: 1})
    compared = compare(network, altered, batches(40, 8), sign_images=10)
    assert (compared.flipped, compared.sign_images) == (2 * 16, 10)


def test_disagreements_are_counted_and_told_from_those_that_signs_explain(
    network: nn.Module, packed: PackedNetwork
) -> None:
    # 5 and 30 have other signs, 6 and 31 have not; the first ten images are compared bit by bit
    altered = Altered(packed, flip={5: 1, 30: 1}, wrong=(5, 6, 30, 31))
    compared = compare(network, altered, batches(40, 8), sign_images=10)
    assert (compared.disagreeing, compared.disagreeing_with_equal_signs) == (4, 2)
    assert (compared.flipped, compared.sign_images) == (16, 10)


class Crowded(nn.Module):
    """A float network that answers otherwise beside many images, as one whose float sums take another order there."""

    def __init__(self, network: nn.Module, wrong: int) -> None:
        super().__init__()
        self.stages = network
        self.wrong = wrong

    def named_modules(self, *arguments: Any, **options: Any) -> Any:
        return self.stages.named_modules(*arguments, **options)

    def forward(self, batch: Tensor) -> Tensor:
        logits = self.stages(batch)
        if len(batch) > SIGNS_AT_A_TIME:
            logits[self.wrong] = logits[self.wrong].roll(1)
        return logits


def test_a_float_network_that_contradicts_itself_is_no_disagreement_with_equal_signs(
    network: nn.Module, packed: PackedNetwork
) -> None:
    compared = compare(Crowded(network, wrong=3).eval(), packed, batches(SIGNS_AT_A_TIME + 1, SIGNS_AT_A_TIME + 1))
    assert (compared.disagreeing, compared.disagreeing_with_equal_signs) == (1, 0)


def test_a_network_of_other_binary_convolutions_is_refused(packed: PackedNetwork) -> None:
    with pytest.raises(RuntimeError, match=r"the packed network lacks the binary convolution 0\.stages"):
        flipped_signs(nn.Sequential(make_network("post")), packed, images(1))
    with pytest.raises(RuntimeError, match="the float network lacks the binary convolutions stages"):
        flipped_signs(nn.Identity(), packed, images(1))


def test_a_network_without_binary_convolutions_has_no_sign_bits() -> None:
    network = make_network("post weights=float")
    compared = compare(network, pack(network, SHAPE, threads=1), batches(4, 4))
    assert (compared.sign_bits, compared.flipped, compared.disagreeing) == (0, 0, 0)


def test_comparing_gives_the_mode_back(packed: PackedNetwork) -> None:
    network = make_network("post").train()
    compare(network, packed, batches(2, 2))
    assert network.training


def test_what_the_record_says_of_a_packed_network(network: nn.Module, packed: PackedNetwork, tmp_path: Path) -> None:
    write_packed(tmp_path / "it.safetensors", network, SHAPE)
    loaded = PackedNetwork.load(tmp_path / "it.safetensors", threads=1)
    compared = compare(network, loaded, batches(8, 8))
    timing = Timing(latency_ms=[3.0, 1.0], warmup=4, images_per_second=5.0, throughput_batch=6, busy=True)
    facts = packed_facts(compared, loaded, timing, file_bytes=7)
    logits = F.one_hot(network(images(8)).argmax(1), 5)
    assert facts.top1 == logits.argmax(1).eq(torch.arange(8) % 5).float().mean().item()
    assert (facts.top5, facts.file_bytes, facts.latency_ms, facts.busy) == (1.0, 7, [3.0, 1.0], True)
    assert (facts.kernel, facts.threads) == (loaded.kernel, 1)
