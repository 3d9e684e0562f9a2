"""Fashion-MNIST from its four original files in the idx format. Source: Xiao et al. 2017, arXiv 1708.07747."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

from bnn_ablate.data.errors import DataError
from bnn_ablate.data.images import Array, Pixels, check_bytes, check_pixels
from bnn_ablate.data.sources import Source


def read_fashion_mnist(root: Path, source: Source) -> tuple[Pixels, Pixels]:
    """(train, test), images (N, 1, 28, 28). Every file's md5 and the pixel sums are verified; DataError otherwise."""
    parts = []
    for place, files in enumerate((source.train_files, source.test_files)):
        arrays = []
        for name, md5 in files.items():
            content = (root / name).read_bytes()
            check_bytes(content, md5, root / name)
            arrays.append(_idx(content, root / name))
        images, labels = arrays
        pixels = Pixels(images[:, None], labels.astype(np.int64))
        if source.pixels is not None:
            check_pixels(pixels, source.pixels[place], f"{', '.join(files)} in {root}")
        parts.append(pixels)
    train, test = parts
    return train, test


def _idx(content: bytes, path: Path) -> Array:
    """The uint8 array in a gzipped idx file: two zero bytes, 8 (uint8), the number of axes, their lengths, values."""
    try:
        raw = gzip.decompress(content)
        zeros, kind, axes = struct.unpack_from(">HBB", raw)
        shape = struct.unpack_from(f">{axes}I", raw, 4)
        if zeros != 0 or kind != 8:
            raise ValueError("the first bytes are not those of uint8 values")
        return np.frombuffer(bytearray(raw), np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise DataError(f"{path} is no gzipped idx file: {error}") from None
