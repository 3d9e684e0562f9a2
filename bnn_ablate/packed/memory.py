"""The two blocks of memory that a program works on: constants, and the values of a chunk of images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.graph import Edges

#: Channels that one step handles at a time; each piece of a feature map begins at a multiple of them.
LANES = 16
#: Groups of LANES output channels whose weights lie beside each other.
BLOCK = 4
#: Every array and buffer begins at a multiple of this: a cache line.
ALIGNMENT = 64
WORD_BYTES = 4

Table = NDArray[np.int32]


class Blob:
    """Constants, each array once however often it is asked for; offsets are in bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._offsets: dict[tuple[str, bytes], int] = {}
        self._size = 0

    def add(self, array: NDArray[Any]) -> int:
        """The offset at which the array's bytes lie, in C order."""
        content = np.ascontiguousarray(array).tobytes()
        key = (array.dtype.str, hashlib.blake2b(content, digest_size=16).digest())
        if key not in self._offsets:
            self._offsets[key] = self._size
            padded = content.ljust(-(-len(content) // ALIGNMENT) * ALIGNMENT, b"\0")
            self._parts.append(padded)
            self._size += len(padded)
        return self._offsets[key]

    def array(self) -> NDArray[np.uint8]:
        """All of it, aligned."""
        return aligned(b"".join(self._parts))


def aligned(content: bytes) -> NDArray[np.uint8]:
    """The bytes as an array that begins at a multiple of ALIGNMENT."""
    room = np.zeros(len(content) + ALIGNMENT, np.uint8)
    skip = -room.ctypes.data % ALIGNMENT
    array = room[skip : skip + len(content)]
    array[:] = np.frombuffer(content, np.uint8)
    return array


@dataclass(eq=False)
class Buffer:
    """Room for a feature map of every image of a chunk: rows of pixels of ``words`` words, with a border around them.

    It is alive from step ``first`` to step ``last``, both included; ``border`` is the value of floats around it.
    """

    height: int
    width: int
    words: int
    edges: Edges
    first: int
    last: int
    offset: int = -1
    border: float = 0.0

    @property
    def row_words(self) -> int:
        left, right, _, _ = self.edges
        return (self.width + left + right) * self.words

    @property
    def image_words(self) -> int:
        _, _, top, bottom = self.edges
        return (self.height + top + bottom) * self.row_words

    def places(self, rows: NDArray[Any], columns: NDArray[Any], chunk: int) -> Table:
        """Offsets in words of the pixels ``rows`` x ``columns`` of each image; negative ones lie in the border."""
        left, _, top, _ = self.edges
        one = ((rows[:, None] + top) * self.row_words + (columns[None, :] + left) * self.words).reshape(-1)
        return (np.arange(chunk)[:, None] * self.image_words + one).astype(np.int32).reshape(-1)

    def pixels(self, chunk: int) -> Table:
        """Offsets of all pixels of each image, the border left out."""
        return self.places(np.arange(self.height), np.arange(self.width), chunk)

    def border_ranges(self, chunk: int) -> Table:
        """Stretches (first word, pixels) of the border, (chunk * stretches, 2)."""
        left, right, top, bottom = self.edges
        across = self.width + left + right
        inside = np.zeros((self.height + top + bottom, across), bool)
        inside[top : top + self.height, left : left + self.width] = True
        return self._ranges(~inside.reshape(-1), chunk)

    def whole_ranges(self, chunk: int) -> Table:
        """The same for all of it, border and pixels."""
        return self._ranges(np.ones(self.image_words // self.words, bool), chunk)

    def _ranges(self, chosen: NDArray[np.bool_], chunk: int) -> Table:
        steps = np.diff(np.concatenate(([0], chosen.astype(np.int8), [0])))
        starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
        one = np.stack((starts * self.words, ends - starts), 1)
        images = np.arange(chunk)[:, None, None] * np.array([self.image_words, 0])
        return (images + one).astype(np.int32).reshape(-1, 2)


def assign_offsets(buffers: list[Buffer], chunk: int) -> int:
    """Give every buffer a place in the arena such that no two that live at one time overlap; the arena's bytes.

    Large ones first, each at the lowest place that is free all its life (best-fit for interval graphs is what
    TensorFlow Lite does too, Pisarchyk and Lee 2020, arXiv 2001.03288).
    """
    placed: list[tuple[int, int, Buffer]] = []
    size = 0
    for buffer in sorted(buffers, key=lambda b: -b.image_words):
        length = -(-buffer.image_words * chunk * WORD_BYTES // ALIGNMENT) * ALIGNMENT
        at = 0
        for start, end, other in sorted(placed, key=lambda item: item[0]):
            if other.last < buffer.first or buffer.last < other.first:
                continue
            if at + length <= start:
                break
            at = max(at, end)
        buffer.offset = at
        placed.append((at, at + length, buffer))
        size = max(size, at + length)
    return size


def slots_of(layout: tuple[int, ...]) -> NDArray[np.int64]:
    """The place of every channel in a pixel whose pieces begin at multiples of LANES."""
    starts = np.cumsum([0, *(groups_of((channels,)) * LANES for channels in layout)])
    return np.concatenate([start + np.arange(channels) for start, channels in zip(starts, layout, strict=False)])


def groups_of(layout: tuple[int, ...]) -> int:
    """Groups of LANES places that a pixel takes."""
    return sum(-(-channels // LANES) for channels in layout)
