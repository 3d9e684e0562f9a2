"""Trained networks as bits on the CPU: ``pack(module, image_shape)`` and ``PackedNetwork``.

    lower (torch.fx) -> fold -> Graph -> plan -> kernels
                                  |
                                  file, reference

Importing this package loads no torch; :func:`pack` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnn_ablate.packed.engine import PackedNetwork
from bnn_ablate.packed.file import PackedFileError
from bnn_ablate.packed.library import EngineError, available_kernels

if TYPE_CHECKING:
    from torch import nn

__all__ = ["EngineError", "PackedFileError", "PackedNetwork", "available_kernels", "pack"]


def pack(
    module: nn.Module, image_shape: tuple[int, int, int], *, threads: int | None = None, kernel: str | None = None
) -> PackedNetwork:
    """The packed network of a module in eval mode, for images (C, H, W) of this very size.

    Raises LoweringError, a ValueError that names the layer and the reason, for a module that cannot be lowered, and
    what :class:`PackedNetwork` raises.
    """
    from bnn_ablate.packed.fold import fold
    from bnn_ablate.packed.lower import lower

    return PackedNetwork(fold(lower(module, image_shape)), threads=threads, kernel=kernel)
