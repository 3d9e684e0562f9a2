"""Which nodes of a graph become one step of a program: a convolution with all that happens to its sums on the way out.

A step is an *anchor* (convolution, pooling, or the identity) and the nodes that follow it while nobody else reads what
is between them: factor, map, Affine, Activation, Add, Activation. Whether the values end in floats or signs is decided
by who reads them. An Affine before signs becomes a threshold of each channel and is never computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bnn_ablate.packed.graph import (
    IMAGE,
    AbsMean,
    Activation,
    Add,
    Affine,
    BinaryConv,
    Concat,
    Conv,
    Graph,
    Multiply,
    Node,
    Pool,
    unused,
)

#: Channels of the pieces that a feature map is stored in, each from a multiple of the lanes on.
Layout = tuple[int, ...]


@dataclass(eq=False)
class Fused:
    """One step. ``reads`` is the value that the anchor reads, through ``before`` and ``before_function``.

    ``anchor`` is None for the identity. The nodes after it, in order: ``alpha`` and ``times`` (a map), ``affine``,
    ``function``, ``plus`` (a value), ``function2``. ``value`` names the result.
    """

    anchor: Node | None
    reads: str
    value: str
    before: Affine | None = None
    before_function: Activation | None = None
    alpha: Affine | None = None
    times: str | None = None
    affine: Affine | None = None
    function: Activation | None = None
    plus: str | None = None
    function2: Activation | None = None
    nodes: list[Node] = field(default_factory=list)

    def reads_floats(self, value: str) -> bool:
        """Whether ``value`` is read elsewhere than at the position that is written: a shortcut is not."""
        read = self.reads == value and self.value != value and not isinstance(self.anchor, BinaryConv)
        return read or self.times == value


@dataclass(frozen=True, eq=False)
class Signs:
    """What one BinaryConv reads: the signs of ``value``, or of ``affine`` of it."""

    conv: BinaryConv
    value: str
    affine: Affine | None


class Fusion:
    """The steps of a graph, in order, and what each value is needed as.

    ``parts`` holds for every concatenation the values that it consists of: they are written into their places, or
    copied there where they belong to another one already. ``layouts`` is how each value lies in memory.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.consumers = graph.consumers()
        self.nodes = {node.name: node for node in graph.nodes}
        self.steps: list[Fused] = []
        self.signs: list[Signs] = []
        self.parts: dict[str, tuple[str, ...]] = {}
        self.layouts: dict[str, Layout] = {}
        self._compact: dict[str, str] = {}
        self._available: set[str] = set()
        self._begun: set[str] = set()
        self._open: list[Fused] = []
        self._image()
        self._owners = self._owned()
        for node in graph.nodes:
            self._visit(node)

    # --- the steps ---------------------------------------------------------------------------------------------------

    def _visit(self, node: Node) -> None:
        if node.name in self._begun or self._seen(node):
            return
        self._begun.add(node.name)
        if isinstance(node, Concat):
            self._concatenate(node)
        elif isinstance(node, AbsMean):
            step = Fused(anchor=node, reads=node.inputs[0], value=node.name, nodes=[node])
            self._look_through(step)
            step.reads = self.compact(step.reads)
            self._emit(step, (1,))
        elif isinstance(node, BinaryConv | Conv | Pool):
            self._anchored(node)
        else:
            self._identity(node)

    def _image(self) -> None:
        step = Fused(anchor=None, reads=IMAGE, value=IMAGE)
        while len(readers := self.consumers[step.value]) == 1:  # what is applied while the image is read
            (node,) = readers
            if isinstance(node, Affine) and step.before is None and step.before_function is None:
                step.before = node
            elif isinstance(node, Activation) and step.before_function is None:
                step.before_function = node
            else:
                break
            self._take(step, node)
        self._emit(step, (self.graph.image_shape[0],))

    def _anchored(self, node: BinaryConv | Conv | Pool) -> None:
        step = Fused(anchor=node, reads=node.inputs[0], value=node.name, nodes=[node])
        if isinstance(node, BinaryConv):
            self._read_signs(step, node)
            layout: Layout = (node.signs.shape[0],)
        elif isinstance(node, Conv):
            layout = (node.weight.shape[0],)
        else:
            self._look_through(step)
            layout = self.layouts[step.reads]
        self._absorb(step, layout)
        self._emit(step, layout)

    def _identity(self, node: Node) -> None:
        """A step that only applies functions, beginning with ``node``."""
        first = node.inputs[0]
        step = Fused(anchor=None, reads=first, value=node.name, nodes=[node])
        layout = self.layouts[first]
        if isinstance(node, Add):
            step.plus = node.inputs[1]
            if self.layouts[step.plus] != layout:
                step.reads, step.plus = self.compact(first), self.compact(step.plus)
                layout = self.layouts[step.reads]
        elif isinstance(node, Multiply):
            step.times = node.inputs[1]
        elif isinstance(node, Affine):
            step.affine = node
        else:
            assert isinstance(node, Activation)
            step.function = node
        self._absorb(step, layout)
        self._emit(step, layout)

    def _concatenate(self, node: Concat) -> None:
        parts = []
        for i, name in enumerate(node.inputs):
            if self._owners[node.name, i]:
                parts.append(name)
            else:
                parts.append(self._copied(name, f"{node.name}/{i}", self.layouts[name]))
        self.parts[node.name] = tuple(parts)
        self._available.add(node.name)
        self.layouts[node.name] = tuple(channels for part in parts for channels in self.layouts[part])

    def compact(self, name: str) -> str:
        """The value with its channels behind each other: itself, or a copy through a 1x1 convolution of ones."""
        channels = self.graph.shapes[name][0]
        if self.layouts[name] == (channels,):
            return name
        if name not in self._compact:
            self._compact[name] = self._copied(name, f"{name}/compact", (channels,))
        return self._compact[name]

    def _copied(self, value: str, copy: str, layout: Layout) -> str:
        """The name of a copy of the value, made by a step of its own: ``copy``, if nothing is called so."""
        copy = unused(copy, {*self.layouts, *self.graph.shapes})
        self._emit(Fused(anchor=None, reads=value, value=copy), layout)
        return copy

    def _emit(self, step: Fused, layout: Layout) -> None:
        self.steps.append(step)
        self.layouts[step.value] = layout
        self._available.add(step.value)

    def _absorb(self, step: Fused, layout: Layout) -> None:
        self._open.append(step)
        while len(readers := self.consumers[step.value]) == 1 and self._absorb_one(step, readers[0], layout):
            self._take(step, readers[0])
        self._open.pop()

    def _absorb_one(self, step: Fused, node: Node, layout: Layout) -> bool:
        """Let ``node`` happen in ``step`` if it can be next; whether it could."""
        added = step.plus is not None
        if isinstance(node, Affine) and step.affine is None and step.function is None and not added:
            step.affine = node
        elif isinstance(node, Activation) and step.function is None and not added:
            step.function = node
        elif isinstance(node, Activation) and added and step.function2 is None:
            step.function2 = node
        elif isinstance(node, Multiply) and step.times is None and step.function is None and not added:
            # A map multiplies what a factor has rounded; a shift before it would have to be multiplied too.
            shifted = step.affine is not None and step.affine.shift.any()
            if shifted or node.inputs[0] != step.value or not self._made(node.inputs[1]):
                return False
            step.alpha, step.affine, step.times = step.affine, None, node.inputs[1]
        elif isinstance(node, Add) and not added:
            other = node.inputs[1] if node.inputs[0] == step.value else node.inputs[0]
            if not self._made(other):
                return False
            if self.layouts[other] != layout:
                if len(layout) > 1:
                    return False
                other = self.compact(other)
            step.plus = other
        else:
            return False
        return True

    def _made(self, value: str) -> bool:
        """Whether the value is there; it is made now if that does not wait for the steps that are being made up."""
        if value not in self._available:
            ancestors = self._ancestors(value)
            if any(node.name in ancestors for step in self._open for node in step.nodes):
                return False
            for node in self.graph.nodes:
                if node.name in ancestors:
                    self._visit(node)
        return value in self._available

    def _ancestors(self, value: str) -> set[str]:
        found: set[str] = set()
        waiting = [value]
        while waiting:
            name = waiting.pop()
            if name in self.nodes and name not in found:
                found.add(name)
                waiting.extend(self.nodes[name].inputs)
        return found

    def _take(self, step: Fused, node: Node) -> None:
        step.nodes.append(node)
        step.value = node.name
        self._begun.add(node.name)

    # --- what is never computed by itself ----------------------------------------------------------------------------

    def _seen(self, node: Node) -> bool:
        """Whether all readers of an Affine or Activation apply it themselves: it is no step."""
        readers = self.consumers[node.name]
        if isinstance(node, Affine):
            return bool(readers) and all(
                isinstance(reader, BinaryConv | Pool | AbsMean)
                or (isinstance(reader, Activation) and self._seen(reader))
                for reader in readers
            )
        return bool(readers) and isinstance(node, Activation) and all(isinstance(r, Pool | AbsMean) for r in readers)

    def _look_through(self, step: Fused) -> None:
        node = self.nodes.get(step.reads)
        if isinstance(node, Activation) and node.name not in self._begun:
            step.before_function, step.reads = node, node.inputs[0]
            node = self.nodes.get(step.reads)
        if isinstance(node, Affine) and node.name not in self._begun:
            step.before, step.reads = node, node.inputs[0]

    def _read_signs(self, step: Fused, conv: BinaryConv) -> None:
        value, affine = conv.inputs[0], None
        node = self.nodes.get(value)
        if isinstance(node, Affine) and value not in self._begun:
            value, affine = node.inputs[0], node
        if value in self._unpacked:  # packed by a step of their own
            value = self._copied(value, f"{conv.name}/copy", self.layouts[value])
        step.reads = value
        self.signs.append(Signs(conv, value, affine))

    @property
    def _unpacked(self) -> set[str]:
        """Values whose steps pack no signs and write only maps of their own: the image, means over channels."""
        return {self.steps[0].value, *(node.name for node in self.graph.nodes if isinstance(node, AbsMean))}

    # --- concatenations ----------------------------------------------------------------------------------------------

    def _owned(self) -> dict[tuple[str, int], bool]:
        """Which part of which concatenation is written straight into its place: a value's last one."""
        owners: dict[tuple[str, int], bool] = {}
        taken = set(self._unpacked)
        for node in reversed(self.graph.nodes):
            if isinstance(node, Concat):
                for i, name in enumerate(node.inputs):
                    owners[node.name, i] = name not in taken
                    taken.add(name)
        return owners

    def leaves(self, value: str) -> list[str]:
        """The values that a concatenation is made of in the end, or the value itself."""
        if value not in self.parts:
            return [value]
        return [leaf for part in self.parts[value] for leaf in self.leaves(part)]

    def with_floats(self) -> set[str]:
        """The values of which somebody reads more than the signs that are packed when they are made."""
        needed = {self.graph.output}
        for step in self.steps:
            needed |= {value for value in (step.plus, step.times) if value is not None}
            if not isinstance(step.anchor, BinaryConv) and step.reads != step.value:
                needed.add(step.reads)
        for name in reversed(self.parts):  # a concatenation comes after its parts
            if name in needed:
                needed.update(self.parts[name])
        return needed
