"""The 7x7 stem as the step that computes it by Winograd's filtering: whether it fits, its weights, its memory.

What the numbers mean stands in kernels/winograd.inc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.fuse import Fused, Fusion
from bnn_ablate.packed.graph import Conv, Pool, output_side
from bnn_ablate.packed.memory import LANES, groups_of

#: Outputs and products of a tile along one axis, and tiles whose products are summed together.
TILE, POINTS, TOGETHER = 4, 7, 7
#: Channels up to which the transformed tiles of a row of an image fit the second cache.
MAX_CHANNELS = 4
#: Pixels from which the image is worth it; below, sums in the order of the kernel give the reference's very bits.
MIN_PIXELS = 96 * 96
#: Taps (4) to products (7) at the points 1, -1, 2, -2, 1/2, -1/2 and infinity: powers over the distances to the others.
FINITE = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5)


@dataclass(frozen=True, eq=False)
class Stem:
    """A 7x7 convolution of the image and, where one follows alone, its max pooling."""

    conv_step: Fused
    pool_step: Fused | None

    @property
    def conv(self) -> Conv:
        assert isinstance(self.conv_step.anchor, Conv)
        return self.conv_step.anchor

    @property
    def pool(self) -> Pool | None:
        if self.pool_step is None:
            return None
        assert isinstance(self.pool_step.anchor, Pool)
        return self.pool_step.anchor


def find_stem(fusion: Fusion) -> Stem | None:
    """The stem of a network, if its first convolution is one: 7x7 of stride 2, read by nobody before it."""
    image = fusion.steps[0]
    readers = [s for s in fusion.steps[1:] if image.value in (s.reads, s.plus, s.times)]
    if len(readers) != 1 or image.before_function is not None:
        return None
    step = readers[0]
    conv = step.anchor
    fits = (
        isinstance(conv, Conv)
        and conv.weight.dtype == np.float32
        and conv.weight.shape[2:] == (7, 7)
        and conv.stride == (2, 2)
        and conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.border == 0
        and max(conv.borders) <= 6
        and conv.weight.shape[1] <= MAX_CHANNELS
        and step.reads == image.value
        and image.value not in (step.plus, step.times)
        and fusion.graph.image_shape[1] * fusion.graph.image_shape[2] >= MIN_PIXELS
    )
    if not fits:
        return None
    return Stem(step, _pooling(fusion, step))


def _pooling(fusion: Fusion, step: Fused) -> Fused | None:
    """The step of a 3x3 max pooling of stride 2 that alone reads a convolution's floats."""
    if step.affine is not None or step.plus is not None or step.times is not None or step.value == fusion.graph.output:
        return None
    if any(step.value in fusion.leaves(signs.value) for signs in fusion.signs) or any(
        step.value in parts for parts in fusion.parts.values()
    ):
        return None
    readers = [s for s in fusion.steps if s is not step and step.value in (s.reads, s.plus, s.times)]
    if len(readers) != 1 or not isinstance(readers[0].anchor, Pool):
        return None
    pool = readers[0].anchor
    left, _, top, _ = pool.borders
    fits = pool.kind == "max" and pool.kernel == (3, 3) and pool.stride == (2, 2) and (left, top) == (1, 1)
    plain = readers[0].before is None and readers[0].before_function is None and readers[0].reads == step.value
    return readers[0] if fits and plain else None


def stem_weights(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(c_out, c_in, 7, 7) as [group][point y][point x][phase y, phase x, channel][lane].

    The taps of each phase, every other one along both axes with a zero behind the odd ones, at the points.
    """
    c_out, c_in = weight.shape[:2]
    taps = np.zeros((c_out, c_in, 8, 8))
    taps[:, :, :7, :7] = weight
    phases = taps.reshape(c_out, c_in, 4, 2, 4, 2)  # (.., tap y, phase y, tap x, phase x)
    at_points = _points()
    products = np.einsum("ya,xb,ocapbq->oyxpqc", at_points, at_points, phases)
    groups = groups_of((c_out,))
    padded = np.zeros((groups * LANES, POINTS, POINTS, c_in * 4), np.float32)
    padded[:c_out] = products.reshape(c_out, POINTS, POINTS, c_in * 4)
    return np.ascontiguousarray(padded.reshape(groups, LANES, POINTS, POINTS, -1).transpose(0, 2, 3, 4, 1))


def _points() -> NDArray[np.float64]:
    rows = []
    for point in FINITE:
        distances = np.prod([point - other for other in FINITE if other != point])
        rows.append([point**power / distances for power in range(4)])
    return np.array([*rows, [0.0, 0.0, 0.0, 1.0]])


def stem_sides(stem: Stem, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the convolution's output."""
    left, right, top, bottom = stem.conv.borders
    return output_side(height, top, bottom, 7, 2, 1), output_side(width, left, right, 7, 2, 1)


def scratch_bytes(rows: int, columns: int, channels: int, groups: int) -> int:
    """Memory that one thread needs; kernels/winograd.h has the same sum, and the kernels refuse a smaller one."""
    tile_columns = -(-columns // TILE)
    tile_lanes = -(-tile_columns // LANES) * LANES
    terms, line = 4 * channels, 8 * (tile_lanes + LANES) + 2 * LANES
    lines, split, copies = terms // 2 * POINTS * line, line, POINTS * line
    tiles, sums = POINTS**2 * terms * tile_lanes, POINTS**2 * TOGETHER * LANES
    made = tile_columns * TILE * TILE * groups * LANES
    return -(-4 * (lines + split + copies + tiles + sums + made) // 64) * 64
