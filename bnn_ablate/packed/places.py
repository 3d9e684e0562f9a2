"""The rows of a program while it is made up, and where in its memory each value lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.fuse import Fused, Fusion, Signs
from bnn_ablate.packed.graph import IMAGE, Conv, Edges, Graph, GraphError, Shape
from bnn_ablate.packed.memory import LANES, Blob, Buffer, Table, groups_of
from bnn_ablate.packed.program import KINDS, Line


class Places:
    """Rows, lines and constants of a program, its buffers, and the tables by which steps find what they read and write.

    Buffers get their offsets at the end, when it is known how long each lives; until then ``pending`` holds them.
    """

    def __init__(self, graph: Graph, chunk: int) -> None:
        self.graph, self.chunk = graph, chunk
        self.fusion = Fusion(graph)
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
        while value in self.owner and self.owner[value] in self.floats:
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
            raise GraphError(
                f"{root} is read with borders of {' and '.join(map(str, sorted(borders)))}: one is possible"
            )
        return edges, borders.pop() if borders else 0.0

    def _allocated(self, value: str, step: Fused | None = None) -> tuple[Buffer, int]:
        """The buffer of a value that ``step`` is about to make; its shortcut's, where that ends here and is alike."""
        root, group = self._root(value)
        if root not in self.places:
            (_, height, width), now = self.shapes[root], len(self.rows)
            words = groups_of(self.fusion.layouts[root]) * LANES
            if root == IMAGE or root == self.fusion.steps[0].value:
                words = self._image_words()
            edges, border = self._edges(root)
            reuse = None if step is None else step.plus
            old = self.places[self._root(reuse)[0]][0] if reuse is not None else None
            alike = old is not None and (old.words, old.edges, old.border) == (words, edges, border)
            if step is not None and old is not None and alike and self._ends_with(step):
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

    def _ends_with(self, step: Fused) -> bool:
        """Whether the value that ``step`` adds is a buffer of its own and read by no later step."""
        value = step.plus
        if value is None or value in self.owner or value in self.fusion.parts or value == self.graph.output:
            return False
        readers = [s for s in self.fusion.steps if s.reads_floats(value) or value == s.plus]
        return readers[-1] is step and not step.reads_floats(value)

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

    def _read(
        self, row: int, field: str, table: str, value: str, places: Table | None = None, *, first_group: int = 0
    ) -> None:
        """Let a step read or write a value pixel by pixel, or at ``places``, from its group ``first_group`` on."""
        root, group = self._root(value)
        buffer, _ = self.places[root]
        self._at(row, field, buffer, 4 * LANES * (group + first_group))
        self.rows[row][table] = self.blob.add(buffer.pixels(self.chunk) if places is None else places)
