"""Parameters, bits and multiply-accumulates (MACs) of a network, counted as the authors' tool counts them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bnn_ablate.float_layers import SameConv2d
from bnn_ablate.layers import BinaryConv2d, QuantizedConv2d


@dataclass(frozen=True)
class Cost:
    """What a network stores and computes. Source of the counting rules: BMXNet v2, ``mxnet/visualization.py``.

    ``params`` = ``params_binary`` (latent weights) + ``params_float``. A BatchNorm counts two a
    channel, also where its scale is fixed; ``running_stats`` (its means and variances) are in none of the others.
    MACs are those of convolutions for one image (a binary classifier is one of 1x1): Linear, BatchNorm, pooling and
    scaling factors are not counted. Binary MACs are those of binary weights with binary activations.
    """

    params: int
    params_binary: int
    params_float: int
    running_stats: int
    macs_float: int
    macs_binary: int

    @property
    def size_bits(self) -> int:
        """1 bit a binary weight, 32 bits each other parameter."""
        return self.params_binary + 32 * self.params_float

    @property
    def size_mib(self) -> float:
        """``size_bits`` in units of 2^20 bytes, which papers on binary networks print as MB."""
        return self.size_bits / 8 / 2**20

    @property
    def macs_combined(self) -> float:
        """64 binary MACs count as one, the width of an XNOR and a popcount."""
        return self.macs_float + self.macs_binary / 64


def count_cost(network: nn.Module, image_shape: tuple[int, int, int]) -> Cost:
    """The cost of ``network`` for one image (C, H, W), found by a forward pass of shapes; the network is only read."""
    quantized = [layer for layer in network.modules() if isinstance(layer, QuantizedConv2d)]
    binary = sum(layer.weight.numel() for layer in quantized if layer.binary_weights)
    params = sum(parameter.numel() for parameter in network.parameters())
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    macs = {True: 0, False: 0}

    # A copy that shares all tensors. MACs depend on the height and width of what a convolution reads and on its weight,
    # so one channel stands for all. (The meta device would do too, but its first pass loads torch's compiler: seconds.)
    tensors = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    shapes = deepcopy(network, tensors)
    for layer in shapes.modules():
        if isinstance(layer, QuantizedConv2d | nn.Conv2d):
            layer.forward = partial(_one_channel, layer, macs)  # type: ignore[method-assign]
        elif isinstance(layer, nn.BatchNorm2d | nn.Linear):
            layer.forward = _unchanged  # type: ignore[method-assign, assignment]
    with torch.no_grad():
        shapes(torch.zeros(1, *image_shape))
    return Cost(
        params=params,
        params_binary=binary,
        params_float=params - binary,
        running_stats=sum(2 * layer.num_features for layer in norms if layer.track_running_stats),
        macs_float=macs[False],
        macs_binary=macs[True],
    )


def _one_channel(layer: QuantizedConv2d | nn.Conv2d, macs: dict[bool, int], images: Tensor) -> Tensor:
    """One channel of the height and width that a convolution's output has; its MACs are counted."""
    height, width = images.shape[2:]
    if isinstance(layer, QuantizedConv2d):
        left, right, top, bottom = layer.borders(height, width)
        stride, dilation = (layer.stride, layer.stride), layer.dilation
    else:
        stride, dilation = (layer.stride[0], layer.stride[1]), layer.dilation[0]
        if isinstance(layer, SameConv2d):
            left, right, top, bottom = layer.borders(height, width)
        else:
            assert not isinstance(layer.padding, str)  # none of ours is "same" in torch's sense
            top = bottom = layer.padding[0]
            left = right = layer.padding[1]
    reach = [dilation * (side - 1) for side in layer.weight.shape[2:]]
    rows = (height + top + bottom - reach[0] - 1) // stride[0] + 1
    columns = (width + left + right - reach[1] - 1) // stride[1] + 1
    # Each output value takes one MAC for each weight of its filter.
    macs[isinstance(layer, BinaryConv2d)] += layer.weight.numel() * rows * columns
    return images.new_zeros(1, 1, rows, columns)


def _unchanged(images: Tensor) -> Tensor:
    return images
