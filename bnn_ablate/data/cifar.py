"""CIFAR-10 and CIFAR-100 from their original files. Source: Krizhevsky 2009."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bnn_ablate.data.images import Pixels, check_bytes, check_pixels
from bnn_ablate.data.pickles import read_pickle
from bnn_ablate.data.sources import Source


def read_cifar(folder: Path, source: Source) -> tuple[Pixels, Pixels]:
    """(train, test), images (N, 3, 32, 32). Every file's md5 and the pixel sums are verified; DataError otherwise."""
    parts = []
    for place, names in enumerate((source.train_files, source.test_files)):
        pixels = _read_pickles(folder, names, source)
        if source.pixels is not None:
            check_pixels(pixels, source.pixels[place], f"{', '.join(names)} in {folder}")
        parts.append(pixels)
    train, test = parts
    return train, test


def _read_pickles(folder: Path, names: Mapping[str, str], source: Source) -> Pixels:
    assert source.label_key is not None
    parts = []
    for name, md5 in names.items():
        content = (folder / name).read_bytes()
        check_bytes(content, md5, folder / name)
        parts.append(read_pickle(content, folder / name, source.label_key, source.classes))
    return Pixels(np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts]))
