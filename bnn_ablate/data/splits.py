"""From settings to sets of images: read, verify, resize, limit, hold out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F

from bnn_ablate.data.cifar import read_cifar
from bnn_ablate.data.digits import read_digits
from bnn_ablate.data.errors import DataError
from bnn_ablate.data.fashion_mnist import read_fashion_mnist
from bnn_ablate.data.folder import class_names, folder_root, image_files
from bnn_ablate.data.images import FolderSet, Images, ImageSet, Pixels, Splits
from bnn_ablate.data.parquet import Shards, read_parquet
from bnn_ablate.data.provision import provide
from bnn_ablate.data.sources import SOURCES, Source
from bnn_ablate.data.synthetic import TEST_IMAGES, TRAIN_IMAGES, make_synthetic
from bnn_ablate.settings import Data

#: Images resized at a time, to bound the memory for their float copies.
CHUNK = 1024


def load_splits(data: Data, sources: Mapping[str, Source] = SOURCES) -> Splits:
    """Read, verify and split the images that ``data`` names; download them first where data.download says so.

    Raises DataError for files that are missing or have another checksum than published, and for numbers of classes,
    channels or held-out images that do not fit. ``sources`` is the table of published files (tests bring their own).
    """
    train, test = _read_folder(data) if data.name == "image_folder" else _read_small(data, sources)
    train, test = _limited(train, data.limit_train), _limited(test, data.limit_test)
    if data.holdout == 0:
        return Splits(train, None, test)
    if data.holdout >= len(train):
        raise DataError(f"data.holdout={data.holdout} leaves nothing to train on: there are {len(train)} images")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(data.seed))
    kept, out = order[data.holdout :].sort().values, order[: data.holdout].sort().values
    return Splits(train.subset(kept), train.subset(out), test)


def _read_small(data: Data, sources: Mapping[str, Source]) -> tuple[ImageSet, ImageSet]:
    train, test, classes = _pixels(data, sources)
    if classes != data.num_classes:
        raise DataError(f"data.num_classes={data.num_classes} does not fit data={data.name}, which has {classes}")
    channels = train.images.shape[1]
    if channels != len(data.mean):
        raise DataError(
            f"data.mean={list(data.mean)} has {len(data.mean)} numbers and data={data.name} has {channels} channel(s)"
        )
    return _resized(train.image_set(), data), _resized(test.image_set(), data)


def _pixels(data: Data, sources: Mapping[str, Source]) -> tuple[Pixels, Pixels, int]:
    """(train, test, number of classes) at their native size."""
    match data.name:
        case "digits":
            return *read_digits(), 10
        case "synthetic":
            count = {"train": (data.limit_train, TRAIN_IMAGES), "test": (data.limit_test, TEST_IMAGES)}
            counts = {part: every if limit == "all" else limit for part, (limit, every) in count.items()}
            made = make_synthetic(data.image_size, data.num_classes, len(data.mean), **counts)
            return *made, data.num_classes
        case _:
            source = sources[data.name]
            if data.root is None:
                raise DataError(f"data={data.name} needs data.root, the folder of its files")
            root = Path(data.root).expanduser()
            files = provide(data.name, root, source, download=data.download)
            if isinstance(files, Shards):
                return *read_parquet(files), source.classes
            read = read_fashion_mnist if data.name == "fashion_mnist" else read_cifar
            return *read(files, source), source.classes


def _read_folder(data: Data) -> tuple[FolderSet, FolderSet]:
    root = folder_root(data.root)
    train, test = (_scan(root / part) for part in ("train", "val"))
    if train.class_names != test.class_names:
        odd = sorted(set(train.class_names) ^ set(test.class_names))
        raise DataError(f"{root / 'train'} and {root / 'val'} have different classes: {odd[0]} is in one only")
    if len(train.class_names) != data.num_classes:
        raise DataError(
            f"data.num_classes={data.num_classes} does not fit {root / 'train'}, which has "
            f"{len(train.class_names)} class folders"
        )
    if len(data.mean) != 3:
        raise DataError(f"data.mean={list(data.mean)} must have 3 numbers: images of data=image_folder are RGB")
    return train, test


def _scan(part: Path) -> FolderSet:
    names = class_names(part)
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        files = image_files(part / name)
        paths += files
        labels += [label] * len(files)
    if not paths:
        raise DataError(f"{part} holds no images: they are looked for in one folder a class")
    return FolderSet(tuple(paths), torch.tensor(labels), names)


def _limited(images: Images, limit: int | str) -> Images:
    """The first ``limit`` images; of a folder, whose first files are all of one class, evenly spaced ones."""
    if isinstance(limit, str) or limit >= len(images):
        return images
    if isinstance(images, FolderSet):
        return images.subset(torch.arange(limit) * len(images) // limit)
    return images.subset(torch.arange(limit))


def _resized(images: ImageSet, data: Data) -> ImageSet:
    """The images at data.image_size: pixels doubled (digits, 8 to 16), or antialiased bilinear rounded to uint8."""
    size, native = data.image_size, images.images.shape[-1]
    if size == native:
        return images
    if data.name == "digits" and size == 2 * native:
        return ImageSet(images.images.repeat_interleave(2, 2).repeat_interleave(2, 3), images.labels)
    # In float, not uint8: torch's uint8 kernels round differently from one kind of CPU to the next.
    chunks = [
        F.interpolate(chunk.float(), (size, size), mode="bilinear", antialias=True).round_().clamp_(0, 255).byte()
        for chunk in torch.split(images.images, CHUNK)
    ]
    return ImageSet(torch.cat(chunks), images.labels)
