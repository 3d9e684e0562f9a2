"""Image folders in ImageNet's layout: root/train/CLASS/*, root/val/CLASS/*. No torch here."""

from __future__ import annotations

import os
from pathlib import Path

from bnn_ablate.data.errors import DataError

PARTS = ("train", "val")
SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def folder_root(root: str | None) -> Path:
    """The folder that must hold train and val; DataError where root is not set or one of them is missing."""
    if root is None:
        raise DataError("data=image_folder needs data.root, the folder that holds train and val")
    path = Path(root).expanduser()
    for part in PARTS:
        if not (path / part).is_dir():
            raise DataError(f"data=image_folder needs the folder {path / part}, which does not exist")
    return path


def class_names(part: Path) -> tuple[str, ...]:
    """Names of the classes: the folders in ``part``, sorted; their place is the label."""
    return tuple(sorted(e.name for e in os.scandir(part) if e.is_dir() and not e.name.startswith(".")))


def image_files(part: Path) -> list[Path]:
    """Image files below ``part``, sorted by path; hidden files are no images (macOS leaves ``._x.jpg``)."""
    found = []
    for parent, folders, names in os.walk(part, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in names
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")
        ]
    return sorted(found)
