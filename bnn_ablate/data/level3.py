"""MXNet's ``aug_level 3``, the augmentation of the authors' 2018 CIFAR logs, for a batch at once.

What MXNet 1.x does (src/io/image_aug_default.cc, iter_normalize.h) with random_h=36, random_s=random_l=50,
max_rotate_angle=10, max_shear_ratio=0.1, max_aspect_ratio=0.25, rand_crop (which has no room to move without padding)
and rand_mirror: one affine warp, then a shift in HLS, then the mirror.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bnn_ablate.recipe import Level3Augment

#: What the warp shows from beyond the border: MXNet's default fill_value.
FILL = 255


class Level3:
    """Affine warp, HLS jitter, mirror; images uint8 (B, H, W, 3) in RGB."""

    def __init__(self, settings: Level3Augment) -> None:
        self.settings = settings

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Backward warp matrices (count, 2, 2), shifts of H, L, S (count, 3), whether to mirror (count,)."""
        s = self.settings
        degrees = torch.randint(-s.rotate, s.rotate + 1, (count,), generator=generator)
        shear, aspect = torch.rand(2, count, generator=generator) * 2 - 1
        matrices = forward_matrices(shear * s.shear, degrees * (math.pi / 180), 1 + aspect * s.aspect)
        first, second = torch.rand(2, count, 3, generator=generator)
        # A mean of two numbers weighted 1 to 4 for fewer extremes, cut to whole steps towards 0, as in MXNet.
        most = torch.tensor([s.hue, s.lightness, s.saturation])
        shifts = ((first + 4 * second) / 5 * 2 * most - most).trunc()
        mirrored = torch.rand(count, generator=generator) < 0.5
        return torch.linalg.inv(matrices), shifts, mirrored

    def apply(self, images: Tensor, draws: tuple[Tensor, ...]) -> Tensor:
        backward, shifts, mirrored = draws
        warped = warp(images.permute(0, 3, 1, 2).float(), backward)
        coloured = shift_hls(warped, shifts)
        turned = torch.where(mirrored[:, None, None, None], coloured.flip(3), coloured)
        return turned.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def forward_matrices(shear: Tensor, radians: Tensor, ratio: Tensor) -> Tensor:
    """The linear part (B, 2, 2) of MXNet's map from image to warped image, x before y.

    Rotation, then scales 2 ratio / (1 + ratio) and 2 / (1 + ratio), which keep their mean at 1, then shear along x.
    """
    a, b = torch.cos(radians), torch.sin(radians)
    hs = 2 / (1 + ratio)
    ws = ratio * hs
    x = torch.stack([hs * a - shear * b * ws, hs * b + shear * a * ws], -1)
    y = torch.stack([-b * ws, a * ws], -1)
    return torch.stack([x, y], -2)


def warp(images: Tensor, backward: Tensor) -> Tensor:
    """Float images (B, C, H, W) seen through ``backward`` (B, 2, 2), bilinear, rounded to whole values.

    Place (x, y) shows the image at centre + backward (place - centre), both in pixel numbers; the centre is
    (W / 2, H / 2) as in MXNet, half a pixel off the true one. Beyond the border everything is FILL.
    """
    _, _, height, width = images.shape
    x = torch.arange(width, device=images.device) - width / 2
    y = (torch.arange(height, device=images.device) - height / 2)[:, None]
    (xx, xy), (yx, yy) = ((b[:, None, None] for b in row.unbind(1)) for row in backward.unbind(1))
    # grid_sample counts from -1 at the outer edge of the first pixel to 1 at that of the last. No matrix product:
    # its rounding may depend on how many images share the call.
    grid = torch.stack([(2 * (xx * x + xy * y) + 1) / width, (2 * (yx * x + yy * y) + 1) / height], -1)
    # Beyond the border grid_sample knows only 0, so FILL is made 0 for its sake.
    return (F.grid_sample(images - FILL, grid, padding_mode="zeros", align_corners=False) + FILL).round_()


def shift_hls(images: Tensor, shifts: Tensor) -> Tensor:
    """RGB images (B, 3, H, W) of values 0..255 after adding ``shifts`` (B, 3) to H (0..180), L and S (0..255).

    Values are rounded to whole steps and cut at the ends, hue too: it does not go round. This is 8-bit HLS as in
    OpenCV, https://docs.opencv.org/4.x/de/d25/imgproc_color_conversions.html
    """
    hls = rgb_to_hls(images)
    limits = torch.tensor([180.0, 255.0, 255.0], device=images.device).view(1, 3, 1, 1)
    return hls_to_rgb(torch.minimum((hls + shifts[:, :, None, None]).clamp_(min=0), limits))


def rgb_to_hls(images: Tensor) -> Tensor:
    """Whole values H (0..180), L and S (0..255), stacked as channels, of RGB values 0..255."""
    red, green, blue = (images / 255).unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    spread, total = high - low, high + low
    safe = torch.where(spread > 0, spread, 1)
    sixths = torch.where(
        high == red,
        (green - blue) / safe,
        torch.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = 30 * sixths
    hue = torch.where(hue < 0, hue + 180, hue)
    saturation = spread / torch.where(spread > 0, torch.minimum(total, 2 - total), 1)
    return torch.stack([hue, total * 127.5, saturation * 255], 1).round_()


def hls_to_rgb(hls: Tensor) -> Tensor:
    """Whole RGB values 0..255 of H (0..180), L and S (0..255)."""
    hue, lightness, saturation = hls.unbind(1)
    lightness, twelfths = lightness / 255, hue / 15
    reach = saturation / 255 * torch.minimum(lightness, 1 - lightness)
    channels = []
    for offset in (0, 8, 4):
        k = (offset + twelfths) % 12
        channels.append(lightness - reach * torch.minimum(k - 3, 9 - k).clamp_(-1, 1))
    return (torch.stack(channels, 1) * 255).round_().clamp_(0, 255)
