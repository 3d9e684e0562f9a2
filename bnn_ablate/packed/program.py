"""What the kernels run: steps of numbers, constants, and how large the memory is that they work in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.graph import Shape
from bnn_ablate.packed.memory import Buffer

#: A step's fields, in the order of kernels/steps.h, which the library is asked for before it is used.
FIELDS = (
    *("kind", "pixels", "groups", "chunk", "src_at", "t_src", "runs", "run_words", "t_runs", "weights"),
    *("start", "t_start", "alpha", "map_at", "t_map", "scale", "shift", "function", "add_at", "t_add", "function2"),
    *("dst_at", "t_dst", "packs", "t_packs", "window", "row_words", "column_words", "mean", "divisor", "pre_scale"),
    *("pre_shift", "pre_function", "channels", "slots", "height", "width", "scratch_at", "scratch_bytes"),
    *("conv_rows", "conv_columns", "pad_top", "pad_left", "pooled", "pool_rows", "pool_columns"),
)
KINDS = {name: i for i, name in enumerate(("fill", "input", "bconv", "fconv", "pool", "absmean", "winograd", "output"))}
FUNCTIONS = {name: i for i, name in enumerate(("none", "relu", "clip", "leaky_clip", "sign"))}
#: Fields that say "there is none" by -1.
ABSENT = ("t_start", "alpha", "map_at", "scale", "add_at", "dst_at", "pre_scale")


@dataclass(frozen=True, eq=False)
class Line:
    """One step in words: its kind, what it computes, its MACs for one image and where its signs go."""

    kind: str
    names: tuple[str, ...]
    macs: int


@dataclass(frozen=True, eq=False)
class SignsPlace:
    """Where the bits lie that a BinaryConv reads, of its input's shape (C, H, W)."""

    name: str
    shape: Shape
    buffer: Buffer
    slots: NDArray[np.int64]

    def read(self, arena: NDArray[np.uint8], chunk: int) -> NDArray[np.bool_]:
        """The signs that lie there, (chunk, C, H, W), True where one is -1."""
        buffer = self.buffer
        words = arena[buffer.offset :][: 4 * buffer.image_words * chunk].view("<u4")
        pixels = words[buffer.pixels(chunk)[:, None] + np.arange(buffer.words)]
        bits = np.unpackbits(pixels.view(np.uint8), axis=1, bitorder="little")[:, self.slots].astype(bool)
        channels, height, width = self.shape
        return bits.reshape(chunk, height, width, channels).transpose(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Program:
    """What the kernels run: ``steps`` (n, fields) int64, constants, and the arena's size in bytes.

    ``signs`` are where the inputs of binary convolutions lie when a chunk of images has been through all steps, which
    is so only where the program was planned to keep them.
    """

    steps: NDArray[np.int64]
    blob: NDArray[np.uint8]
    arena_bytes: int
    chunk: int
    image_shape: Shape
    classes: int
    lines: tuple[Line, ...]
    signs: tuple[SignsPlace, ...]
