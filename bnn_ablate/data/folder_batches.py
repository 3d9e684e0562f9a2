"""Batches of an image folder, decoded by worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bnn_ablate.data.augment import Normalise
from bnn_ablate.data.decode import centre_pixels, random_pixels
from bnn_ablate.data.errors import DataError
from bnn_ablate.data.images import FolderSet
from bnn_ablate.data.loader import Batches, Pair
from bnn_ablate.data.order import Order
from bnn_ablate.recipe import RandomCropAugment, ResizedCropAugment


@dataclass(frozen=True)
class _Place:
    """An image of an epoch: its ``position`` in the set, and its ``number`` in the epoch over all ranks."""

    epoch: int
    number: int
    position: int


@dataclass(frozen=True)
class _Decoder(Dataset[Tensor | DataError]):
    """Decodes the image of a place: uint8 (size, size, 3). ``seed`` is None for evaluation."""

    images: FolderSet
    size: int
    augment: RandomCropAugment | ResizedCropAugment
    seed: int | None

    def __getitem__(self, place: _Place) -> Tensor | DataError:
        path = self.images.paths[place.position]
        try:
            if self.seed is None:
                return torch.from_numpy(centre_pixels(path, self.size, self.augment))
            key = [self.seed, place.epoch, place.number]
            return torch.from_numpy(random_pixels(path, self.size, self.augment, key))
        except DataError as error:
            # Handed over as a value: raised here it would arrive wrapped in the worker's traceback.
            return error


def _stacked(decoded: list[Tensor | DataError]) -> Tensor | DataError:
    images = []
    for image in decoded:
        if isinstance(image, DataError):
            return image
        images.append(image)
    return torch.stack(images)


class FolderBatches(Batches):
    """Batches of ``images``, each resized and cropped to ``size`` pixels; augmented if ``seed`` is given."""

    def __init__(
        self,
        images: FolderSet,
        order: Order,
        size: int,
        augment: RandomCropAugment | ResizedCropAugment,
        normalise: Normalise,
        seed: int | None,
        device: torch.device,
        workers: int,
    ) -> None:
        super().__init__(order)
        self._images = images
        self._decoder = _Decoder(images, size, augment, seed)
        self._normalise = normalise
        self._device = device
        self._workers = workers

    def _stream(self, epoch: int, start: int) -> Iterator[Pair]:
        batches = self._order.batches(epoch, start)
        places = []
        for batch in batches:
            mine = zip(range(batch.start, batch.start + len(batch.positions)), batch.positions.tolist(), strict=True)
            places.append([_Place(epoch, number, position) for number, position in list(mine)[batch.mine]])
        loader = DataLoader(
            self._decoder,
            batch_sampler=places,
            collate_fn=_stacked,
            num_workers=self._workers,
            pin_memory=self._device.type == "cuda",
            # Without one the loader takes a number from torch's global generator, and a resumed run takes one more.
            generator=torch.Generator(),
        )
        for batch, images in zip(batches, loader, strict=True):
            if isinstance(images, DataError):
                raise images
            labels = self._images.labels[batch.positions[batch.mine]]
            yield self._normalise(images.to(self._device, non_blocking=True)), labels.to(self._device)
