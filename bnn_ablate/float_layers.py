"""The full-precision layers of which stems, shortcuts and transitions are made."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.borders import Side, borders_2d


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1, side: Side = "symmetric"
) -> nn.Conv2d:
    """A full-precision convolution without bias, borders of zeros, He-normal weights of variance 2 / fan_in."""
    if side == "same" and stride > 1:  # at stride 1 an odd kernel's borders are even either way
        layer: nn.Conv2d = SameConv2d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)
    else:
        padding = kernel_size // 2
        layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=padding, groups=groups, bias=False)
    nn.init.normal_(layer.weight, 0, math.sqrt(2 / layer.weight[0].numel()))
    return layer


class SameConv2d(nn.Conv2d):
    """A convolution of an odd square kernel with TensorFlow's borders of zeros ("same")."""

    def borders(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Border pixels (left, right, top, bottom)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        return borders_2d(height, width, kernel=kernel, stride=stride, dilation=1, side="same")

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.borders(*x.shape[2:])))


class SameMaxPool2d(nn.MaxPool2d):
    """Max pooling over an odd square with TensorFlow's borders ("same"), which hold no value."""

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.kernel_size, int)  # as they were given
        assert isinstance(self.stride, int)
        height, width = x.shape[2:]
        edges = borders_2d(height, width, kernel=self.kernel_size, stride=self.stride, dilation=1, side="same")
        return super().forward(F.pad(x, edges, value=-math.inf))
