"""Batches of images that lie on the device."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bnn_ablate.data.augment import Augmentation, Normalise
from bnn_ablate.data.images import ImageSet
from bnn_ablate.data.loader import Batches, Pair
from bnn_ablate.data.order import Order, keyed_generator


class MemoryBatches(Batches):
    """Batches of a set that lies on the device as one uint8 tensor and is augmented there."""

    def __init__(
        self,
        images: ImageSet,
        order: Order,
        augment: Augmentation,
        normalise: Normalise,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(order)
        self._images = images.images.to(device).permute(0, 2, 3, 1).contiguous()  # (N, H, W, C)
        self._labels = images.labels.to(device)
        self._augment = augment
        self._normalise = normalise
        self._seed = seed
        self._device = device

    def _stream(self, epoch: int, start: int) -> Iterator[Pair]:
        for batch in self._order.batches(epoch, start):
            generator = keyed_generator(self._seed, epoch, batch.number, "augment")
            draws = self._augment.draw(len(batch.positions), generator)
            mine = tuple(numbers[batch.mine].to(self._device) for numbers in draws)
            positions = batch.positions[batch.mine].to(self._device)
            images = self._augment.apply(self._images.index_select(0, positions), mine)
            yield self._normalise(images), self._labels.index_select(0, positions)
