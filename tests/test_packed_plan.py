"""Where a program keeps things: thresholds, tables, and an arena in which nothing alive is written over."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packed_file_factories import every_kind
from packed_graphs import Draft, graphs, normal

from bnn_ablate.packed.engine import PackedNetwork
from bnn_ablate.packed.graph import Add, Graph, GraphError
from bnn_ablate.packed.memory import Buffer, assign_offsets, slots_of
from bnn_ablate.packed.plan import plan
from bnn_ablate.packed.weights import arranged, packed_words, thresholds_of

# --- thresholds --------------------------------------------------------------------------------------------------

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
#: Half of the smallest float32: what is nearer to zero is rounded to it, -0 included, and so is a tie.
HALF = Fraction(2) ** -150


def nonnegative(x: float, scale: float, shift: float) -> bool:
    """Whether the multiply-add, rounded once to float32, is at least zero."""
    return Fraction(x) * Fraction(scale) + Fraction(shift) >= -HALF


def neighbours(t: float) -> list[float]:
    """Finite float32 values around a threshold, and the ends of all."""
    most, least = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_subnormal)
    around = [t, *(float(np.nextafter(np.float32(t), np.float32(end))) for end in (-np.inf, np.inf))]
    return [x for x in (*around, -most, most, 0.0, least, -least, 1.0, -1.0) if np.isfinite(x)]


def check_threshold(scale: float, shift: float, *more: float) -> None:
    (t,), (flip,) = thresholds_of(np.array([scale], np.float32), np.array([shift], np.float32))
    assert not np.isnan(t)
    for x in (*neighbours(float(t)), *more):
        assert bool((np.float32(x) >= t) != flip) is nonnegative(x, scale, shift), (x, t, flip)


@settings(max_examples=300, deadline=None)
@given(FLOATS, FLOATS, FLOATS)
@example(0.625, 0.0, 0.0)  # of the smallest float more than a half is left, and it keeps its sign
def test_a_threshold_parts_signs_exactly_where_the_rounded_line_does(scale: float, shift: float, x: float):
    with np.errstate(over="ignore"):  # the neighbours of the largest values
        check_threshold(scale, shift, x)


@pytest.mark.parametrize("scale", [0.0, -0.0, 1e-45, -1e-45, 1e-38, 0.1, -0.1, 1.0, -3.0, 3.4e38, -3.4e38])
def test_thresholds_of_extreme_lines_are_exact(scale: float):
    for shift in (0.0, -0.0, 1e-45, -1e-45, 2e-45, 1e-38, 0.3, -0.3, 1.0, 3.4e38, -3.4e38):
        with np.errstate(over="ignore"):
            check_threshold(float(np.float32(scale)), float(np.float32(shift)))


def test_thresholds_by_hand():
    scale = np.array([2, -2, 0, 0, 0, 4], np.float32)
    shift = np.array([1, 1, 0, 5, -5, 0], np.float32)
    thresholds, flips = thresholds_of(scale, shift)
    above_half = np.nextafter(np.float32(0.5), np.float32(1))
    # -0 and everything that rounds to it are not negative: 4 x is, from the smallest subnormal number on
    assert thresholds[:5].tolist() == [-0.5, above_half, -np.inf, -np.inf, np.inf]
    assert thresholds[5] == 0
    assert flips.tolist() == [False, True, False, False, False, False]


# --- words and weights -------------------------------------------------------------------------------------------


def test_words_hold_their_first_bit_lowest():
    bits = np.zeros((2, 64), bool)
    bits[0, [0, 5, 33]], bits[1, 63] = True, True
    assert packed_words(bits).tolist() == [[0b100001, 0b10], [0, 2**31]]


@pytest.mark.parametrize(("c_out", "terms"), [(1, 3), (16, 1), (17, 2), (64, 5), (65, 2), (150, 3)])
def test_weights_lie_block_by_block_term_by_term(c_out: int, terms: int):
    weights = np.arange(1, c_out * terms + 1).reshape(c_out, terms)
    laid, groups = arranged(weights), -(-c_out // 16)
    at = 0
    for block in range(0, groups, 4):
        for term, group in product(range(terms), range(block, min(block + 4, groups))):
            for lane in range(16):
                channel = group * 16 + lane
                assert laid[at] == (weights[channel, term] if channel < c_out else 0)
                at += 1
    assert at == len(laid)


def test_pieces_of_a_pixel_begin_at_multiples_of_sixteen():
    assert slots_of((3, 17, 1)).tolist() == [0, 1, 2, *range(16, 33), 48]


# --- the arena ---------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(0, 12), st.integers(0, 12)), max_size=12))
def test_buffers_that_live_together_do_not_overlap(sizes: list[tuple[int, int, int, int]]):
    buffers = [
        Buffer(height, 3, words, (0, 1, 0, 0), first=min(times), last=max(times)) for height, words, *times in sizes
    ]
    size = assign_offsets(buffers, 2)
    for buffer in buffers:
        assert buffer.offset % 64 == 0
        assert buffer.offset + 2 * 4 * buffer.image_words <= size
    for i, one in enumerate(buffers):
        for other in buffers[:i]:
            apart = one.last < other.first or other.last < one.first
            first, second = sorted((one, other), key=lambda buffer: buffer.offset)
            assert apart or first.offset + 2 * 4 * first.image_words <= second.offset


def chain(length: int) -> Graph:
    """Binary convolutions, each with a shortcut, one behind the other."""
    rng = np.random.default_rng(0)
    draft = Draft((3, 9, 9))
    x = draft.conv("image", normal(rng, 64, 3, 1, 1))
    for _ in range(length):
        y = draft.affine(draft.binary_conv(x, rng.random((64, 64, 3, 3)) < 0.5, borders=(1, 1, 1, 1)), 0.1, 0.0)
        x = draft.add(Add, y, x)
    draft.mean_of_all(x)
    return draft.graph()


def test_a_chain_of_shortcuts_keeps_one_map_of_floats_and_two_of_signs_however_deep(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bnn_ablate.packed.plan.MAX_CHUNK", 1)
    shallow, deep = plan(chain(2)), plan(chain(12))
    assert deep.arena_bytes == shallow.arena_bytes
    # a sum lies where its shortcut lay; signs of two layers with their borders, and the image, at multiples of 64 bytes
    floats, signs, image = 9 * 9 * 64 * 4, 11 * 11 * 2 * 4, 9 * 9 * 3 * 4
    assert deep.arena_bytes <= floats + 2 * signs + image + 4 * 64


def test_nothing_is_written_over_where_signs_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bnn_ablate.packed.plan.MAX_CHUNK", 1)
    kept = plan(chain(6), keep_signs=True)
    places = sorted((place.buffer.offset, 4 * place.buffer.image_words) for place in kept.signs)
    assert len(places) == 6
    for (first, length), (second, _) in pairwise(places):
        assert first + length <= second


@settings(max_examples=50, deadline=None)
@given(graphs(), st.integers(0, 9))
def test_every_place_in_the_memory_of_before_may_be_anything(graph: Graph, seed: int):
    # two calls work in one memory: nothing of the first may be seen in the second
    try:
        used, fresh = PackedNetwork(graph, threads=1), PackedNetwork(graph, threads=1)
    except GraphError:  # a value that is read with two kinds of border
        return
    x = normal(np.random.default_rng(seed), 3, *graph.image_shape)
    with np.errstate(all="ignore"):
        used(np.full((9, *graph.image_shape), np.nan, np.float32))
        assert used(x).tobytes() == fresh(x).tobytes()


# --- what a program says of itself -------------------------------------------------------------------------------


def test_lines_name_the_nodes_and_count_their_macs():
    program = plan(every_kind())
    macs = {name: line.macs for line in program.lines for name in line.names if line.macs}
    # 3 x 3 x 3 x 3 weights at 4 x 5 positions; 3 x 3 there; 2 x 6 x 2 x 3 at one position
    assert macs["binary"] == 81 * 20
    assert macs["box"] == 9 * 20
    assert macs["classifier"] == 72
    assert len(program.lines) == len(program.steps)
    assert [place.name for place in program.signs] == ["binary"]
    assert program.signs[0].shape == (3, 4, 5)


@pytest.mark.parametrize(
    ("value", "chunk"),
    [(2, 8), (64, 1)],
)
def test_small_maps_go_through_together(value: int, chunk: int):
    draft = Draft((1, value * 4, value * 4))
    draft.mean_of_all(draft.conv("image", np.ones((64, 1, 1, 1), np.float32)))
    assert plan(draft.graph()).chunk == chunk
