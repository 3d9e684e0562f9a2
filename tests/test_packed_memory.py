"""Where values lie: a sum takes its shortcut's place, and nothing that is still read is written over."""

from __future__ import annotations

import numpy as np
import pytest
from packed_graphs import Draft

from bnn_ablate.packed.graph import IMAGE, Add, Graph
from bnn_ablate.packed.memory import Buffer, assign_offsets
from bnn_ablate.packed.plan import plan

CHANNELS, SIDE = 64, 9


def chain(blocks: int) -> Graph:
    """From an image of one channel to 64 of 9x9 pixels, ``blocks`` times x + binary_conv(x), and the means."""
    rng = np.random.default_rng(0)
    draft = Draft((1, SIDE, SIDE))
    x = draft.conv(IMAGE, rng.standard_normal((CHANNELS, 1, 1, 1)).astype(np.float32))
    for _ in range(blocks):
        signs = rng.random((CHANNELS, CHANNELS, 3, 3)) < 0.5
        x = draft.add(Add, draft.binary_conv(x, signs, borders=(1, 1, 1, 1)), x)
    draft.mean_of_all(x)
    return draft.graph()


@pytest.mark.parametrize("blocks", [2, 12])
def test_a_chain_of_shortcuts_keeps_one_feature_map_of_floats_and_two_of_bits(blocks: int):
    program = plan(chain(blocks))
    stream = CHANNELS * SIDE * SIDE * 4
    bits = 11 * 11 * CHANNELS // 8
    image = SIDE * SIDE * 4
    assert program.arena_bytes <= program.chunk * (stream + 2 * bits + image) + 4 * 64  # rounded to cache lines


def test_buffers_that_live_at_one_time_do_not_overlap_and_others_share():
    rng = np.random.default_rng(1)
    buffers = []
    for _ in range(60):
        first = int(rng.integers(0, 30))
        sides = rng.integers(1, 9, 3)
        last = first + int(rng.integers(0, 8))
        buffers.append(Buffer(int(sides[0]), int(sides[1]), int(sides[2]), (1, 0, 1, 1), first=first, last=last))
    size = assign_offsets(buffers, chunk=3)
    lengths = [buffer.image_words * 3 * 4 for buffer in buffers]
    for i, a in enumerate(buffers):
        assert a.offset % 64 == 0
        assert a.offset + lengths[i] <= size
        for j, b in enumerate(buffers[:i]):
            apart = a.last < b.first or b.last < a.first
            assert apart or a.offset + lengths[i] <= b.offset or b.offset + lengths[j] <= a.offset
    assert size < sum(lengths)
