"""What tests of packed files ask again and again: that two graphs are the same, and why a file is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bnn_ablate.packed.file import PackedFileError, graph_from_bytes
from bnn_ablate.packed.graph import Graph, attributes


def assert_same(first: Graph, second: Graph) -> None:
    """Equal in every type and every bit."""
    assert first.image_shape == second.image_shape
    assert len(first.nodes) == len(second.nodes)
    for a, b in zip(first.nodes, second.nodes, strict=True):
        assert (type(a), a.name, a.inputs) == (type(b), b.name, b.inputs)
        assert list(attributes(a)) == list(attributes(b))
        for value, other in zip(attributes(a).values(), attributes(b).values(), strict=True):
            assert type(value) is type(other)
            if isinstance(value, np.ndarray):
                assert (value.dtype, value.shape, value.tobytes()) == (other.dtype, other.shape, other.tobytes())
                assert other.flags.c_contiguous
                assert other.flags.aligned
                assert other.flags.writeable
            else:
                assert repr(value) == repr(other)


def refusal(content: bytes) -> str:
    """Why ``content`` is refused, behind the file's name."""
    with pytest.raises(PackedFileError) as caught:
        graph_from_bytes(content, "net.safetensors")
    message = str(caught.value)
    assert message.startswith("net.safetensors ")
    assert "\n" not in message
    return message.removeprefix("net.safetensors ")
