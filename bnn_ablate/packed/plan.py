"""A graph as a program: steps with every size, offset and table that the kernels need, and where each value lies.

Feature maps are stored pixel by pixel, channels in groups of 16; signs as bits in words of 32 channels, bit 1 means -1,
one array of bits for each BinaryConv that reads them, with its border around it. Weights lie as the kernels read them:
16 output channels beside each other, and four such groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.fuse import Fused, Fusion, Layout, Signs
from bnn_ablate.packed.graph import IMAGE, AbsMean, Affine, BinaryConv, Conv, Edges, Graph, GraphError, Pool, Shape
from bnn_ablate.packed.memory import BLOCK, LANES, Blob, Buffer, Table, assign_offsets, groups_of, slots_of
from bnn_ablate.packed.stem import Stem, find_stem, scratch_bytes, stem_sides, stem_weights
from bnn_ablate.packed.weights import (
    arranged,
    packed_words,
    runs_of,
    starts_of,
    thresholds_of,
)

#: A step's fields, in the order of kernels/steps.h, which the library is asked for before it is used.
FIELDS = (
    *("kind", "pixels", "groups", "chunk", "src_at", "src_bytes", "t_src", "runs", "run_words", "t_runs", "weights"),
    *("start", "t_start", "alpha", "map_at", "t_map", "scale", "shift", "function", "add_at", "t_add", "function2"),
    *("dst_at", "t_dst", "packs", "t_packs", "window", "row_words", "column_words", "mean", "divisor", "pre_scale"),
    *("pre_shift", "pre_function", "channels", "slots", "height", "width", "scratch_at", "scratch_bytes"),
    *("conv_rows", "conv_columns", "pad_top", "pad_left", "pooled", "pool_rows", "pool_columns"),
)
KINDS = {name: i for i, name in enumerate(("fill", "input", "bconv", "fconv", "pool", "absmean", "winograd", "output"))}
FUNCTIONS = {name: i for i, name in enumerate(("none", "relu", "clip", "leaky_clip", "sign"))}
#: Fields that say "there is none" by -1.
ABSENT = ("t_start", "alpha", "map_at", "scale", "add_at", "dst_at", "pre_scale")

#: Positions that go through all blocks of output channels together, where the weights stay in the first cache; a
#: multiple of the tiles of all kernels, so that no tile is cut.
TOGETHER = 120
#: Bytes of weights up to which that is so.
SMALL_WEIGHTS = 24 * 1024
#: Images go through a program together, so that small maps fill the kernels' tiles, as long as their values stay in the
#: second cache. Measured on ResNetE18 at 32x32 (0.5 MiB an image): 1 to 8 images within 2 % of each other.
CHUNK_BYTES, MAX_CHUNK = 2**19, 8


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


def plan(graph: Graph, *, threads: int = 1, keep_signs: bool = False) -> Program:
    """The program of a graph for up to ``threads`` threads; with ``keep_signs`` nothing in the arena is written over.

    Raises GraphError.
    """
    one = _Planner(graph, 1, threads, keep_signs).program()
    chunk = min(MAX_CHUNK, CHUNK_BYTES // max(one.arena_bytes, 1))
    return one if chunk <= 1 else _Planner(graph, chunk, threads, keep_signs).program()


class _Planner:
    def __init__(self, graph: Graph, chunk: int, threads: int, keep_signs: bool) -> None:
        self.graph, self.chunk, self.threads, self.keep = graph, chunk, threads, keep_signs
        self.fusion = Fusion(graph)
        self.stem = find_stem(self.fusion)
        self.blob = Blob()
        self.shapes = self._all_shapes()
        self.floats = self.fusion.with_floats()
        self.rows: list[dict[str, int]] = []
        self.lines: list[Line] = []
        #: Offsets are known at the end: (row, field) of each, the buffer and what to add in bytes.
        self.pending: list[tuple[int, str, Buffer, int]] = []
        self.pending_packs: list[tuple[int, list[tuple[int, int, Buffer, int, int]]]] = []
        self.buffers: list[Buffer] = []
        #: value -> its buffer and the first group in it
        self.places: dict[str, tuple[Buffer, int]] = {}
        self.bits: dict[str, Buffer] = {}
        #: leaf value -> the signs it is part of, and its first group there
        self.readers: dict[str, list[tuple[Signs, int]]] = {}
        for signs in self.fusion.signs:
            group = 0
            for leaf in self.fusion.leaves(signs.value):
                self.readers.setdefault(leaf, []).append((signs, group))
                group += groups_of(self.fusion.layouts[leaf])
        self.owner = {part: name for name, parts in self.fusion.parts.items() for part in parts}

    def _all_shapes(self) -> dict[str, Shape]:
        """Shapes of the graph's values and of the copies that the fusion made."""
        shapes = dict(self.graph.shapes)
        for step in self.fusion.steps:
            shapes.setdefault(step.value, shapes[step.reads])
        return shapes

    # --- all of it ---------------------------------------------------------------------------------------------------

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

    def _row(self, kind: str, names: tuple[str, ...], macs: int = 0, **fields: int) -> int:
        self.rows.append({"kind": KINDS[kind], **fields})
        self.lines.append(Line(kind, names, macs))
        return len(self.rows) - 1

    def _at(self, row: int, field: str, buffer: Buffer, extra_bytes: int = 0) -> None:
        self.pending.append((row, field, buffer, extra_bytes))
        assert buffer.first <= row
        buffer.last = max(buffer.last, row)

    # --- where values lie --------------------------------------------------------------------------------------------

    def _root(self, value: str) -> tuple[str, int]:
        """The value whose buffer holds ``value``, and the first group of it there."""
        group = 0
        while value in self.owner:
            whole = self.owner[value]
            for part in self.fusion.parts[whole]:
                if part == value:
                    break
                group += groups_of(self.fusion.layouts[part])
            value = whole
        return value, group

    def _edges(self, root: str) -> tuple[Edges, float]:
        """The border that the convolutions which read a value need around it, and its value."""
        edges, borders = (0, 0, 0, 0), set()
        for step in self.fusion.steps:
            if isinstance(step.anchor, Conv) and self._root(step.reads)[0] == root and any(step.anchor.borders):
                edges = tuple(max(pair) for pair in zip(edges, step.anchor.borders, strict=True))  # type: ignore[assignment]
                borders.add(step.anchor.border)
        if len(borders) > 1:
            raise GraphError(f"{root} is read with borders of {' and '.join(map(str, sorted(borders)))}: one is possible")
        return edges, borders.pop() if borders else 0.0

    def _allocated(self, value: str, reuse: str | None) -> tuple[Buffer, int]:
        """The buffer of a value that is about to be made; of ``reuse``, where that ends with this step and is alike."""
        root, group = self._root(value)
        if root not in self.places:
            (_, height, width), now = self.shapes[root], len(self.rows)
            words = groups_of(self.fusion.layouts[root]) * LANES
            if root == IMAGE or root == self.fusion.steps[0].value:
                words = self._image_words()
            edges, border = self._edges(root)
            old = self.places[self._root(reuse)[0]][0] if reuse is not None else None
            alike = old is not None and (old.words, old.edges, old.border) == (words, edges, border)
            if old is not None and alike and self._last_reader(reuse):
                self.places[root] = (old, 0)
            else:
                buffer = Buffer(height, width, words, edges, first=now, last=now, border=border)
                self.buffers.append(buffer)
                self.places[root] = (buffer, 0)
                if any(edges):
                    pattern = np.full(words, border, np.float32)
                    self._fill(buffer, buffer.border_ranges(self.chunk), pattern, root)
                elif words % LANES == 0 and root == self.fusion.steps[0].value:
                    # the image's own channels are all that is written, and steps read whole groups
                    self._fill(buffer, buffer.whole_ranges(self.chunk), np.zeros(words, np.float32), root)
        return self.places[root][0], group

    def _image_words(self) -> int:
        """Words of a pixel of the image: its channels where only convolutions read it, else whole groups."""
        name = self.fusion.steps[0].value
        channels = self.graph.image_shape[0]
        readers = [s for s in self.fusion.steps[1:] if name in (s.reads, s.plus, s.times)]
        only_convolutions = all(isinstance(s.anchor, Conv) and s.plus != name and s.times != name for s in readers)
        return channels if only_convolutions else groups_of((channels,)) * LANES

    def _last_reader(self, value: str | None) -> bool:
        """Whether the step that is being planned is the last to read the value, which is a buffer of its own."""
        if value is None or value in self.owner or value in self.fusion.parts or value == self.graph.output:
            return False
        readers = [s for s in self.fusion.steps if value in (s.reads, s.plus, s.times) and s.value != value]
        return readers[-1] is self._current and self._current.reads != value

    def _fill(self, buffer: Buffer, ranges: Table, pattern: NDArray[Any], name: str) -> None:
        row = self._row(
            "fill",
            (name,),
            chunk=self.chunk,
            runs=len(ranges),
            run_words=len(pattern),
            t_runs=self.blob.add(ranges),
            weights=self.blob.add(pattern),
        )
        self._at(row, "dst_at", buffer)

    def _read(self, row: int, field: str, table: str, value: str, places: Table | None = None) -> Buffer:
        """Let a step read a value pixel by pixel, or at ``places``."""
        root, group = self._root(value)
        buffer, _ = self.places[root]
        self._at(row, field, buffer, 4 * LANES * group)
        self.rows[row][table] = self.blob.add(buffer.pixels(self.chunk) if places is None else places)
        return buffer

    # --- steps -------------------------------------------------------------------------------------------------------

    def _step(self, step: Fused) -> None:
        self._current = step
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
        buffer, _ = self._allocated(step.value, None)
        row = self._row(
            "input", _names(step), pixels=height * width, channels=channels, height=height, width=width
        )
        self._before(row, step, (channels,), padded=False)
        self._read(row, "dst_at", "t_dst", step.value)
        assert buffer.width == width

    def _before(self, row: int, step: Fused, layout: Layout, *, padded: bool = True) -> None:
        if step.before is not None:
            scale, shift = step.before.scale, step.before.shift
            if padded:
                scale, shift = _in_slots(scale, layout), _in_slots(shift, layout)
            self.rows[row]["pre_scale"], self.rows[row]["pre_shift"] = self.blob.add(scale), self.blob.add(shift)
        if step.before_function is not None:
            self.rows[row]["pre_function"] = FUNCTIONS[step.before_function.function]

    def _bconv(self, step: Fused, conv: BinaryConv) -> None:
        signs = next(signs for signs in self.fusion.signs if signs.conv is conv)
        layout, bits = self.fusion.layouts[signs.value], self.bits[conv.name]
        c_out, c_in, k_h, k_w = conv.signs.shape
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
        self.rows[row]["t_src"] = self.blob.add(_windows(bits, conv.borders, conv.stride, rows, columns, self.chunk))
        # the kernel's values are -y/2, which only changes exponents
        if step.times is not None:
            alpha = np.ones(c_out, np.float32) if step.alpha is None else step.alpha.scale
            if _overflows(alpha):
                raise GraphError(f"{conv.name}: factors before a map must be below 2^127, half of the largest float32")
            self._finish(row, step, (c_out,), alpha=np.float32(-2) * alpha, affine=step.affine)
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
        for first, last in _lane_ranges(c_out, per_group, conv.groups):
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
                start=self.blob.add(_in_slots(bias[first:last], (last - first,))),
            )
            places = _windows(buffer, conv.borders, conv.stride, rows, columns, self.chunk)
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
            weights=self.blob.add(stem_weights(conv.weight)),
            start=self.blob.add(_in_slots(conv.bias, (conv.weight.shape[0],))),
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
        rows = _spans(height, top, bottom, kernel[0], stride[0])
        columns = _spans(width, left, right, kernel[1], stride[1])
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
        layout = self.fusion.layouts[step.reads]
        self._allocated_result(step)
        row = self._row(
            "absmean",
            _names(step),
            pixels=height * width,
            channels=channels,
            slots=self.blob.add(slots_of(layout).astype(np.int32)),
        )
        self._before(row, step, layout)
        self._read(row, "src_at", "t_src", step.reads)
        self._read(row, "dst_at", "t_dst", step.value)

    def _output(self) -> None:
        name = self.graph.output
        slots = slots_of(self.fusion.layouts[name]).astype(np.int32)
        row = self._row("output", (name,), pixels=1, channels=self.graph.classes, slots=self.blob.add(slots))
        self._read(row, "src_at", "t_src", name)

    # --- what happens to the values of a step ------------------------------------------------------------------------

    def _allocated_result(self, step: Fused) -> None:
        if step.value in self.floats:
            self._allocated(step.value, step.plus)

    def _finish(
        self,
        row: int,
        step: Fused,
        layout: Layout,
        *,
        alpha: NDArray[np.float32] | None = None,
        affine: Affine | tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
        part: tuple[int, int] | None = None,
    ) -> None:
        """Everything behind the anchor; ``part`` are the channels [first, last) of the step that the row computes."""
        first, last = (0, sum(layout)) if part is None else part
        group, here = first // LANES, layout if part is None else (last - first,)
        fields = self.rows[row]
        if alpha is not None:
            fields["alpha"] = self.blob.add(_in_slots(alpha[first:last], here))
        if step.times is not None:
            self._read(row, "map_at", "t_map", step.times)
        if affine is not None:
            scale, shift = (affine.scale, affine.shift) if isinstance(affine, Affine) else affine
            fields["scale"] = self.blob.add(_in_slots(scale[first:last], here))
            fields["shift"] = self.blob.add(_in_slots(shift[first:last], here))
        if step.function is not None:
            fields["function"] = FUNCTIONS[step.function.function]
        if step.function2 is not None:
            fields["function2"] = FUNCTIONS[step.function2.function]
        if step.plus is not None:
            self._read(row, "add_at", "t_add", step.plus)
            self.pending[-1] = (*self.pending[-1][:3], self.pending[-1][3] + 4 * LANES * group)
        if step.value in self.floats:
            self._read(row, "dst_at", "t_dst", step.value)
            self.pending[-1] = (*self.pending[-1][:3], self.pending[-1][3] + 4 * LANES * group)
        packs = []
        for signs, at in self.readers.get(step.value, ()):
            bits = self.bits[signs.conv.name]
            bits.last = max(bits.last, row)
            thresholds, flips = self._thresholds(signs, at, step.value, first, last, here)
            packs.append((thresholds, flips, bits, self.blob.add(bits.pixels(self.chunk)), at + group))
        if packs:
            self.pending_packs.append((row, packs))

    def _thresholds(
        self, signs: Signs, at: int, value: str, first: int, last: int, here: Layout
    ) -> tuple[int, int]:
        """Offsets of the thresholds and flips of channels [first, last) of a part of what a BinaryConv reads."""
        channels = sum(here)
        if signs.affine is None:
            thresholds, flips = np.zeros(channels, np.float32), np.zeros(channels, bool)
        else:
            before = 0
            for leaf in self.fusion.leaves(signs.value):
                if leaf == value:
                    break
                before += self.shapes[leaf][0]
            taken = slice(before + first, before + last)
            thresholds, flips = thresholds_of(signs.affine.scale[taken], signs.affine.shift[taken])
        # nothing reaches a threshold of NaN: flipped, the bits of places without a channel are 0 whatever lies there
        padded = _in_slots(thresholds, here, fill=np.nan)
        bits = np.ones((groups_of(here), LANES), bool)
        bits.reshape(-1)[slots_of(here)] = flips
        words = np.packbits(bits, axis=1, bitorder="little").view("<u2")
        return self.blob.add(padded), self.blob.add(words)


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


def _in_slots(values: NDArray[np.float32], layout: Layout, *, fill: float = 0.0) -> NDArray[np.float32]:
    """A value for every place of a pixel; ``fill`` where there is no channel."""
    padded = np.full(groups_of(layout) * LANES, fill, np.float32)
    padded[slots_of(layout)] = values
    return padded


def _windows(
    buffer: Buffer, borders: Edges, stride: tuple[int, int], rows: int, columns: int, chunk: int
) -> Table:
    """Where the window of each output position begins."""
    left, _, top, _ = borders
    return buffer.places(np.arange(rows) * stride[0] - top, np.arange(columns) * stride[1] - left, chunk)


def _spans(size: int, before: int, after: int, kernel: int, stride: int) -> NDArray[np.int64]:
    """First pixel and number of pixels inside the image of every window along one axis."""
    starts = np.arange((size + before + after - kernel) // stride + 1) * stride - before
    first, last = np.maximum(starts, 0), np.minimum(starts + kernel, size)
    return np.stack((first, last - first), 1)


def _lane_ranges(c_out: int, per_group: int, groups: int) -> list[tuple[int, int]]:
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


assert BLOCK == 4
