"""How many images a run trains on and is tested on, before any of them is read. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from bnn_ablate.data.folder import PARTS, folder_root, image_files
from bnn_ablate.settings import Data

#: (training, test) images of the sets whose numbers never change; of synthetic ones where data.limit_* is "all".
SIZES: Mapping[str, tuple[int, int]] = {
    "digits": (1437, 360),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "synthetic": (512, 128),
}


@dataclass(frozen=True)
class ImageCounts:
    """Images to train on, held out of training, and to test on."""

    train: int
    holdout: int
    test: int


@cache  # a folder of a million images is walked once, not for each job
def image_counts(data: Data) -> ImageCounts:
    """The numbers of images that ``data`` leaves. Raises DataError where a folder is missing."""
    if data.name == "image_folder":
        root = folder_root(data.root)
        train, test = (len(image_files(root / part)) for part in PARTS)
    else:
        train, test = SIZES[data.name]
    made = data.name == "synthetic"
    train, test = _limited(train, data.limit_train, made=made), _limited(test, data.limit_test, made=made)
    return ImageCounts(train=max(0, train - data.holdout), holdout=data.holdout, test=test)


def _limited(count: int, limit: int | str, *, made: bool) -> int:
    """``made``: as many images as asked for can be had."""
    if isinstance(limit, str):
        return count
    return limit if made else min(limit, count)
