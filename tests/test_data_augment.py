"""Augmentations against references written image by image, pixel by pixel."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch
from data_factories import LEVEL3
from torch import Tensor

from bnn_ablate.data import DataError
from bnn_ablate.data.augment import Crop, Normalise, Unchanged, augmentation
from bnn_ablate.data.level3 import Level3, forward_matrices, hls_to_rgb, rgb_to_hls, shift_hls, warp
from bnn_ablate.recipe import CropAugment, RandomCropAugment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(count: int, height: int, width: int, channels: int = 3) -> Tensor:
    """uint8 (count, height, width, channels)."""
    return torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8, generator=generator(9))


# --- crop --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width", "channels"), [(8, 8, 3), (5, 7, 1), (32, 32, 3)])
@pytest.mark.parametrize("padding", [1, 4])
@pytest.mark.parametrize("flip", [True, False])
def test_a_crop_is_a_window_of_the_image_with_black_borders(
    height: int, width: int, channels: int, padding: int, flip: bool
) -> None:
    images = random_images(40, height, width, channels)
    crop = Crop(padding, flip)
    draws = crop.draw(40, generator())
    expected = np.zeros_like(images.numpy())
    for image, (top, left, mirrored) in enumerate(zip(*(d.tolist() for d in draws), strict=True)):
        for y in range(height):
            for x in range(width):
                from_y, from_x = y + top - padding, (width - 1 - x if mirrored else x) + left - padding
                if 0 <= from_y < height and 0 <= from_x < width:
                    expected[image, y, x] = images[image, from_y, from_x]
    assert np.array_equal(crop.apply(images, draws).numpy(), expected)


def test_windows_reach_every_place_and_half_of_them_are_mirrored() -> None:
    top, left, mirrored = Crop(4, True).draw(4000, generator())
    assert sorted(set(top.tolist())) == sorted(set(left.tolist())) == list(range(9))
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) == 81
    assert 0.45 < mirrored.float().mean() < 0.55


def test_nothing_is_mirrored_unless_asked_for() -> None:
    images = random_images(64, 8, 8)
    crop = Crop(1, False)
    top, left, mirrored = crop.draw(64, generator())
    assert not mirrored.any()
    centred = (top == 1) & (left == 1)
    assert torch.equal(crop.apply(images, (top, left, mirrored))[centred], images[centred])


def test_an_augmentation_for_folders_is_refused_for_images_in_memory() -> None:
    with pytest.raises(DataError, match="random_crop is for image folders"):
        augmentation(RandomCropAugment(name="random_crop", resize=256))


def test_settings_choose_the_crop() -> None:
    crop = augmentation(CropAugment(name="shift", padding=2, flip=False))
    assert isinstance(crop, Crop)
    assert (crop.padding, crop.flip) == (2, False)


# --- normalisation -----------------------------------------------------------------------------------------------


def test_every_pixel_value_is_normalised_by_its_channel() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(1, 1, 1, 3)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201)
    found = Normalise((16, 16, 3), mean, std, torch.device("cpu"))(pixels)
    for channel in range(3):
        for value in (0, 1, 127, 128, 254, 255):
            expected = (value / 255 - mean[channel]) / std[channel]
            assert found[0, channel, value // 16, value % 16].item() == pytest.approx(expected, abs=1e-6)


# --- level 3: colours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rgb", "hls"),
    [
        ((255, 0, 0), (0, 128, 255)),
        ((0, 255, 0), (60, 128, 255)),
        ((0, 0, 255), (120, 128, 255)),
        ((255, 0, 255), (150, 128, 255)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (0, 255, 0)),
        ((128, 128, 128), (0, 128, 0)),
        ((0, 51, 102), (105, 51, 255)),
    ],
)
def test_hue_counts_half_degrees_and_the_rest_to_255(rgb: tuple[int, ...], hls: tuple[int, ...]) -> None:
    assert rgb_to_hls(torch.tensor(rgb).float().view(1, 3, 1, 1)).flatten().tolist() == list(hls)


def test_colours_agree_with_the_standard_library() -> None:
    images = random_images(1, 64, 64).permute(0, 3, 1, 2).float()
    found = rgb_to_hls(images).view(3, -1).T
    exact = torch.tensor([colorsys.rgb_to_hls(*p) for p in (images.view(3, -1).T.double() / 255).tolist()])
    exact = exact * torch.tensor([180.0, 255.0, 255.0])
    # Rounded to the nearest whole step; a tie may fall either way.
    assert (found - exact).abs().max() <= 0.5 + 1e-4
    back = hls_to_rgb(found.T.reshape(1, 3, 64, 64)).view(3, -1).T
    steps = (found.double() / torch.tensor([180.0, 255.0, 255.0])).tolist()
    exact_back = torch.tensor([colorsys.hls_to_rgb(*p) for p in steps]) * 255
    assert (back - exact_back).abs().max() <= 0.5 + 1e-3


def test_shifts_are_cut_at_the_ends_and_hue_does_not_go_round() -> None:
    red = torch.tensor([255.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(4, 3, 1, 1)
    shifts = torch.tensor([[-30.0, 0, 0], [60, 0, 0], [0, 255, 0], [0, 0, -255]])  # H, L, S
    # Hue below 0 stays red; 60 further is green; full lightness is white; no saturation is grey.
    expected = [[255, 1, 1], [1, 255, 1], [255, 255, 255], [128, 128, 128]]
    assert shift_hls(red, shifts)[:, :, 0, 0].tolist() == expected


# --- level 3: geometry -------------------------------------------------------------------------------------------


def test_the_forward_matrix_is_rotation_then_aspect_then_shear() -> None:
    shear, degrees, ratio = 0.07, -8, 1.2
    a, b = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation = np.array([[a, b], [-b, a]])
    aspect = np.diag([2 / (1 + ratio), 2 * ratio / (1 + ratio)])
    expected = np.array([[1, shear], [0, 1]]) @ aspect @ rotation
    found = forward_matrices(torch.tensor([shear]), torch.tensor([math.radians(degrees)]), torch.tensor([ratio]))
    assert np.allclose(found[0].numpy(), expected, atol=1e-6)


def naive_warp(image: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """(H, W) seen through ``backward`` (2, 2): bilinear between four pixels, 255 outside."""
    height, width = image.shape
    centre = np.array([width / 2, height / 2])
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            from_x, from_y = backward @ (np.array([x, y]) - centre) + centre
            left, top = math.floor(from_x), math.floor(from_y)
            for tap_y in (top, top + 1):
                for tap_x in (left, left + 1):
                    inside = 0 <= tap_x < width and 0 <= tap_y < height
                    weight = (1 - abs(from_x - tap_x)) * (1 - abs(from_y - tap_y))
                    out[y, x] += weight * (image[tap_y, tap_x] if inside else 255)
    return out


def test_a_warp_agrees_with_one_written_pixel_by_pixel() -> None:
    images = random_images(12, 9, 12, 1).permute(0, 3, 1, 2).float()
    backward, _, _ = Level3(LEVEL3).draw(12, generator())
    found = warp(images, backward)
    for image in range(12):
        expected = naive_warp(images[image, 0].numpy(), backward[image].double().numpy())
        assert np.abs(found[image, 0].numpy() - expected).max() <= 0.5 + 1e-3


def test_no_change_leaves_the_image_as_it_is() -> None:
    images = random_images(3, 16, 16).permute(0, 3, 1, 2).float()
    assert torch.equal(warp(images, torch.eye(2).expand(3, 2, 2)), images)


def test_beyond_the_border_there_is_white() -> None:
    black = torch.zeros(1, 1, 8, 8)
    assert warp(black, 3 * torch.eye(2)[None])[0, 0, 0, 0] == 255


# --- level 3: the whole ------------------------------------------------------------------------------------------


def test_draws_stay_within_their_limits_and_use_them() -> None:
    backward, shifts, mirrored = Level3(LEVEL3).draw(20_000, generator())
    forward = torch.linalg.inv(backward)
    # The second row is ws (-sin, cos): its angle is the rotation, its length the scale 2 ratio / (1 + ratio).
    degrees = torch.rad2deg(torch.atan2(-forward[:, 1, 0], forward[:, 1, 1]))
    assert sorted(set(degrees.round().int().tolist())) == list(range(-10, 11))
    assert (degrees - degrees.round()).abs().max() < 1e-3
    scale = forward[:, 1].norm(dim=1)
    ratio = scale / (2 - scale)
    assert 0.75 - 1e-4 <= ratio.min() < 0.76
    assert 1.24 < ratio.max() <= 1.25 + 1e-4
    # The determinant of the whole is that of the aspect, whatever the shear.
    assert torch.allclose(torch.linalg.det(forward), scale * (2 - scale), atol=1e-4)
    for channel, limit in enumerate((36, 50, 50)):
        assert torch.equal(shifts[:, channel], shifts[:, channel].trunc())
        assert limit - 3 < shifts[:, channel].abs().max() <= limit
    assert 0.48 < mirrored.float().mean() < 0.52


def test_a_batch_is_warped_then_coloured_then_mirrored() -> None:
    images = random_images(16, 10, 10)
    level3 = Level3(LEVEL3)
    backward, shifts, mirrored = level3.draw(16, generator(3))
    found = level3.apply(images, (backward, shifts, mirrored))
    assert found.dtype == torch.uint8
    for image in range(16):
        one = images[image : image + 1].permute(0, 3, 1, 2).float()
        expected = shift_hls(warp(one, backward[image : image + 1]), shifts[image : image + 1])[0]
        if mirrored[image]:
            expected = expected.flip(2)
        assert torch.equal(found[image].permute(2, 0, 1).float(), expected)
    assert mirrored.any()
    assert not mirrored.all()


def test_no_augmentation_draws_nothing() -> None:
    images = random_images(2, 4, 4)
    assert Unchanged().draw(2, generator()) == ()
    assert Unchanged().apply(images, ()) is images
