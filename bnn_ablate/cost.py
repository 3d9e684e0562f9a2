"""Parameters, bits and multiply-accumulates (MACs) of a network, counted as the authors' tool counts them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnn_ablate.layers import BinaryConv2d


@dataclass(frozen=True)
class Cost:
    """What a network stores and computes. Source of the counting rules: BMXNet v2, ``mxnet/visualization.py``.

    ``params`` = ``params_binary`` (latent weights of binary convolutions) + ``params_float``. A BatchNorm counts two a
    channel, also where its scale is fixed; ``running_stats`` (its means and variances) are in none of the others.
    MACs are those of convolutions for one image: Linear, BatchNorm, pooling and scaling factors are not counted.
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
    """The cost of ``network`` for one image (C, H, W), found by a forward pass of shapes without any arithmetic.

    The network given is only read. Raises what its forward raises for such an image.
    """
    binary = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, BinaryConv2d))
    params = sum(parameter.numel() for parameter in network.parameters())
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    macs = {True: 0, False: 0}

    def counter(is_binary: bool) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def count(layer: nn.Module, images: tuple[Tensor, ...], out: Tensor) -> None:
            # Each output value takes one MAC for each weight of its filter, whatever stride, dilation or groups.
            assert isinstance(layer.weight, Tensor)
            macs[is_binary] += out.numel() * layer.weight[0].numel()

        return count

    shapes = _without_data(network).eval()
    for layer in shapes.modules():
        if isinstance(layer, BinaryConv2d | nn.Conv2d):
            layer.register_forward_hook(counter(isinstance(layer, BinaryConv2d)))
    with torch.no_grad():
        shapes(torch.empty(1, *image_shape, device="meta"))
    return Cost(
        params=params,
        params_binary=binary,
        params_float=params - binary,
        running_stats=sum(2 * layer.num_features for layer in norms if layer.track_running_stats),
        macs_float=macs[False],
        macs_binary=macs[True],
    )


def _without_data(network: nn.Module) -> nn.Module:
    """A copy of the modules whose tensors have shapes and no memory."""
    tensors: dict[int, Tensor] = {id(p): nn.Parameter(p.detach().to("meta")) for p in network.parameters()}
    tensors |= {id(buffer): buffer.to("meta") for buffer in network.buffers()}
    return deepcopy(network, tensors)
