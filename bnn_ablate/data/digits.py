"""The handwritten digits that come with scikit-learn: 1,797 grey images, 8x8, values 0..16 (UCI, Alpaydin 1998)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bnn_ablate.data.errors import DataError
from bnn_ablate.data.images import Pixels, check_pixels
from bnn_ablate.data.sources import DIGITS_PIXELS

#: The last images in file order are the test set.
TEST_IMAGES = 360


def read_digits() -> tuple[Pixels, Pixels]:
    """(train, test), images (N, 1, 8, 8) with values stretched from 0..16 to 0..255; DataError for other digits."""
    table = np.loadtxt(_file(), dtype=np.uint8, delimiter=",")  # 64 pixels and the label a row
    raw = Pixels(table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64))
    check_pixels(raw, DIGITS_PIXELS, "scikit-learn's digits")
    # 255 / 16 of each value, halves up, in integers.
    images = ((raw.images.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)
    train, test = slice(None, -TEST_IMAGES), slice(-TEST_IMAGES, None)
    return Pixels(images[train], raw.labels[train]), Pixels(images[test], raw.labels[test])


def _file() -> Path:
    """The file that sklearn.datasets.load_digits reads; importing that takes seconds, more than a small run."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("data=digits needs scikit-learn, which is not installed: pip install scikit-learn")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise DataError(f"data=digits needs {path}, which this version of scikit-learn does not have")
    return path
