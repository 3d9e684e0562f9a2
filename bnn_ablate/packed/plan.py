"""A graph as a program: steps with every size, offset and table that the kernels need, and where each value lies.

Feature maps are stored pixel by pixel, channels in groups of 16; signs as bits in words of 32 channels, bit 1 means -1,
one array of bits for each BinaryConv that reads them, with its border around it. Weights lie as the kernels read them:
16 output channels beside each other, and four such groups.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.finishing import Finishing
from bnn_ablate.packed.fuse import Fused, Signs
from bnn_ablate.packed.graph import AbsMean, Affine, BinaryConv, Conv, Graph, GraphError, Pool
from bnn_ablate.packed.memory import LANES, Buffer, assign_offsets, groups_of, slots_of
from bnn_ablate.packed.program import ABSENT, FIELDS, FUNCTIONS, Program, SignsPlace
from bnn_ablate.packed.spread import spread
from bnn_ablate.packed.stem import Stem, find_stem, scratch_bytes, stem_sides, stem_weights
from bnn_ablate.packed.tables import in_slots, lane_ranges, spans, windows
from bnn_ablate.packed.weights import (
    arranged,
    packed_words,
    runs_of,
    starts_of,
)

#: Positions that go through all blocks of output channels together, where the weights stay in the first cache; a
#: multiple of the tiles of all kernels, so that no tile is cut.
TOGETHER = 120
#: Bytes of weights up to which that is so.
SMALL_WEIGHTS = 24 * 1024
#: Images go through a program together, so that small maps fill the kernels' tiles, as long as their values stay in the
#: second cache. Measured on ResNetE18 at 32x32 (0.5 MiB an image): 1 to 8 images within 2 % of each other.
CHUNK_BYTES, MAX_CHUNK = 2**19, 8


def plan(graph: Graph, *, threads: int = 1, keep_signs: bool = False) -> Program:
    """The program of a graph for up to ``threads`` threads; with ``keep_signs`` nothing in the arena is written over.

    Raises GraphError.
    """
    graph = spread(graph)
    one = _Planner(graph, 1, threads, keep_signs).program()
    chunk = min(MAX_CHUNK, CHUNK_BYTES // max(one.arena_bytes, 1))
    return one if chunk <= 1 else _Planner(graph, chunk, threads, keep_signs).program()


class _Planner(Finishing):
    def __init__(self, graph: Graph, chunk: int, threads: int, keep_signs: bool) -> None:
        super().__init__(graph, chunk)
        self.threads, self.keep = threads, keep_signs
        self.stem = find_stem(self.fusion)

    def program(self) -> Program:
        for step in self.fusion.steps:
            self._step(step)
        self._output()
        for buffer in self.buffers:
            if self.keep:
                buffer.first, buffer.last = 0, len(self.rows)
        arena = assign_offsets(self.buffers, self.chunk)
        for row, field, buffer, extra in self.pending:
            self.rows[row][field] = buffer.offset + extra
        for row, packs in self.pending_packs:
            values = [(t, f, bits.offset, places, group) for t, f, bits, places, group in packs]
            self.rows[row]["t_packs"] = self.blob.add(np.array(values, np.int64))
            self.rows[row]["packs"] = len(packs)
        steps = np.array([[row.get(field, -1 if field in ABSENT else 0) for field in FIELDS] for row in self.rows])
        return Program(
            steps=np.ascontiguousarray(steps, np.int64),
            blob=self.blob.array(),
            arena_bytes=arena,
            chunk=self.chunk,
            image_shape=self.graph.image_shape,
            classes=self.graph.classes,
            lines=tuple(self.lines),
            signs=tuple(
                SignsPlace(
                    name=signs.conv.name,
                    shape=self.shapes[signs.value],
                    buffer=self.bits[signs.conv.name],
                    slots=slots_of(self.fusion.layouts[signs.value]),
                )
                for signs in self.fusion.signs
            ),
        )

    # --- steps -------------------------------------------------------------------------------------------------------

    def _step(self, step: Fused) -> None:
        if self.stem is not None and step in (self.fusion.steps[0], self.stem.conv_step, self.stem.pool_step):
            if step is (self.stem.pool_step or self.stem.conv_step):
                self._winograd(step, self.stem)
            return
        self._open_bits(step)
        if step is self.fusion.steps[0]:
            self._input(step)
        elif isinstance(step.anchor, BinaryConv):
            self._bconv(step, step.anchor)
        elif isinstance(step.anchor, Conv):
            self._fconv(step, step.anchor, step.anchor.weight, step.anchor.bias)
        elif isinstance(step.anchor, AbsMean):
            self._absmean(step)
        elif step.anchor is None and self.fusion.layouts[step.reads] != self.fusion.layouts[step.value]:
            self._compacted(step)
        else:
            assert step.anchor is None or isinstance(step.anchor, Pool)
            self._pool(step, step.anchor)

    def _open_bits(self, step: Fused) -> None:
        for signs, _ in self.readers.get(step.value, ()):
            self._bits_of(signs)

    def _bits_of(self, signs: Signs) -> None:
        """The bits that a BinaryConv reads, with its border written, before the first part of them is made."""
        conv = signs.conv
        if conv.name in self.bits:
            return
        layout = self.fusion.layouts[signs.value]
        groups = groups_of(layout)
        _, height, width = self.shapes[signs.value]
        now = len(self.rows)
        buffer = Buffer(height, width, -(-groups // 2), conv.borders, first=now, last=now)
        self.buffers.append(buffer)
        self.bits[conv.name] = buffer
        border = np.zeros((1, buffer.words * 2 * LANES), bool)
        border[0, slots_of(layout)] = conv.border == -1
        pattern = packed_words(border)[0]
        if groups % 2:  # the second half of a word that nobody writes must be zero
            self._fill(buffer, buffer.whole_ranges(self.chunk), pattern, conv.name)
        elif any(conv.borders):
            self._fill(buffer, buffer.border_ranges(self.chunk), pattern, conv.name)

    def _input(self, step: Fused) -> None:
        if step.value not in self.floats:
            return
        channels, height, width = self.graph.image_shape
        buffer, _ = self._allocated(step.value)
        row = self._row("input", _names(step), pixels=height * width, channels=channels, height=height, width=width)
        self._before(row, step, (channels,), padded=False)
        self._read(row, "dst_at", "t_dst", step.value)
        assert buffer.width == width

    def _bconv(self, step: Fused, conv: BinaryConv) -> None:
        signs = next(signs for signs in self.fusion.signs if signs.conv is conv)
        layout, bits = self.fusion.layouts[signs.value], self.bits[conv.name]
        c_out, _, k_h, k_w = conv.signs.shape
        _, rows, columns = self.graph.shapes[conv.name]
        slots = np.zeros((c_out, k_h, k_w, bits.words * 2 * LANES), bool)
        slots[..., slots_of(layout)] = conv.signs.transpose(0, 2, 3, 1)
        words = packed_words(slots.reshape(c_out, -1))
        runs, run_words = runs_of(bits, conv.dilation, (k_h, k_w), np.arange(bits.words))
        self._allocated_result(step)
        starts, classes = starts_of(conv, self.shapes[signs.value], (rows, columns))
        padded = np.zeros((len(starts), groups_of((c_out,)) * LANES), np.float32)
        padded[:, :c_out] = starts
        row = self._row(
            "bconv",
            _names(step),
            macs=conv.signs.size * rows * columns,
            pixels=rows * columns,
            groups=groups_of((c_out,)),
            chunk=TOGETHER if words.nbytes <= SMALL_WEIGHTS else 2**30 // TOGETHER * TOGETHER,
            runs=len(runs),
            run_words=run_words,
            t_runs=self.blob.add(runs),
            weights=self.blob.add(arranged(words)),
            start=self.blob.add(padded),
        )
        if len(starts) > 1:
            self.rows[row]["t_start"] = self.blob.add(np.tile(classes * padded.shape[1], self.chunk).astype(np.int32))
        self._at(row, "src_at", bits)
        self.rows[row]["t_src"] = self.blob.add(windows(bits, conv.borders, conv.stride, rows, columns, self.chunk))
        # the kernel's values are -y/2, which only changes exponents
        if step.times is not None:
            alpha = np.ones(c_out, np.float32) if step.alpha is None else step.alpha.scale
            if _overflows(alpha):
                raise GraphError(f"{conv.name}: factors before a map must be below 2^127, half of the largest float32")
            affine = (np.ones(c_out, np.float32), np.zeros(c_out, np.float32)) if step.affine is None else step.affine
            self._finish(row, step, (c_out,), alpha=np.float32(-2) * alpha, affine=affine)
        elif step.affine is not None and _overflows(step.affine.scale):
            self._finish(row, step, (c_out,), alpha=np.full(c_out, -2, np.float32), affine=step.affine)
        else:
            self._finish(row, step, (c_out,), affine=_halved(step.affine, c_out))

    def _fconv(self, step: Fused, conv: Conv, weight: NDArray[Any], bias: NDArray[np.float32]) -> None:
        c_out, c_in, k_h, k_w = weight.shape
        values = np.where(weight, np.float32(-1), np.float32(1)) if weight.dtype == np.bool_ else weight
        _, rows, columns = self.graph.shapes[conv.name]
        layout = self.fusion.layouts[step.reads]
        slots = slots_of(layout)
        self._allocated_result(step)
        buffer = self.places[self._root(step.reads)[0]][0]
        per_group = c_out // conv.groups
        for first, last in lane_ranges(c_out, per_group, conv.groups):
            low, high = first // per_group * c_in, ((last - 1) // per_group + 1) * c_in
            dense = np.zeros((last - first, k_h, k_w, high - low), np.float32)
            for channel in range(first, last):
                at = channel // per_group * c_in - low
                dense[channel - first, :, :, at : at + c_in] = values[channel].transpose(1, 2, 0)
            runs, run_words = runs_of(buffer, conv.dilation, (k_h, k_w), slots[low:high])
            row = self._row(
                "fconv",
                _names(step),
                macs=values[first:last].size * rows * columns,
                pixels=rows * columns,
                groups=groups_of((last - first,)),
                chunk=TOGETHER,
                runs=len(runs),
                run_words=run_words,
                t_runs=self.blob.add(runs),
                weights=self.blob.add(arranged(dense.reshape(last - first, -1))),
                start=self.blob.add(in_slots(bias[first:last], (last - first,))),
            )
            places = windows(buffer, conv.borders, conv.stride, rows, columns, self.chunk)
            self._read(row, "src_at", "t_src", step.reads, places)
            self._finish(row, step, (c_out,), affine=step.affine, alpha=_scale(step.alpha), part=(first, last))

    def _winograd(self, step: Fused, stem: Stem) -> None:
        channels, height, width = self.graph.image_shape
        conv, pool = stem.conv, stem.pool
        rows, columns = stem_sides(stem, height, width)
        groups = groups_of((conv.weight.shape[0],))
        self._open_bits(step)
        self._allocated_result(step)
        now = len(self.rows)
        bytes_each = scratch_bytes(rows, columns, channels, groups)
        scratch = Buffer(1, 1, bytes_each * self.threads // 4, (0, 0, 0, 0), first=now, last=now)
        self.buffers.append(scratch)
        _, out_rows, out_columns = self.shapes[step.value]
        row = self._row(
            "winograd",
            (*_names(stem.conv_step), *(() if pool is None else _names(step))),
            macs=conv.weight.size * rows * columns,
            pixels=out_rows * out_columns,
            groups=groups,
            channels=channels,
            height=height,
            width=width,
            weights=self.blob.add(stem_weights(conv.weight.astype(np.float32))),
            start=self.blob.add(in_slots(conv.bias, (conv.weight.shape[0],))),
            conv_rows=rows,
            conv_columns=columns,
            pad_top=conv.borders[2],
            pad_left=conv.borders[0],
            pool_rows=out_rows,
            pool_columns=out_columns,
            scratch_bytes=bytes_each * self.threads,
            pooled=int(pool is not None),
        )
        self._at(row, "scratch_at", scratch)
        self._before(row, self.fusion.steps[0], (channels,), padded=False)
        if pool is not None and stem.conv_step.function is not None:
            self.rows[row]["pre_function"] = FUNCTIONS[stem.conv_step.function.function]
        layout = (conv.weight.shape[0],)
        self._finish(row, step, layout, affine=step.affine, alpha=_scale(step.alpha))

    def _compacted(self, step: Fused) -> None:
        channels, height, width = self.shapes[step.value]
        buffer = self.places[self._root(step.reads)[0]][0]
        self._allocated_result(step)
        runs, run_words = runs_of(buffer, (1, 1), (1, 1), slots_of(self.fusion.layouts[step.reads]))
        row = self._row(
            "fconv",
            _names(step),
            pixels=height * width,
            groups=groups_of((channels,)),
            chunk=TOGETHER,
            runs=len(runs),
            run_words=run_words,
            t_runs=self.blob.add(runs),
            weights=self.blob.add(arranged(np.eye(channels, dtype=np.float32))),
            start=self.blob.add(np.zeros(groups_of((channels,)) * LANES, np.float32)),
        )
        self._read(row, "src_at", "t_src", step.reads)
        self._finish(row, step, (channels,))

    def _pool(self, step: Fused, pool: Pool | None) -> None:
        layout = self.fusion.layouts[step.reads]
        _, height, width = self.shapes[step.reads]
        self._allocated_result(step)
        buffer = self.places[self._root(step.reads)[0]][0]
        kernel, stride, borders = (1, 1), (1, 1), (0, 0, 0, 0)
        if pool is not None:
            kernel, stride, borders = pool.kernel, pool.stride, pool.borders
        left, right, top, bottom = borders
        rows = spans(height, top, bottom, kernel[0], stride[0])
        columns = spans(width, left, right, kernel[1], stride[1])
        sizes = np.stack(np.broadcast_arrays(rows[:, None, 1], columns[None, :, 1]), -1).reshape(-1, 2)
        row = self._row(
            "pool",
            _names(step),
            pixels=len(sizes),
            groups=groups_of(layout),
            window=self.blob.add(np.tile(sizes, (self.chunk, 1)).astype(np.int32)),
            row_words=buffer.row_words,
            column_words=buffer.words,
            mean=int(pool is not None and pool.kind == "mean"),
            divisor=kernel[0] * kernel[1] if pool is not None and pool.divisor == "kernel" else 0,
        )
        self._before(row, step, layout)
        self._read(row, "src_at", "t_src", step.reads, buffer.places(rows[:, 0], columns[:, 0], self.chunk))
        self._finish(row, step, layout, affine=step.affine, alpha=_scale(step.alpha))

    def _absmean(self, step: Fused) -> None:
        channels, height, width = self.shapes[step.reads]
        self._allocated_result(step)
        groups = groups_of((channels,))
        row = self._row("absmean", _names(step), pixels=height * width, groups=groups, channels=channels)
        self._before(row, step, (channels,))
        self._read(row, "src_at", "t_src", step.reads)
        self._read(row, "dst_at", "t_dst", step.value)

    def _output(self) -> None:
        name = self.graph.output
        slots = slots_of(self.fusion.layouts[name]).astype(np.int32)
        row = self._row("output", (name,), pixels=1, channels=self.graph.classes, slots=self.blob.add(slots))
        self._read(row, "src_at", "t_src", name)


def _names(step: Fused) -> tuple[str, ...]:
    return tuple(node.name for node in step.nodes) if step.nodes else (step.value,)


def _scale(affine: Affine | None) -> NDArray[np.float32] | None:
    return None if affine is None else affine.scale


def _overflows(scale: NDArray[np.float32]) -> bool:
    """Whether twice a factor is too large for float32."""
    return bool((np.abs(scale) >= 2.0**127).any())


def _halved(affine: Affine | None, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if affine is None:
        return np.full(channels, -2, np.float32), np.zeros(channels, np.float32)
    return np.float32(-2) * affine.scale, affine.shift
