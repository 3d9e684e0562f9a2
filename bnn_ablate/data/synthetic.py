"""Made-up images that a network learns in one epoch: a smooth pattern for each class, and noise.

Change anything here that changes a pixel, and raise SYNTHETIC_VERSION in sources.py.
"""

from __future__ import annotations

import numpy as np

from bnn_ablate.data.images import Array, Pixels

#: Images where data.limit_train or data.limit_test is "all".
TRAIN_IMAGES, TEST_IMAGES = 512, 128
WAVES = 4
CONTRAST, NOISE = 40.0, 24.0


def make_synthetic(size: int, classes: int, channels: int, *, train: int, test: int) -> tuple[Pixels, Pixels]:
    """(train, test) images (N, ``channels``, ``size``, ``size``); image i shows class i modulo ``classes``.

    The first images are the same whatever the numbers ``train`` and ``test``.
    """
    patterns = np.stack([_pattern(label, size, channels) for label in range(classes)])
    # RandomState: NumPy froze its stream, so these images are the same in every version.
    return (
        _noisy(patterns, train, np.random.RandomState(1)),
        _noisy(patterns, test, np.random.RandomState(2)),
    )


def _pattern(label: int, size: int, channels: int) -> Array:
    """Mean pixel values of a class, float64 (channels, size, size): a few slow waves of random direction and phase."""
    random = np.random.RandomState(1000 + label)
    y, x = np.mgrid[:size, :size] / size
    pattern = np.zeros((channels, size, size))
    for channel in range(channels):
        for _ in range(WAVES):
            across, down = random.randint(-2, 3, size=2)
            phase = random.uniform(0, 2 * np.pi)
            pattern[channel] += np.cos(2 * np.pi * (across * x + down * y) + phase)
    return 127.5 + CONTRAST * pattern / np.sqrt(WAVES / 2)


def _noisy(patterns: Array, count: int, random: np.random.RandomState) -> Pixels:
    labels = np.arange(count) % len(patterns)
    noise = random.standard_normal((count, *patterns.shape[1:])) * NOISE
    images = np.clip(np.rint(patterns[labels] + noise), 0, 255).astype(np.uint8)
    return Pixels(images, labels)
