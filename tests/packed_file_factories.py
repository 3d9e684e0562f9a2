"""Small packed networks, and packed files written by hand: safetensors and checksums in a few naive lines."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnn_ablate.packed.file import graph_to_bytes
from bnn_ablate.packed.graph import (
    AbsMean,
    Activation,
    Add,
    Affine,
    BinaryConv,
    Concat,
    Conv,
    Graph,
    Multiply,
    Pool,
)


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def every_kind() -> Graph:
    """3 x 4 x 5 pixels through every kind of node, both kinds of weights, and counts of signs that fill no byte."""
    once = {"stride": (1, 1), "dilation": (1, 1)}
    scale = drawn(3)
    scale[0], scale[1] = -0.0, np.float32(1e-42)  # no arithmetic may touch the bits of a zero or a subnormal number
    nodes = (
        Affine(name="norm", inputs=("image",), scale=scale, shift=drawn(3, seed=1)),
        Activation(name="sign", inputs=("norm",), function="sign"),
        BinaryConv(
            name="binary", inputs=("sign",), signs=drawn(3, 3, 3, 3) < 0, border=-1, borders=(1, 1, 1, 1), **once
        ),
        AbsMean(name="magnitude", inputs=("norm",)),
        Conv(
            name="box",
            inputs=("magnitude",),
            weight=np.full((1, 1, 3, 3), 1 / 9, np.float32),
            bias=np.zeros(1, np.float32),
            border=-0.1,
            borders=(1, 1, 1, 1),
            groups=1,
            **once,
        ),
        Multiply(name="scaled", inputs=("binary", "box")),
        Add(name="sum", inputs=("scaled", "norm")),
        Concat(name="joined", inputs=("sum", "image")),
        Pool(
            name="pool",
            inputs=("joined",),
            kind="mean",
            kernel=(2, 2),
            divisor="inside",
            stride=(2, 2),
            borders=(0, 1, 0, 0),
        ),
        Conv(
            name="classifier",
            inputs=("pool",),
            weight=drawn(2, 6, 2, 3) < 0,
            bias=drawn(2),
            border=0.0,
            borders=(0, 0, 0, 0),
            groups=1,
            **once,
        ),
    )
    return Graph((3, 4, 5), nodes)


def smallest() -> Graph:
    """Two classes of one pixel with three channels: 6 signs and 2 floats."""
    weight = np.array([[True, False, True], [False, False, True]]).reshape(2, 3, 1, 1)
    bias = np.array([0.5, -2], np.float32)
    geometry = {"stride": (1, 1), "dilation": (1, 1), "borders": (0, 0, 0, 0), "groups": 1, "border": 0.0}
    return Graph((3, 1, 1), (Conv(name="fc", inputs=("image",), weight=weight, bias=bias, **geometry),))


@dataclass
class Parts:
    """A packed file taken apart; ``content`` puts it together, with checksums that fit whatever is in it."""

    document: Any
    header: dict[str, Any] = field(default_factory=dict)
    data: bytes = b""

    @classmethod
    def of(cls, content: bytes) -> Parts:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        document = json.loads(header.pop("__metadata__")["bnn_ablate"])
        return cls(document, header, content[8 + length :])

    def sealed(self) -> Parts:
        """With the checksums of what is there now, as far as there is something."""
        sums = self.document.get("checksums") if isinstance(self.document, dict) else None
        if isinstance(sums, dict):
            sums["graph"] = hashlib.sha256(spelled(self.document.get("graph")).encode()).hexdigest()
            pieces = [self.data[slice(*self.header[name]["data_offsets"])] for name in sorted(self.header)]
            sums["tensors"] = hashlib.sha256(b"".join(pieces)).hexdigest()
        return self

    @property
    def content(self) -> bytes:
        return assembled({"__metadata__": {"bnn_ablate": spelled(self.document)}, **self.header}, self.data)


def spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def assembled(header: Any, data: bytes) -> bytes:
    """A safetensors file; ``header`` is a value or a text."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + data


SMALL = graph_to_bytes(smallest())
ALL = graph_to_bytes(every_kind())
