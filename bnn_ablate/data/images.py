"""Sets of images as values: in memory, or as paths to be decoded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnn_ablate.data.errors import DataError


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size in memory: ``images`` uint8 (N, C, H, W), ``labels`` int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        _, channels, height, width = self.images.shape
        return height, width, channels

    def subset(self, positions: Tensor) -> ImageSet:
        """The images at ``positions`` (int64), in that order."""
        return ImageSet(self.images[positions], self.labels[positions])


@dataclass(frozen=True, eq=False)
class FolderSet:
    """Image files yet to be decoded: ``paths`` (N), ``labels`` int64 (N,), places in ``class_names``."""

    paths: tuple[Path, ...]
    labels: Tensor
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, positions: Tensor) -> FolderSet:
        """The files at ``positions`` (int64), in that order."""
        paths = tuple(self.paths[position] for position in positions.tolist())
        return replace(self, paths=paths, labels=self.labels[positions])


Images = ImageSet | FolderSet
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Splits:
    """Training images, those kept out of training (None when data.holdout is 0), and the test set."""

    train: Images
    holdout: Images | None
    test: Images


@dataclass(frozen=True, eq=False)
class Pixels:
    """What a reader returns: ``images`` uint8 (N, C, H, W), ``labels`` int64 (N,), both NumPy, in file order."""

    images: Array
    labels: Array

    def image_set(self) -> ImageSet:
        """The same as tensors."""
        return ImageSet(torch.from_numpy(self.images), torch.from_numpy(self.labels))


def pixel_sum(pixels: Pixels) -> str:
    """SHA-256 over the pixels in file order as planes, then the labels as uint8; 64 hex digits."""
    digest = hashlib.sha256(np.ascontiguousarray(pixels.images).data)
    digest.update(pixels.labels.astype(np.uint8).data)
    return digest.hexdigest()


def check_pixels(pixels: Pixels, expected: str, what: str) -> None:
    """Raise DataError naming ``what`` where the images are not the published ones."""
    found = pixel_sum(pixels)
    if found != expected:
        raise DataError(f"the pixels of {what} have SHA-256 {found}, expected {expected}: these are other images")


def check_bytes(content: bytes, expected: str, path: Path) -> None:
    """Raise DataError naming ``path`` where its content does not have the published md5 sum."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(f"{path} has md5 {found}, expected {expected}: delete it and fetch it again")
