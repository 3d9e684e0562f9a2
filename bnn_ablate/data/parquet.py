"""CIFAR from parquet shards with encoded images: columns ``img`` {bytes, path} and the label."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bnn_ablate.data.cache import load_pixels, save_pixels
from bnn_ablate.data.errors import DataError
from bnn_ablate.data.images import Array, Pixels, check_pixels
from bnn_ablate.data.pickles import SHAPE
from bnn_ablate.data.sources import Source

_NAME = re.compile(r"(train|test)-(\d{5})-of-(\d{5})\.parquet")


@dataclass(frozen=True)
class Shards:
    """Paths of all shards in order, the pixel sums that (train, test) must have, and the column of the labels."""

    train: tuple[Path, ...]
    test: tuple[Path, ...]
    sums: tuple[str, str]
    label_column: str


def find_shards(root: Path, source: Source) -> Shards | None:
    """The shards in ``root``; None where there are none, DataError where some are missing.

    None too for a set without pixel sums: nothing could say that the shards hold the published images.
    """
    if source.pixels is None or source.label_column is None:
        return None
    if not root.is_dir() or not any(_NAME.fullmatch(path.name) for path in root.iterdir()):
        return None
    return Shards(_shards(root, "train"), _shards(root, "test"), source.pixels, source.label_column)


def _shards(root: Path, part: str) -> tuple[Path, ...]:
    totals = {int(match[3]) for path in root.iterdir() if (match := _NAME.fullmatch(path.name)) and match[1] == part}
    if len(totals) != 1:
        raise DataError(f"{root} must hold one set of shards {part}-00000-of-N.parquet, found {len(totals)}")
    (total,) = totals
    paths = tuple(root / f"{part}-{number:05d}-of-{total:05d}.parquet" for number in range(total))
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} is missing: the other shards of its set are there")
    return paths


def read_parquet(shards: Shards) -> tuple[Pixels, Pixels]:
    """(train, test), verified; decoded once and kept in the cache. DataError for other images or without pyarrow."""
    expected_train, expected_test = shards.sums
    train = _read_part(shards.train, expected_train, shards.label_column)
    return train, _read_part(shards.test, expected_test, shards.label_column)


def _read_part(paths: tuple[Path, ...], expected: str, label_column: str) -> Pixels:
    cached = load_pixels(expected, SHAPE)
    if cached is not None:
        return cached
    parts = [read_shard(path, label_column) for path in paths]
    pixels = Pixels(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))
    check_pixels(pixels, expected, ", ".join(map(str, paths)))
    save_pixels(expected, pixels)
    return pixels


def read_shard(path: Path, label_column: str) -> Pixels:
    """Images (N, 3, 32, 32) and labels of one shard, not verified; DataError where it cannot be read."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError:
        raise DataError(f"{path} needs pyarrow to be read: pip install 'bnn_ablate[parquet]'") from None
    try:
        table = read_table(path, columns=["img", label_column])
        encoded = table.column("img").combine_chunks().field("bytes").to_pylist()
        labels = table.column(label_column).to_numpy()
    except (ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path} is no shard of images in img.bytes and {label_column}: {error}") from None
    images = np.empty((len(encoded), *SHAPE), np.uint8)
    for row, content in enumerate(encoded):
        images[row] = _decoded(content, path, row)
    return Pixels(images, labels.astype(np.int64))


def _decoded(content: Any, path: Path, row: int) -> Array:
    try:
        array = np.asarray(Image.open(io.BytesIO(content)))
    except Exception as error:  # Pillow's decoders raise many kinds
        raise DataError(f"image {row} of {path} cannot be decoded: {error}") from None
    if array.shape != (32, 32, 3):
        raise DataError(f"image {row} of {path} has the shape {array.shape}, not (32, 32, 3)")
    return array.transpose(2, 0, 1)
