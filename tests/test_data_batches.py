"""Batches: repeatable, the same for any number of ranks, and resumable anywhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from data_factories import CROP, LEVEL3, PLAIN, make_data, make_recipe
from torch import Tensor

from bnn_ablate.data import Batches, DataError, ImageSet, eval_batches, train_batches
from bnn_ablate.recipe import Augment

DATA = make_data()
#: 50 images of 8x8: four batches of 12, two images left over. Labels are positions, so that images can be traced.
IMAGES = ImageSet(
    torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
    torch.arange(50),
)
AUGMENTS = [PLAIN, CROP, LEVEL3]


def training(augment: Augment = PLAIN, *, seed: int = 0, rank: int = 0, world_size: int = 1, **recipe: Any) -> Batches:
    settings = make_recipe(augment, **recipe)
    return train_batches(IMAGES, DATA, settings, seed, rank=rank, world_size=world_size, device="cpu", workers=0)


def evaluation(count: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> Batches:
    images = ImageSet(IMAGES.images[:count], IMAGES.labels[:count])
    return eval_batches(
        images, DATA, make_recipe(CROP), batch_size, rank=rank, world_size=world_size, device="cpu", workers=0
    )


def epoch(batches: Batches, number: int = 0) -> list[tuple[Tensor, Tensor]]:
    batches.set_epoch(number)
    return list(batches)


def same(a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(a, b, strict=True)
    )


def by_hand(pixels: Tensor) -> Tensor:
    """Pixels to input in float64, from the definition, with the means and deviations of make_data."""
    mean = torch.tensor([0.5, 0.25, 0.75], dtype=torch.float64).view(3, 1, 1)
    std = torch.tensor([0.25, 0.5, 0.125], dtype=torch.float64).view(3, 1, 1)
    return (pixels.double() / 255 - mean) / std


# --- what a batch is ---------------------------------------------------------------------------------------------


def test_a_batch_is_normalised_float_images_in_channels_last_memory_and_labels() -> None:
    images, labels = next(iter(training()))
    assert images.shape == (12, 3, 8, 8)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64
    assert torch.allclose(images.double(), by_hand(IMAGES.images[labels]), rtol=0, atol=2e-6)


def test_without_normalisation_pixels_are_scaled_to_0_1() -> None:
    images, labels = next(iter(training(normalize=False)))
    assert torch.allclose(images, IMAGES.images[labels] / 255, rtol=0, atol=1e-7)
    assert images.min() >= 0
    assert images.max() <= 1


# --- order -------------------------------------------------------------------------------------------------------


def test_an_epoch_has_whole_batches_of_different_images() -> None:
    batches = training()
    labels = torch.cat([y for _, y in epoch(batches)])
    assert len(batches) == 4
    assert len(labels) == len(set(labels.tolist())) == 48


def test_every_epoch_and_every_seed_has_another_order_and_drops_other_images() -> None:
    orders = {
        tuple(y.item() for _, labels in epoch(training(seed=s), e) for y in labels) for s in range(3) for e in range(4)
    }
    assert len(orders) == 12
    assert len({frozenset(range(50)) - frozenset(order) for order in orders}) > 6


def test_the_order_is_not_that_of_the_file() -> None:
    assert torch.cat([y for _, y in epoch(training())]).tolist() != list(range(48))


def test_an_epoch_repeats_itself_bit_for_bit() -> None:
    for augment in AUGMENTS:
        assert same(epoch(training(augment), 3), epoch(training(augment), 3))


@pytest.mark.parametrize("augment", [CROP, LEVEL3], ids=lambda augment: augment.name)
def test_every_seed_epoch_and_batch_is_augmented_differently(augment: Augment) -> None:
    # Copies of one image: what differs is not the order.
    copies = ImageSet(IMAGES.images[:1].expand(48, -1, -1, -1), torch.zeros(48, dtype=torch.int64))
    shown = set()
    for seed in range(2):
        batches = train_batches(copies, DATA, make_recipe(augment), seed, rank=0, world_size=1, device="cpu", workers=0)
        for number in range(2):
            shown |= {images.numpy().tobytes() for images, _ in epoch(batches, number)}
    assert len(shown) == 2 * 2 * 4


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    epoch(training(LEVEL3))
    assert torch.equal(torch.rand(3), expected)


# --- ranks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", AUGMENTS, ids=lambda augment: augment.name)
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_together_see_exactly_what_one_rank_sees(augment: Augment, world_size: int) -> None:
    ranks = [epoch(training(augment, rank=rank, world_size=world_size), 2) for rank in range(world_size)]
    together = [
        (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])) for parts in zip(*ranks, strict=True)
    ]
    assert all(len(x) == 12 // world_size for rank in ranks for x, _ in rank)
    assert same(together, epoch(training(augment), 2))


def test_a_batch_that_cannot_be_shared_equally_is_an_error() -> None:
    with pytest.raises(DataError, match=r"recipe\.batch_size=12 cannot be shared equally by trainer\.devices=5"):
        training(world_size=5)


def test_fewer_images_than_one_batch_is_an_error() -> None:
    assert len(training(batch_size=50)) == 1
    with pytest.raises(DataError, match=r"recipe\.batch_size=51 is more than the 50 training images"):
        training(batch_size=51)


# --- resuming ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", AUGMENTS, ids=lambda augment: augment.name)
@pytest.mark.parametrize("stop", range(5))
def test_a_resumed_epoch_goes_on_where_it_stopped_and_the_next_starts_at_its_beginning(
    augment: Augment, stop: int
) -> None:
    before = training(augment)
    before.set_epoch(7)
    iterator = iter(before)
    for _ in range(stop):
        next(iterator)
    state = before.state_dict()
    assert state == {"epoch": 7, "batches": stop}
    after = training(augment)
    after.load_state_dict(state)
    after.set_epoch(7)  # as a trainer does when it starts
    assert after.state_dict() == state
    assert same(list(after), epoch(training(augment), 7)[stop:])
    assert after.state_dict() == {"epoch": 7, "batches": 4}
    assert same(epoch(after, 8), epoch(training(augment), 8))
    assert same(epoch(after, 8), epoch(training(augment), 8))


def test_only_the_first_iteration_after_loading_is_short() -> None:
    batches = training()
    batches.load_state_dict({"epoch": 0, "batches": 3})
    assert [len(list(batches)) for _ in range(3)] == [1, 4, 4]


def test_the_state_counts_what_was_handed_out() -> None:
    batches = training()
    assert batches.state_dict() == {"epoch": 0, "batches": 0}
    for handed_out, _ in enumerate(batches, start=1):
        assert batches.state_dict() == {"epoch": 0, "batches": handed_out}
    assert batches.state_dict() == {"epoch": 0, "batches": 4}
    batches.set_epoch(1)
    assert batches.state_dict() == {"epoch": 1, "batches": 0}


def test_an_epoch_left_early_starts_again_at_its_beginning() -> None:
    batches = training(CROP)
    next(iter(batches))
    assert same(list(batches), epoch(training(CROP)))


@pytest.mark.parametrize(
    "state", [{"epoch": 0, "batches": 5}, {"epoch": 0, "batches": -1}, {"epoch": -1, "batches": 0}, {"epoch": 0}, {}]
)
def test_a_place_that_does_not_exist_is_an_error(state: dict[str, int]) -> None:
    with pytest.raises(DataError):
        training().load_state_dict(state)


def test_the_sampler_is_the_loader_itself() -> None:
    batches = training()
    batches.sampler.set_epoch(3)
    assert same(list(batches), epoch(training(), 3))


# --- evaluation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 24, 50])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_ranks_evaluate_every_image_exactly_once_in_file_order(count: int, world_size: int, batch_size: int) -> None:
    seen: list[int] = []
    sizes = []
    for rank in range(world_size):
        batches = evaluation(count, batch_size, rank=rank, world_size=world_size)
        labels = [y for _, y in batches]
        assert len(labels) == len(batches)
        assert all(len(y) == batch_size for y in labels[:-1])
        mine = [int(label) for y in labels for label in y]
        assert batches.indices.tolist() == mine
        seen += mine
        sizes.append(len(mine))
    assert seen == list(range(count))
    assert max(sizes) - min(sizes) <= 1


def test_evaluation_augments_nothing() -> None:
    images = torch.cat([x for x, _ in evaluation(50, 7)])
    assert torch.allclose(images.double(), by_hand(IMAGES.images), rtol=0, atol=2e-6)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_is_the_same_in_every_epoch() -> None:
    assert same(epoch(evaluation(20, 6), 0), epoch(evaluation(20, 6), 5))
