"""From settings to sets: sizes, held-out images, limits, resizing, and what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from data_factories import make_data
from torch import Tensor

from bnn_ablate.data import DataError, ImageSet, Splits, load_splits
from bnn_ablate.settings import Data


def images_of(part: object) -> Tensor:
    assert isinstance(part, ImageSet)
    return part.images


def digits(**changes: Any) -> Data:
    values: dict[str, Any] = {
        "name": "digits",
        "image_size": 8,
        "num_classes": 10,
        "mean": (0.5,),
        "std": (0.5,),
        "limit_train": "all",
        "limit_test": "all",
    }
    return make_data(**{**values, **changes})


@pytest.fixture(scope="module")
def doubled() -> Splits:
    return load_splits(digits(image_size=16))


# --- digits ------------------------------------------------------------------------------------------------------


def test_the_last_360_digits_are_the_test_set(doubled: Splits) -> None:
    assert (len(doubled.train), len(doubled.test), doubled.holdout) == (1437, 360, None)
    assert doubled.train.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert doubled.test.labels[-5:].tolist() == [9, 0, 8, 9, 8]


def test_digits_are_doubled_exactly_and_stretched_to_255(doubled: Splits) -> None:
    # The first rows of the first image in the file: 0 0 5 13 9 1 0 0 and 0 0 13 15 10 15 5 0, of 16.
    rows = [[0, 0, 80, 207, 143, 16, 0, 0], [0, 0, 207, 239, 159, 239, 80, 0]]
    first = images_of(doubled.train)[0, 0]
    for row, values in enumerate(rows):
        expected = [value for value in values for _ in range(2)]
        assert first[2 * row].tolist() == first[2 * row + 1].tolist() == expected
    assert images_of(doubled.train).max() == 255


# --- resizing ----------------------------------------------------------------------------------------------------


def test_halving_weighs_the_four_nearest_pixels_1_3_3_1(doubled: Splits) -> None:
    native = images_of(load_splits(digits()).train).double()
    halved = images_of(load_splits(digits(image_size=4)).train)
    assert halved.dtype == torch.uint8
    weights = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 8
    # Output pixel (1, 1) reads input pixels 1..4 of both axes; a tie of rounding may fall either way.
    exact = torch.einsum("nyx,y,x->n", native[:, 0, 1:5, 1:5], weights, weights)
    assert (halved[:, 0, 1, 1] - exact).abs().max() <= 0.5 + 1e-4


# --- held-out images and limits ----------------------------------------------------------------------------------


def rows(part: object) -> set[bytes]:
    return {image.numpy().tobytes() for image in images_of(part)}


def test_held_out_images_are_drawn_from_the_training_images() -> None:
    whole, split = load_splits(make_data()), load_splits(make_data(holdout=20))
    assert split.holdout is not None
    assert (len(split.train), len(split.holdout)) == (30, 20)
    assert rows(split.train) | rows(split.holdout) == rows(whole.train)
    assert not rows(split.train) & rows(split.holdout)
    assert torch.equal(images_of(split.test), images_of(whole.test))


def test_held_out_images_have_their_labels_with_them() -> None:
    whole, split = load_splits(make_data()), load_splits(make_data(holdout=20))
    labels = {
        image.numpy().tobytes(): int(y) for image, y in zip(images_of(whole.train), whole.train.labels, strict=True)
    }
    for part in (split.train, split.holdout):
        assert part is not None
        assert [labels[image.numpy().tobytes()] for image in images_of(part)] == part.labels.tolist()


def test_which_images_are_held_out_depends_on_the_seed_of_the_data_only() -> None:
    first, again, other = (load_splits(make_data(holdout=20, seed=seed)) for seed in (0, 0, 1))
    assert rows(first.holdout) == rows(again.holdout) != rows(other.holdout)


@pytest.mark.parametrize("holdout", [50, 51])
def test_holding_everything_out_is_an_error(holdout: int) -> None:
    with pytest.raises(DataError, match=f"data.holdout={holdout} leaves nothing to train on: there are 50"):
        load_splits(make_data(holdout=holdout))


def test_limits_keep_the_first_images(doubled: Splits) -> None:
    few = load_splits(digits(image_size=16, limit_train=7, limit_test=3))
    assert torch.equal(images_of(few.train), images_of(doubled.train)[:7])
    assert torch.equal(images_of(few.test), images_of(doubled.test)[:3])
    assert few.test.labels.tolist() == doubled.test.labels[:3].tolist()


def test_a_limit_above_the_number_of_images_keeps_all() -> None:
    assert len(load_splits(digits(limit_train=5000)).train) == 1437


# --- what does not fit -------------------------------------------------------------------------------------------


def test_another_number_of_classes_is_an_error() -> None:
    with pytest.raises(DataError, match=r"data\.num_classes=11 does not fit data=digits, which has 10"):
        load_splits(digits(num_classes=11))


def test_another_number_of_channels_is_an_error() -> None:
    with pytest.raises(DataError, match="has 3 numbers and data=digits has 1 channel"):
        load_splits(digits(mean=(0.5, 0.5, 0.5)))


# --- synthetic ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "classes", "channels"), [(8, 4, 3), (32, 10, 1), (16, 300, 2)])
def test_synthetic_images_have_the_size_classes_and_channels_asked_for(size: int, classes: int, channels: int) -> None:
    data = make_data(
        image_size=size, num_classes=classes, mean=(0.5,) * channels, std=(0.5,) * channels, limit_train=600
    )
    splits = load_splits(data)
    assert images_of(splits.train).shape == (600, channels, size, size)
    assert splits.train.labels.unique().tolist() == list(range(classes))


def test_without_limits_there_are_512_and_128_synthetic_images() -> None:
    splits = load_splits(make_data(limit_train="all", limit_test="all"))
    assert (len(splits.train), len(splits.test)) == (512, 128)


def test_more_synthetic_images_begin_with_the_same_ones() -> None:
    few, many = load_splits(make_data(limit_train=5)), load_splits(make_data(limit_train=500))
    assert torch.equal(images_of(few.train), images_of(many.train)[:5])


def test_synthetic_classes_can_be_told_apart_in_images_not_seen_before() -> None:
    splits = load_splits(make_data(image_size=16, num_classes=10, limit_train=200, limit_test=200))
    train, test = images_of(splits.train).double(), images_of(splits.test).double()
    means = torch.stack([train[splits.train.labels == label].mean(0) for label in range(10)])
    nearest = (test[:, None] - means[None]).square().sum((2, 3, 4)).argmin(1)
    assert (nearest == splits.test.labels).double().mean() > 0.99
    assert not rows(splits.train) & rows(splits.test)
