"""Batches of a run: repeatable, resumable in the middle of an epoch, and the same for any number of ranks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from bnn_ablate.data.errors import DataError
from bnn_ablate.data.order import Order

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
        # A generator: epoch and place are read when the first batch is asked for, because Lightning makes the
        # iterator first and tells the epoch afterwards.
        start = 0 if self._resume_at is None else self._resume_at
        self._resume_at = None
        self._handed_out = start
        for pair in self._stream(self._epoch, start):
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
