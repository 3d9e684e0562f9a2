"""Weights, thresholds and tables in the order and form in which the kernels read them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.graph import BinaryConv, Shape
from bnn_ablate.packed.memory import BLOCK, LANES, Buffer, Table


def packed_words(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """(n, 32 m) bits as (n, m) words, the first one lowest."""
    return np.packbits(bits, axis=1, bitorder="little").view("<u4")


def arranged(weights: NDArray[Any]) -> NDArray[Any]:
    """(c_out, terms) as [block][term][group of the block][lane], missing output channels being 0."""
    c_out, terms = weights.shape
    groups = -(-c_out // LANES)
    padded = np.zeros((groups * LANES, terms), weights.dtype)
    padded[:c_out] = weights
    blocks = []
    for first in range(0, groups, BLOCK):
        some = padded[first * LANES : (first + BLOCK) * LANES]
        blocks.append(some.reshape(-1, LANES, terms).transpose(2, 0, 1).reshape(-1))
    return np.concatenate(blocks)


def runs_of(
    buffer: Buffer, dilation: tuple[int, int], kernel: tuple[int, int], words: NDArray[np.int64]
) -> tuple[Table, int]:
    """The stretches of a window, all of one length, in the order kernel row, column, word: their offsets, that length.

    ``words`` are the places in a pixel that are read.
    """
    rows = np.arange(kernel[0]) * dilation[0] * buffer.row_words
    columns = np.arange(kernel[1]) * dilation[1] * buffer.words
    places = (rows[:, None, None] + columns[None, :, None] + words).reshape(-1)
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    lengths = np.diff(np.concatenate(([0], breaks, [len(places)])))
    length = int(np.gcd.reduce(lengths))
    return places[::length].astype(np.int32), length


def starts_of(conv: BinaryConv, shape: Shape, output: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """-T/2 for each class of output positions and channel, and the class of each position; y = T - 2 count.

    Counts are of words in which a border of +1 or 0 has bits 0 and one of -1 ones. Borders of -1 and +1 are counted as
    they are, T is the number of terms. Borders of 0 take no part: T is the number of terms inside, and the ones that
    the weights of the terms outside have counted come back. The same terms are outside for few classes of rows and
    columns.
    """
    c_out, c_in, k_h, k_w = conv.signs.shape
    if conv.border != 0 or not any(conv.borders):
        starts = np.full((1, c_out), -c_in * k_h * k_w / 2, np.float32)
        return starts, np.zeros(output[0] * output[1], np.int64)
    left, _, top, _ = conv.borders
    inside_rows, row_classes = _inside(shape[1], top, output[0], k_h, conv.stride[0], conv.dilation[0])
    inside_columns, column_classes = _inside(shape[2], left, output[1], k_w, conv.stride[1], conv.dilation[1])
    ones = conv.signs.sum(1, dtype=np.int64)
    starts = np.empty((len(inside_rows), len(inside_columns), c_out), np.float32)
    for i, rows in enumerate(inside_rows):
        for j, columns in enumerate(inside_columns):
            inside = rows[:, None] & columns
            starts[i, j] = -(c_in * inside.sum() / 2 + ones[:, ~inside].sum(1))
    classes = row_classes[:, None] * len(inside_columns) + column_classes
    return starts.reshape(-1, c_out), classes.reshape(-1)


def _inside(
    size: int, before: int, outputs: int, kernel: int, stride: int, dilation: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which taps of the window lie inside the image: the different cases, and the case of each output."""
    taps = np.arange(outputs)[:, None] * stride - before + np.arange(kernel) * dilation
    cases, of = np.unique((taps >= 0) & (taps < size), axis=0, return_inverse=True)
    return cases, of.reshape(-1)


def thresholds_of(
    scale: NDArray[np.float32], shift: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Thresholds t and flips such that fma(x, scale, shift) >= 0 is (x >= t) != flip for every float32 x, exactly.

    The multiply-add is rounded: to -0, which is not negative, from -2^-150 on. A rising line is not negative from a
    smallest float32 t on; a falling one up to a largest one, above which it is flipped. A product of two float32 is
    exact in float64, so the comparison that finds t is too.
    """
    rising, flat = scale > 0, scale == 0
    size = np.where(flat, 1, np.abs(scale)).astype(np.float64)
    # rising: x >= -shift / size; falling: -size x + shift >= 0, x <= shift / size
    reach = shift.astype(np.float64) + 2.0**-150  # exact for a small shift, and no product is as close to a large one
    bound = np.where(rising, -reach, reach)
    down, up = np.float32(-np.inf), np.float32(np.inf)
    with np.errstate(over="ignore"):
        t = (bound / size).astype(np.float32)
        t = np.clip(t, np.finfo(np.float32).min, np.finfo(np.float32).max)
        for _ in range(2):  # the rounded quotient is at most one step away
            lower = np.nextafter(t, down)
            t = np.where(lower.astype(np.float64) * size >= bound, lower, t)
        for _ in range(2):
            t = np.where(t.astype(np.float64) * size < bound, np.nextafter(t, up), t)
        # now t is the smallest with size t >= bound; the largest with size t <= bound is t itself or the one below,
        # and a falling line is negative from the one after that on
        equal = t.astype(np.float64) * size == bound
        falling = np.where(equal, np.nextafter(t, up), t)
    thresholds = np.where(rising, t, falling)
    thresholds = np.where(flat, np.where(shift >= 0, down, up), thresholds).astype(np.float32)
    return thresholds, (scale < 0)
