"""Image files to pixels: decode, resize, crop, mirror, with random numbers of each image's own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from bnn_ablate.data.errors import DataError
from bnn_ablate.data.images import Array
from bnn_ablate.recipe import Augment, RandomCropAugment, ResizedCropAugment

Box = tuple[int, int, int, int]
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
#: Draws of a crop before the largest one in the middle is taken; Szegedy et al. give no number, 10 is the custom.
ATTEMPTS = 10


def folder_augment(augment: Augment, image_size: int) -> RandomCropAugment | ResizedCropAugment:
    """``augment`` if it is one for image folders that can give ``image_size`` pixels; DataError otherwise."""
    if not isinstance(augment, RandomCropAugment | ResizedCropAugment):
        raise DataError(f"recipe/augment={augment.name} does not apply to data=image_folder")
    if augment.resize < image_size:
        raise DataError(f"recipe.augment.resize={augment.resize} is less than data.image_size={image_size}")
    return augment


def decode(path: Path) -> Image.Image:
    """The whole image in RGB; DataError names a file that is cut off or no image."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise many kinds
        raise DataError(f"{path} cannot be decoded: {error}") from None


def random_pixels(path: Path, size: int, augment: RandomCropAugment | ResizedCropAugment, key: list[int]) -> Array:
    """A random crop of the image, mirrored half of the time: uint8 (``size``, ``size``, 3).

    ``key`` (numbers from 0) decides the random numbers.
    """
    random = np.random.default_rng(key)
    image = decode(path)
    if isinstance(augment, ResizedCropAugment):
        box = random_box(*image.size, augment.min_area, augment.max_aspect, random)
        image = image.resize((size, size), FILTERS[augment.filter], box=box)
    else:
        image = shorter_side(image, augment.resize, Image.Resampling.BILINEAR)
        left, top = (int(random.integers(0, side - size, endpoint=True)) for side in image.size)
        image = image.crop((left, top, left + size, top + size))
    pixels = np.array(image)
    return np.ascontiguousarray(pixels[:, ::-1]) if random.random() < 0.5 else pixels


def centre_pixels(path: Path, size: int, augment: RandomCropAugment | ResizedCropAugment) -> Array:
    """The centre of the image after its shorter side came to ``augment.resize`` pixels: uint8 (size, size, 3)."""
    name = augment.filter if isinstance(augment, ResizedCropAugment) else "bilinear"
    image = shorter_side(decode(path), augment.resize, FILTERS[name])
    left, top = ((side - size) // 2 for side in image.size)
    return np.array(image.crop((left, top, left + size, top + size)))


def shorter_side(image: Image.Image, pixels: int, resample: Image.Resampling) -> Image.Image:
    """``image`` resized, antialiased, so that its shorter side has ``pixels`` pixels; the other is rounded."""
    width, height = image.size
    shorter = min(width, height)
    return image.resize((round(width * pixels / shorter), round(height * pixels / shorter)), resample)


def random_box(width: int, height: int, min_area: float, max_aspect: float, random: np.random.Generator) -> Box:
    """A box (left, top, right, bottom) of ``min_area`` to all of the area, width to height 1/max_aspect..max_aspect.

    Source: Szegedy et al. 2015 (arXiv 1409.4842), section 6; the aspect is log-uniform. Where no box fits, the
    largest one in the middle within these aspects.
    """
    for _ in range(ATTEMPTS):
        area = width * height * random.uniform(min_area, 1)
        aspect = math.exp(random.uniform(-math.log(max_aspect), math.log(max_aspect)))
        across, down = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < across <= width and 0 < down <= height:
            left = int(random.integers(0, width - across, endpoint=True))
            top = int(random.integers(0, height - down, endpoint=True))
            return left, top, left + across, top + down
    across = min(width, round(height * max_aspect))
    down = min(height, round(width * max_aspect))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down
