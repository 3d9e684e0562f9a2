"""Which images a run saw, as one text that enters the run id. No torch, no scikit-learn, no decoding."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bnn_ablate.data.folder import PARTS, folder_root, image_files
from bnn_ablate.data.sources import DIGITS_PIXELS, SOURCES, SYNTHETIC_VERSION, Source
from bnn_ablate.settings import Data


def data_checksum(data: Data) -> str:
    """The checksum of the images that ``data`` names: of their content, never of the place they lie in.

    Published sets have a constant, and loading verifies that the files agree. ``image_folder``: SHA-256 over path,
    size in bytes of every image file (reading a terabyte to name a run would take hours); a missing folder raises
    DataError. ``synthetic``: the version of the generator.
    """
    match data.name:
        case "digits":
            return DIGITS_PIXELS
        case "synthetic":
            return SYNTHETIC_VERSION
        case "image_folder":
            return _folder_checksum(folder_root(data.root))
        case "cifar10" | "cifar100" | "fashion_mnist":
            return source_checksum(SOURCES[data.name])


def source_checksum(source: Source) -> str:
    """SHA-256 over the published sums: of the pixels where known, so that every packing is the same data."""
    sums = source.pixels if source.pixels is not None else tuple(source.files.values())
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _folder_checksum(root: Path) -> str:
    digest = hashlib.sha256()
    for part in PARTS:
        for path in image_files(root / part):
            # The name's own bytes: a file name need not be valid text.
            name = os.fsencode(path.relative_to(root).as_posix())
            digest.update(name + b"\0%d\n" % path.stat().st_size)
    return digest.hexdigest()
