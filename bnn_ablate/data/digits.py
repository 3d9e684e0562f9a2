"""The handwritten digits that come with scikit-learn: 1,797 grey images, 8x8, values 0..16 (UCI, Alpaydin 1998)."""

from __future__ import annotations

import numpy as np

from bnn_ablate.data.images import Pixels, check_pixels
from bnn_ablate.data.sources import DIGITS_PIXELS

#: The last images in file order are the test set.
TEST_IMAGES = 360


def read_digits() -> tuple[Pixels, Pixels]:
    """(train, test) with values scaled from 0..16 to 0..255; DataError if scikit-learn ships other digits."""
    from sklearn.datasets import load_digits  # half a second that only this data set must wait for

    bunch = load_digits()
    raw = Pixels(bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64))
    check_pixels(raw, DIGITS_PIXELS, "scikit-learn's digits")
    # 255 / 16 of each value, halves up, in integers.
    images = ((raw.images.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)
    train, test = slice(None, -TEST_IMAGES), slice(-TEST_IMAGES, None)
    return Pixels(images[train], raw.labels[train]), Pixels(images[test], raw.labels[test])
