"""Decoded images kept in the user's cache folder, because decoding CIFAR's 60,000 WebP files takes seconds a run.

A file is named by the pixel sum that its own content must have, so it cannot be mistaken, stale or damaged unseen.
Whatever goes wrong with the folder costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from bnn_ablate.atomic import write_atomically
from bnn_ablate.data.images import Pixels


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/bnn_ablate``, by default ``~/.cache/bnn_ablate``; may not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "bnn_ablate"


def load_pixels(pixel_sum: str, shape: tuple[int, int, int]) -> Pixels | None:
    """The images (N, ``*shape``) whose SHA-256 is ``pixel_sum``, or None where the cache has none."""
    try:
        content = (cache_folder() / pixel_sum).read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return None
    if hashlib.sha256(content).hexdigest() != pixel_sum:
        return None
    raw = np.frombuffer(bytearray(content), np.uint8)
    count = len(raw) // (int(np.prod(shape)) + 1)
    return Pixels(raw[:-count].reshape(count, *shape), raw[-count:].astype(np.int64))


def save_pixels(pixel_sum: str, pixels: Pixels) -> None:
    """Keep ``pixels``, which were verified to have this sum, for the next run."""
    with suppress(OSError, RuntimeError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        labels = pixels.labels.astype(np.uint8)
        write_atomically(cache_folder() / pixel_sum, np.ascontiguousarray(pixels.images), labels)
