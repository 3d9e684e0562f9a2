"""Places of channels, windows and positions, as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.fuse import Layout
from bnn_ablate.packed.graph import Edges
from bnn_ablate.packed.memory import LANES, Buffer, Table, groups_of, slots_of


def in_slots(values: NDArray[np.float32], layout: Layout, *, fill: float = 0.0) -> NDArray[np.float32]:
    """A value for every place of a pixel; ``fill`` where there is no channel."""
    padded = np.full(groups_of(layout) * LANES, fill, np.float32)
    padded[slots_of(layout)] = values
    return padded


def windows(buffer: Buffer, borders: Edges, stride: tuple[int, int], rows: int, columns: int, chunk: int) -> Table:
    """Where the window of each output position begins."""
    left, _, top, _ = borders
    return buffer.places(np.arange(rows) * stride[0] - top, np.arange(columns) * stride[1] - left, chunk)


def spans(size: int, before: int, after: int, kernel: int, stride: int) -> NDArray[np.int64]:
    """First pixel and number of pixels inside the image of every window along one axis."""
    starts = np.arange((size + before + after - kernel) // stride + 1) * stride - before
    first, last = np.maximum(starts, 0), np.minimum(starts + kernel, size)
    return np.stack((first, last - first), 1)


def lane_ranges(c_out: int, per_group: int, groups: int) -> list[tuple[int, int]]:
    """Output channels that one step computes: all, or, of a grouped convolution, those that share groups of lanes."""
    if groups == 1:
        return [(0, c_out)]
    ranges: list[tuple[int, int]] = []
    for first in range(0, c_out, LANES):
        last = min(first + LANES, c_out)
        same = ranges and ranges[-1][0] // per_group == first // per_group == (last - 1) // per_group
        if same and ranges[-1][0] // per_group == (ranges[-1][1] - 1) // per_group:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    return ranges
