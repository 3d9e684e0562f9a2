"""A weight file of another program, whichever it is: its tensors, and which of our tensors each one becomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bnn_ablate.interop.errors import InteropError, shown

Kind = Literal["larq", "bitorch"]


@dataclass(frozen=True)
class ForeignTensor:
    """A tensor that is still in the file.

    ``shape`` and ``load`` are in the file's order of axes; ``axes`` is the permutation that makes torch's of it.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    load: Callable[[], Tensor]

    def torch_shape(self) -> tuple[int, ...]:
        """The shape in torch's order; that of the file where there are not as many axes as expected."""
        return tuple(self.shape[axis] for axis in self.axes) if len(self.axes) == len(self.shape) else self.shape

    def as_torch(self, key: str, wanted: tuple[int, ...], file: str) -> Tensor:
        """The values for our tensor ``key`` of shape ``wanted``, float32, in torch's order of axes.

        The shape is compared before anything is read. Raises InteropError that names the tensor.
        """
        if self.torch_shape() != wanted:
            raise InteropError(f"{file}: {self.misfit(key, wanted)}")
        value = self.load()
        if not value.is_floating_point():
            raise InteropError(f"{file}: {shown(self.name)} holds {value.dtype} where weights are floating point")
        value = value.to(torch.float32)
        least, largest = value.aminmax()  # NaN where there is one
        if not (least.isfinite() and largest.isfinite()):
            raise InteropError(f"{file}: {shown(self.name)} holds NaN or infinity")
        if key.endswith("running_var") and least < 0:
            raise InteropError(f"{file}: {shown(self.name)} holds a negative variance")
        return value.permute(self.axes)

    def misfit(self, key: str, wanted: tuple[int, ...]) -> str:
        """What is wrong with the shape, in the file's order of axes."""
        there = list(wanted)
        if len(self.axes) == len(wanted):
            for position, axis in enumerate(self.axes):
                there[axis] = wanted[position]
        return f"{shown(self.name)} has the shape {self.shape} where {key} needs {tuple(there)}"


@dataclass(frozen=True)
class Traits:
    """What a file says of its network beyond sizes; ``image_size`` only where the file knows."""

    stem: Literal["cifar", "cifar_2018", "imagenet"]
    in_channels: int
    num_classes: int
    image_size: int | None


class ForeignFile(ABC):
    """An opened weight file. ``name`` stands in sentences."""

    kind: Kind
    name: str

    @abstractmethod
    def traits(self) -> Traits:
        """Stem, channels and classes, from the shapes of the first kernel and the classifier. Raises InteropError."""

    @abstractmethod
    def matched(self, network: nn.Module) -> dict[str, ForeignTensor]:
        """The file's tensor for each one of ``network``'s state that files have.

        BatchNorm's counter of batches, which evaluation never reads, may be left out. Raises InteropError for the first
        tensor that is missing, one too many, or not of the network's kind; shapes are compared later.
        """


def stem_of(kernel: int, *, norm: bool, file: str) -> Literal["cifar", "cifar_2018", "imagenet"]:
    """The stem with a first kernel of ``kernel`` pixels a side; ``norm``: whether a BatchNorm follows it."""
    if kernel == 7:
        return "imagenet"
    if kernel == 3:
        return "cifar" if norm else "cifar_2018"
    raise InteropError(f"{file}: the first kernel is {kernel}x{kernel}, and stems have 3x3 or 7x7")
