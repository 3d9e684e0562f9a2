"""Which images come when, and from which random numbers: the same for any number of ranks, workers and restarts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from bnn_ablate.data.errors import DataError


def keyed_generator(*key: int | str) -> torch.Generator:
    """A generator on the CPU whose numbers depend on ``key`` alone.

    Hashed, because torch's generator keeps 32 bits of its seed: neighbouring or shifted keys would meet.
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))


@dataclass(frozen=True)
class Batch:
    """One step: ``positions`` int64 of all its images over all ranks, and the slice ``mine`` that this rank takes.

    ``number`` counts the batches of an epoch, ``start`` its images, before this batch.
    """

    number: int
    start: int
    positions: Tensor
    mine: slice


@dataclass(frozen=True)
class Training:
    """``images`` in random order, in whole batches of ``batch_size`` images shared equally by ``world_size`` ranks."""

    images: int
    batch_size: int
    seed: int
    rank: int
    world_size: int

    def __post_init__(self) -> None:
        if self.batch_size % self.world_size != 0:
            raise DataError(
                f"recipe.batch_size={self.batch_size} cannot be shared equally by trainer.devices={self.world_size}"
            )
        if self.images < self.batch_size:
            raise DataError(f"recipe.batch_size={self.batch_size} is more than the {self.images} training images")

    def __len__(self) -> int:
        # The incomplete last batch is dropped: its BatchNorm statistics would be those of a few images, its step
        # would weigh as much as a whole one, and ranks could not share it equally. The order differs from epoch to
        # epoch, so no image is always among the dropped.
        return self.images // self.batch_size

    def batches(self, epoch: int, start: int) -> list[Batch]:
        """The batches of ``epoch`` from number ``start`` on."""
        order = torch.randperm(self.images, generator=keyed_generator(self.seed, epoch, "order"))
        share = self.batch_size // self.world_size
        mine = slice(self.rank * share, (self.rank + 1) * share)
        starts = [(number, number * self.batch_size) for number in range(start, len(self))]
        return [Batch(number, first, order[first : first + self.batch_size], mine) for number, first in starts]


@dataclass(frozen=True)
class Evaluation:
    """``images`` in file order, each once: ranks take contiguous shares, whose sizes may differ by one."""

    images: int
    batch_size: int
    rank: int
    world_size: int

    def _share(self) -> range:
        return range(
            self.images * self.rank // self.world_size,
            self.images * (self.rank + 1) // self.world_size,
        )

    def __len__(self) -> int:
        return -(-len(self._share()) // self.batch_size)

    def batches(self, epoch: int, start: int) -> list[Batch]:
        """The batches of this rank from number ``start`` on; every epoch is the same."""
        share = self._share()
        starts = [(number, share.start + number * self.batch_size) for number in range(start, len(self))]
        return [
            Batch(number, first, torch.arange(first, min(first + self.batch_size, share.stop)), slice(None))
            for number, first in starts
        ]


Order = Training | Evaluation
