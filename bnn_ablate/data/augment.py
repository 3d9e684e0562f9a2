"""Random changes of training images, a whole batch at a time, and the way from pixels to the network's input.

``draw`` takes random numbers for the whole batch of all ranks from an explicit generator on the CPU, so they are the
same on every device; ``apply`` uses the numbers of the images it is given. Images are uint8 (B, H, W, C) here: with
the channels of a pixel side by side, moving pixels is one gather, and the result is already channels_last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bnn_ablate.data.errors import DataError
from bnn_ablate.data.level3 import Level3
from bnn_ablate.recipe import Augment, CropAugment, Level3Augment, NoAugment

#: Random numbers of a batch: tensors whose first axis counts its images.
Draws = tuple[Tensor, ...]


class Augmentation(Protocol):
    """Random numbers for ``count`` images, and images changed by them."""

    def draw(self, count: int, generator: torch.Generator) -> Draws: ...

    def apply(self, images: Tensor, draws: Draws) -> Tensor: ...


class Unchanged:
    """Images as they are."""

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        return ()

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        return images


class Crop:
    """A window of the image padded by ``padding`` black pixels on each side, anywhere in it; mirrored if ``flip``.

    The padding is 0 in uint8, before normalisation. Source: He et al. 2016 (arXiv 1512.03385), section 4.2.
    """

    def __init__(self, padding: int, flip: bool) -> None:
        self.padding = padding
        self.flip = flip

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """First row and first column of the window, 0 .. 2 padding, and whether to mirror; each (count,)."""
        places = 2 * self.padding + 1
        top, left = torch.randint(places, (2, count), generator=generator)
        # Drawn even where unused: turning the flip off leaves the windows where they were.
        mirrored = torch.rand(count, generator=generator) < 0.5
        return top, left, mirrored if self.flip else torch.zeros_like(mirrored)

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        top, left, mirrored = (numbers[:, None] for numbers in draws)
        count, height, width, channels = images.shape
        p = self.padding
        padded = F.pad(images, (0, 0, p, p, p, p))
        columns = torch.arange(width, device=images.device)
        columns = left + torch.where(mirrored, width - 1 - columns, columns)  # (B, W)
        rows = top + torch.arange(height, device=images.device)  # (B, H)
        rows += padded.shape[1] * torch.arange(count, device=images.device)[:, None]
        pixels = rows[:, :, None] * padded.shape[2] + columns[:, None, :]  # (B, H, W), places in padded
        return padded.view(-1, channels).index_select(0, pixels.view(-1)).view(images.shape)


def augmentation(settings: Augment) -> Augmentation:
    """The augmentation of images in memory that ``settings`` describe."""
    match settings:
        case NoAugment():
            return Unchanged()
        case CropAugment():
            return Crop(settings.padding, settings.flip)
        case Level3Augment():
            return Level3(settings)
        case _:
            raise DataError(f"recipe/augment={settings.name} is for image folders")


class Normalise:
    """Pixels to input: uint8 (B, H, W, C) to float32 (B, C, H, W) in channels_last memory.

    Values are pixels / 255, less the channel's mean and divided by its deviation where ``mean`` and ``std`` are given.
    """

    def __init__(self, shape: Sequence[int], mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        height, width, channels = shape
        # pixels / 255 / std - mean / std, rounded once each from float64; spread over the whole image because
        # broadcasting along an axis of 3 channels takes most of the time of a batch.
        deviation = torch.tensor(std, dtype=torch.float64)
        scale = 1 / (255 * deviation)
        shift = -torch.tensor(mean, dtype=torch.float64) / deviation
        self.scale, self.shift = (
            values.to(device, torch.float32).expand(height, width, channels).contiguous() for values in (scale, shift)
        )

    def __call__(self, images: Tensor) -> Tensor:
        return images.to(torch.float32).mul_(self.scale).add_(self.shift).permute(0, 3, 1, 2)
