"""Settings and file formats of images, written out so that tests of bnn_ablate.data depend on no YAML."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from bnn_ablate.recipe import Augment, CosineSchedule, CropAugment, Level3Augment, NoAugment, Recipe, Sgd
from bnn_ablate.settings import Data

PLAIN = NoAugment(name="none")
CROP = CropAugment(name="crop_flip", padding=4, flip=True)
LEVEL3 = Level3Augment(name="level3", hue=36, saturation=50, lightness=50, rotate=10, shear=0.1, aspect=0.25)


def make_data(**changes: Any) -> Data:
    """Synthetic 8x8 colour images of four classes, unless changed."""
    values: dict[str, Any] = {
        "name": "synthetic",
        "root": None,
        "download": False,
        "image_size": 8,
        "num_classes": 4,
        "holdout": 0,
        "seed": 0,
        "limit_train": 50,
        "limit_test": 23,
        "mean": (0.5, 0.25, 0.75),
        "std": (0.25, 0.5, 0.125),
    }
    return Data(**{**values, **changes})


def make_recipe(augment: Augment = PLAIN, *, batch_size: int = 12, normalize: bool = True) -> Recipe:
    return Recipe(
        name="test",
        epochs=2,
        batch_size=batch_size,
        precision="float32",
        normalize=normalize,
        optimizer=Sgd(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.0),
        schedule=CosineSchedule(name="cosine", warmup_epochs=0),
        augment=augment,
    )


def cifar_pickle(images: np.ndarray, labels: dict[str, list[int]]) -> bytes:
    """A batch as Python 2's cPickle wrote it (protocol 2): NumPy's names of 2009, byte strings, a list of small ints.

    ``images`` uint8 (N, 3, 32, 32); ``labels`` by their key, ``labels`` or ``fine_labels`` and ``coarse_labels``.
    """
    rows = len(images)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01J" + struct.pack("<i", rows) + b"J" + struct.pack("<i", 3072) + b"\x86"
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<I", images.nbytes) + images.tobytes() + b"tb"
    )  # fmt: skip
    content = b"\x80\x02}(" + _text("batch_label") + _text("a batch") + _text("data") + array
    for key, values in labels.items():
        content += _text(key) + b"](" + b"".join(b"K" + bytes([value]) for value in values) + b"e"
    return content + b"u."


def _text(text: str) -> bytes:
    return b"U" + bytes([len(text)]) + text.encode("ascii")
