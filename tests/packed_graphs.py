"""Graphs for the kernels: made by hand around one operator, or drawn by Hypothesis from all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

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
    GraphError,
    Multiply,
    Node,
    Pool,
    Shape,
    needed,
    output_shape,
)

Array = np.ndarray[Any, Any]
NO_BORDERS = (0, 0, 0, 0)


class Draft:
    """A graph that is being written: each method adds a node and returns its name."""

    def __init__(self, image_shape: Shape) -> None:
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {IMAGE: image_shape}

    def add(self, operator: type[Node], /, *inputs: str, **fields: Any) -> str:
        """GraphError where the node does not fit; then it is not added."""
        name = f"{operator.__name__.lower()}{len(self.nodes)}"
        node = operator(name=name, inputs=inputs, **fields)
        shape = output_shape(node, [self.shapes[value] for value in inputs])
        if int(np.prod(shape)) == 0:
            raise GraphError("no values")
        self.nodes.append(node)
        self.shapes[name] = shape
        return name

    def affine(self, x: str, scale: Any, shift: Any) -> str:
        channels = self.shapes[x][0]
        vectors = {"scale": scale, "shift": shift}
        return self.add(Affine, x, **{k: np.full(channels, v, np.float32) for k, v in vectors.items()})

    def activation(self, x: str, function: str) -> str:
        return self.add(Activation, x, function=function)

    def binary_conv(self, x: str, signs: Array, **window: Any) -> str:
        plain = {"stride": (1, 1), "borders": NO_BORDERS, "dilation": (1, 1), "border": -1}
        return self.add(BinaryConv, x, signs=signs, **plain | window)

    def conv(self, x: str, weight: Array, bias: Array | None = None, **window: Any) -> str:
        plain = {"stride": (1, 1), "borders": NO_BORDERS, "dilation": (1, 1), "border": 0.0, "groups": 1}
        bias = np.zeros(len(weight), np.float32) if bias is None else bias
        return self.add(Conv, x, weight=weight, bias=bias, **plain | window)

    def pool(self, x: str, kind: str, kernel: tuple[int, int], **window: Any) -> str:
        plain = {"stride": (1, 1), "borders": NO_BORDERS, "divisor": "inside"}
        return self.add(Pool, x, kind=kind, kernel=kernel, **plain | window)

    def mean_of_all(self, x: str, *, divisor: str = "inside") -> str:
        """One logit a channel: every value of the map takes part."""
        return self.pool(x, "mean", self.shapes[x][1:], divisor=divisor)

    def graph(self) -> Graph:
        """Of what the last node depends on."""
        return Graph(self.shapes[IMAGE], needed(self.nodes, self.nodes[-1].name))


def normal(rng: np.random.Generator, *shape: int) -> Array:
    """Normal float32 values, some of them zeros of either sign."""
    x = rng.standard_normal(shape).astype(np.float32)
    x[rng.random(shape) < 0.05] = 0.0
    x[rng.random(shape) < 0.05] = -0.0
    return x


# --- any graph ---------------------------------------------------------------------------------------------------

CHANNELS = st.one_of(st.sampled_from((1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 48, 64, 65, 80, 130)), st.integers(1, 40))
SIDES = st.integers(1, 7)
FUNCTIONS = ("relu", "clip", "leaky_clip", "sign")
#: Factors beside the usual ones: nothing, either sign of it, the largest that keeps values finite, subnormal ones.
SCALES = (0.0, -0.0, 1.0, -1.0, 2.0, -0.5, 1e-3, -1e9, 1e12, 1e-40, -1e-44)
SHIFTS = (0.0, -0.0, 1.0, -2.0, 0.5, 1e-42, -1e-38, 1e9)


@st.composite
def windows(draw: DrawFn, shape: Shape, *, most_kernel: int = 3, borders: bool = True) -> dict[str, Any]:
    """Kernel, stride and borders, which mostly fit a feature map of this shape."""
    kernel = tuple(draw(st.integers(1, min(most_kernel, side + 1))) for side in shape[1:])
    edges = draw(st.tuples(*[st.integers(0, 2)] * 4)) if borders and draw(st.booleans()) else NO_BORDERS
    return {"kernel": kernel, "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), "borders": edges}


@st.composite
def vectors(draw: DrawFn, rng: np.random.Generator, length: int, special: tuple[float, ...]) -> Array:
    vector = rng.normal(0, 1, length).astype(np.float32)
    for value in draw(st.lists(st.sampled_from(special), max_size=3)):
        vector[rng.random(length) < 0.5] = value
    return vector


def _affine(draw: DrawFn, draft: Draft, rng: np.random.Generator, x: str) -> str:
    channels = draft.shapes[x][0]
    scale, shift = draw(vectors(rng, channels, SCALES)), draw(vectors(rng, channels, SHIFTS))
    if draw(st.booleans()):
        shift[:] = 0
    return draft.add(Affine, x, scale=scale, shift=shift)


def _activation(draw: DrawFn, draft: Draft, rng: np.random.Generator, x: str) -> str:
    return draft.activation(x, draw(st.sampled_from(FUNCTIONS)))


def _binary_conv(draw: DrawFn, draft: Draft, rng: np.random.Generator, x: str) -> str:
    shape = draft.shapes[x]
    same = draw(st.booleans())
    c_out = shape[0] if same else draw(CHANNELS)
    window = draw(windows(shape))
    kernel = window.pop("kernel")
    if same:
        kernel, window = (3, 3), {"borders": (1, 1, 1, 1)}
    else:
        window["dilation"] = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    signs = rng.random((c_out, shape[0], *kernel)) < 0.5
    return draft.binary_conv(x, signs, border=draw(st.sampled_from((-1, 0, 1))), **window)


def _conv(draw: DrawFn, draft: Draft, rng: np.random.Generator, x: str) -> str:
    shape = draft.shapes[x]
    groups = draw(st.sampled_from([n for n in range(1, shape[0] + 1) if shape[0] % n == 0]))
    c_out = groups * draw(st.integers(1, max(1, 36 // groups)))
    window = draw(windows(shape))
    kernel = window.pop("kernel")
    weight = normal(rng, c_out, shape[0] // groups, *kernel)
    if draw(st.booleans()):
        weight = weight < 0
    border = draw(st.sampled_from((0.0, 0.0, 0.0, 1.0, -0.5)))
    return draft.conv(x, weight, normal(rng, c_out), groups=groups, border=border, **window)


def _pool(draw: DrawFn, draft: Draft, rng: np.random.Generator, x: str) -> str:
    window = draw(windows(draft.shapes[x]))
    kind, divisor = draw(st.sampled_from(("max", "mean"))), draw(st.sampled_from(("inside", "kernel")))
    return draft.pool(x, kind, divisor=divisor, **window)


def _abs_mean(draw: DrawFn, draft: Draft, rng: np.random.Generator, x: str) -> str:
    return draft.add(AbsMean, x)


def _multiply(draw: DrawFn, draft: Draft, rng: np.random.Generator, x: str) -> str:
    maps = [name for name, shape in draft.shapes.items() if shape == (1, *draft.shapes[x][1:])]
    by = draw(st.sampled_from(maps)) if maps else draft.add(AbsMean, x)
    return draft.add(Multiply, x, by)


def _add(draw: DrawFn, draft: Draft, rng: np.random.Generator, x: str) -> str:
    others = [name for name, shape in draft.shapes.items() if shape == draft.shapes[x]]
    pair = (x, draw(st.sampled_from(others)))
    return draft.add(Add, *(pair if draw(st.booleans()) else reversed(pair)))


def _concat(draw: DrawFn, draft: Draft, rng: np.random.Generator, x: str) -> str:
    others = [name for name, shape in draft.shapes.items() if shape[1:] == draft.shapes[x][1:]]
    return draft.add(Concat, x, *draw(st.lists(st.sampled_from(others), min_size=1, max_size=3)))


#: The commonest ones twice.
MAKERS = (
    *(_binary_conv, _affine, _add) * 2,
    *(_activation, _conv, _pool, _abs_mean, _multiply, _concat),
)
#: Values of a map above which a graph is no longer small.
MOST_VALUES = 4000


@st.composite
def graphs(draw: DrawFn, *, most_nodes: int = 10) -> Graph:
    """A graph of any nodes, whose last value ends in a mean over its pixels, or in a convolution of all of it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    draft = Draft((draw(st.integers(1, 20)), draw(SIDES), draw(SIDES)))
    for _ in range(draw(st.integers(1, most_nodes))):
        # the newest values are read most, so that graphs are deep
        names = list(draft.shapes)
        x = draw(st.sampled_from(names[-3:])) if draw(st.booleans()) else draw(st.sampled_from(names))
        before = len(draft.nodes)
        try:
            name = draw(st.sampled_from(MAKERS))(draw, draft, rng, x)
        except GraphError:
            continue
        if int(np.prod(draft.shapes[name])) > MOST_VALUES:
            for node in draft.nodes[before:]:
                del draft.shapes[node.name]
            del draft.nodes[before:]
    last = list(draft.shapes)[-1]
    if draw(st.booleans()):
        draft.mean_of_all(last, divisor=draw(st.sampled_from(("inside", "kernel"))))
    else:
        weight = normal(rng, draw(st.integers(1, 3)), *draft.shapes[last])
        draft.conv(last, weight, normal(rng, len(weight)))
    return draft.graph()


def described(graph: Graph) -> str:
    """A graph in a line a node, for a failing test to show."""
    lines = [f"image {graph.image_shape}"]
    for node in graph.nodes:
        hidden = ("name", "inputs", "signs", "weight", "scale", "shift")
        fields = {k: v for k, v in vars(node).items() if k not in hidden}
        for key in ("scale", "shift"):
            if key in vars(node):
                fields[key] = vars(node)[key].tolist()[:4]
        lines.append(f"{node.name} = {type(node).__name__}{node.inputs} {graph.shapes[node.name]} {fields}")
    return "\n".join(lines)
