"""CIFAR's original pickles, read by an unpickler that can make arrays of pixels and nothing else.

A pickle is a program: it may name any function and call it. The published files (protocol 2, written by Python 2)
name three things of NumPy; they are answered with the stand-ins below, so not even NumPy's own code is called.
Layout of the files: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from bnn_ablate.data.errors import DataError
from bnn_ablate.data.images import Array, Pixels

SHAPE = (3, 32, 32)


class _PixelArray:
    """Stands for ``numpy.ndarray``: takes the state (version, shape, dtype, fortran, bytes) of a uint8 array."""

    array: Array

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _PixelType) or fortran or not isinstance(content, bytes):
            raise DataError("an array in it is not of uint8 in C order")
        self.array = np.frombuffer(bytearray(content), np.uint8).reshape(shape)


class _PixelType:
    """Stands for ``numpy.dtype("u1")``."""

    def __init__(self, code: Any, align: Any, copy: Any) -> None:
        if code not in (b"u1", "u1"):
            raise DataError(f"an array in it has the type {code!r}, not uint8")

    def __setstate__(self, state: Any) -> None:
        """Byte order, fields and flags: a byte has none."""


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _PixelArray:
    """Stands for ``numpy.core.multiarray._reconstruct``: an array that is still to get its state."""
    return _PixelArray()


_ALLOWED = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.ndarray": _PixelArray,
    "numpy.dtype": _PixelType,
}


class _PixelUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _ALLOWED:
            raise DataError(f"it names {module}.{name}, which no CIFAR file does, and was not run")
        return _ALLOWED[f"{module}.{name}"]


def read_pickle(content: bytes, path: Path, label_key: str, classes: int) -> Pixels:
    """Images (N, 3, 32, 32) and labels of one pickled batch; ``path`` names it in a DataError for anything else."""
    try:
        batch = _PixelUnpickler(io.BytesIO(content), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{path} is refused: {error}") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path} is no CIFAR pickle: {error}") from None
    images = batch.get(b"data") if isinstance(batch, dict) else None
    labels = batch.get(label_key.encode()) if isinstance(batch, dict) else None
    if not isinstance(images, _PixelArray) or not isinstance(labels, list):
        raise DataError(f"{path} is no CIFAR pickle: it lacks data or {label_key}")
    if images.array.shape != (len(labels), int(np.prod(SHAPE))):
        raise DataError(f"{path} has {len(labels)} labels and data of shape {images.array.shape}")
    if not all(type(label) is int and 0 <= label < classes for label in labels):
        raise DataError(f"{path} has a label that is no number from 0 to {classes - 1}")
    return Pixels(images.array.reshape(-1, *SHAPE), np.array(labels, np.int64))
