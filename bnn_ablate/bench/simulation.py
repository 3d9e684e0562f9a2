"""A packed graph in floats: what a binary network costs where nothing knows of bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.packed.graph import (
    IMAGE,
    AbsMean,
    Activation,
    Add,
    Affine,
    BinaryConv,
    Concat,
    Conv,
    Edges,
    Graph,
    Multiply,
    Node,
    Pool,
    Window,
)


class Simulation(nn.Module):
    """Images (N, C, H, W) to logits (N, classes): the graph's operators as torch's, signs of weights taken before."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        for i, node in enumerate(graph.nodes):
            for name, values in _tensors(node).items():
                self.register_buffer(f"{name}_{i}", values)

    def forward(self, images: Tensor) -> Tensor:
        values = {IMAGE: images}
        for i, node in enumerate(self.graph.nodes):
            values[node.name] = self._computed(i, node, [values[name] for name in node.inputs])
        return values[self.graph.output].flatten(1)

    def _computed(self, i: int, node: Node, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        if isinstance(node, Affine):
            return torch.addcmul(self._of(i, "shift"), x, self._of(i, "scale"))
        if isinstance(node, Activation):
            return _activation(node.function, x)
        if isinstance(node, BinaryConv):
            return _convolved(node, node.dilation, _activation("sign", x), self._of(i, "weight"), None, node.border)
        if isinstance(node, Conv):
            weight, bias = self._of(i, "weight"), self._of(i, "bias")
            return _convolved(node, node.dilation, x, weight, bias, node.border, node.groups)
        if isinstance(node, Pool):
            return _pooled(node, x)
        if isinstance(node, AbsMean):
            return x.abs().mean(1, keepdim=True)
        if isinstance(node, Multiply):
            return x * inputs[1]
        if isinstance(node, Add):
            return x + inputs[1]
        assert isinstance(node, Concat)  # a new operator must not pass for one of these
        return torch.cat(inputs, 1)

    def _of(self, i: int, name: str) -> Tensor:
        buffer: Tensor = getattr(self, f"{name}_{i}")
        return buffer


def _tensors(node: Node) -> dict[str, Tensor]:
    if isinstance(node, Affine):
        return {name: torch.tensor(getattr(node, name)).view(-1, 1, 1) for name in ("scale", "shift")}
    if isinstance(node, BinaryConv):
        return {"weight": _weight(node.signs)}
    if isinstance(node, Conv):
        return {"weight": _weight(node.weight), "bias": torch.tensor(node.bias)}
    return {}


def _weight(weight: Any) -> Tensor:
    values = torch.tensor(np.where(weight, np.float32(-1), np.float32(1)) if weight.dtype == np.bool_ else weight)
    return values.contiguous(memory_format=torch.channels_last)


def _activation(function: str, x: Tensor) -> Tensor:
    if function == "sign":
        return torch.where(x >= 0, 1.0, -1.0)
    if function == "relu":
        return F.relu(x)
    clipped = x.clamp(-1, 1)
    return clipped if function == "clip" else clipped + 0.1 * (x - clipped)


def _equal_sides(borders: Edges) -> bool:
    return borders[0] == borders[1] and borders[2] == borders[3]


def _convolved(
    node: Window,
    dilation: tuple[int, int],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    border: float,
    groups: int = 1,
) -> Tensor:
    padding = (node.borders[2], node.borders[0])
    if not _equal_sides(node.borders) or (border != 0 and any(node.borders)):
        x, padding = F.pad(x, node.borders, value=border), (0, 0)
    return F.conv2d(x, weight, bias, node.stride, padding, dilation, groups)


def _pooled(node: Pool, x: Tensor) -> Tensor:
    left, _, top, _ = node.borders
    within = _equal_sides(node.borders) and 2 * top <= node.kernel[0] and 2 * left <= node.kernel[1]
    if node.kind == "max":
        if within:
            return F.max_pool2d(x, node.kernel, node.stride, (top, left))
        return F.max_pool2d(F.pad(x, node.borders, value=-torch.inf), node.kernel, node.stride)
    means = F.avg_pool2d(F.pad(x, node.borders), node.kernel, node.stride)
    if node.divisor == "kernel" or not any(node.borders):
        return means
    inside = F.avg_pool2d(F.pad(torch.ones_like(x[:1, :1]), node.borders), node.kernel, node.stride)
    return means / inside
