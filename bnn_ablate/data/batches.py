"""Batches of a run: repeatable, resumable in the middle of an epoch, and the same for any number of ranks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from bnn_ablate.data.augment import Augmentation, Normalise, Unchanged, augmentation
from bnn_ablate.data.errors import DataError
from bnn_ablate.data.images import FolderSet, Images, ImageSet
from bnn_ablate.data.order import Evaluation, Order, Training, keyed_generator
from bnn_ablate.settings import Data, Recipe

Pair = tuple[Tensor, Tensor]


class Batches(ABC):
    """The batches that one rank yields in an epoch.

    Iterating yields ``(images, labels)``: float32 (B, C, H, W) in channels_last memory and int64 (B,), both on the
    device. Each iteration is of the epoch last set with :meth:`set_epoch` (0 at first) and starts at its first batch,
    but for the one that follows :meth:`load_state_dict`.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._epoch = 0
        self._handed_out = 0
        self._resume_at: int | None = None

    def __len__(self) -> int:
        """Batches that this rank yields in an epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[Pair]:
        start = 0 if self._resume_at is None else self._resume_at
        self._resume_at = None
        self._handed_out = start
        return self._counted(self._stream(self._epoch, start))

    def _counted(self, stream: Iterator[Pair]) -> Iterator[Pair]:
        for pair in stream:
            self._handed_out += 1
            yield pair

    @abstractmethod
    def _stream(self, epoch: int, start: int) -> Iterator[Pair]:
        """The batches of ``epoch`` from number ``start`` on."""

    @property
    def indices(self) -> Tensor:
        """Positions in the set of the images that this rank yields in this epoch, in order; int64."""
        parts = [batch.positions[batch.mine] for batch in self._order.batches(self._epoch, 0)]
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64)

    @property
    def sampler(self) -> Batches:
        """This object: Lightning calls ``loader.sampler.set_epoch``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; another epoch than before starts at its first batch."""
        if epoch != self._epoch:
            self._epoch, self._handed_out, self._resume_at = epoch, 0, None

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were handed out, 0 .. len."""
        return {"epoch": self._epoch, "batches": self._handed_out}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Make the next iteration start after the batches of ``state``; DataError for a place that does not exist."""
        if set(state) != {"epoch", "batches"}:
            raise DataError(f"the state of a loader has epoch and batches, not {', '.join(state)}")
        epoch, batches = state["epoch"], state["batches"]
        if epoch < 0 or not 0 <= batches <= len(self):
            raise DataError(f"batch {batches} of epoch {epoch} does not exist: an epoch has {len(self)} batches")
        self._epoch, self._handed_out, self._resume_at = epoch, batches, batches


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


def train_batches(
    images: Images,
    data: Data,
    recipe: Recipe,
    seed: int,
    *,
    rank: int,
    world_size: int,
    device: torch.device | str,
    workers: int,
) -> Batches:
    """Shuffled and augmented batches of rank ``rank``; the incomplete last batch of an epoch is dropped.

    The order depends on (``seed``, epoch), the augmentation on (``seed``, epoch, batch), so together ``world_size``
    ranks see exactly what one would. ``workers`` processes decode the images of a folder. Raises DataError where
    recipe.batch_size is no multiple of ``world_size`` or more than there are images.
    """
    order = Training(len(images), recipe.batch_size, seed, rank, world_size)
    device = torch.device(device)
    if isinstance(images, FolderSet):
        raise DataError("not yet")
    return MemoryBatches(
        images, order, augmentation(recipe.augment), _normalise(images, data, recipe, device), seed, device
    )


def eval_batches(
    images: Images,
    data: Data,
    recipe: Recipe,
    batch_size: int,
    *,
    rank: int,
    world_size: int,
    device: torch.device | str,
    workers: int,
) -> Batches:
    """Batches in file order without augmentation: every image exactly once over all ranks, the last batch kept.

    ``batch_size`` counts the images of one rank. Ranks take contiguous shares whose sizes may differ by one, so their
    numbers of batches may differ too; ``indices`` says which images a rank has.
    """
    order = Evaluation(len(images), batch_size, rank, world_size)
    device = torch.device(device)
    if isinstance(images, FolderSet):
        raise DataError("not yet")
    return MemoryBatches(images, order, Unchanged(), _normalise(images, data, recipe, device), 0, device)


def _normalise(images: ImageSet, data: Data, recipe: Recipe, device: torch.device) -> Normalise:
    _, channels, height, width = images.images.shape
    mean, std = (data.mean, data.std) if recipe.normalize else ((0.0,) * channels, (1.0,) * channels)
    return Normalise((height, width, channels), mean, std, device)
