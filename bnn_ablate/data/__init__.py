"""Images: which ones (identity), where from (readers, download), in which order and how changed (batches).

    splits = load_splits(data)
    for images, labels in train_batches(splits.train, data, recipe, seed, rank=0, world_size=1, device=cpu, workers=0):
        ...

:mod:`bnn_ablate.data.identity` needs no torch: the names below are imported when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bnn_ablate.data.errors import DataError

if TYPE_CHECKING:
    from bnn_ablate.data.batches import eval_batches, train_batches
    from bnn_ablate.data.images import FolderSet, ImageSet, Splits
    from bnn_ablate.data.loader import Batches
    from bnn_ablate.data.splits import load_splits

__all__ = ["Batches", "DataError", "FolderSet", "ImageSet", "Splits", "eval_batches", "load_splits", "train_batches"]

_HOMES = {
    "Batches": "loader",
    "eval_batches": "batches",
    "train_batches": "batches",
    "FolderSet": "images",
    "ImageSet": "images",
    "Splits": "images",
    "load_splits": "splits",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
