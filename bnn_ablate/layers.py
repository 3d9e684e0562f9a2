"""The binary convolution: the one place where the design axes of a layer meet.

y = f (W_b * X_b) [+ f K] with W_b = sign(W), X_b = sign(X), K = k_h k_w c_in; f = 1/2 and the offset f K belong to the
popcount output. W stays a float parameter, the latent weight, which the optimizer moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bnn_ablate.binarize import triangle
from bnn_ablate.design import Design, Grad, Init


class BinaryConv2d(nn.Module):
    """A convolution whose input and weight are signs: x (N, c_in, H, W) -> y (N, c_out, H', W').

    ``weight`` (c_out, c_in, k, k) is the latent weight. Each border is ``dilation`` (k - 1) / 2 pixels of the design's
    padding value, so that stride 1 keeps the image size. Scaling multiplies y by alpha_o, the mean of abs(W) over
    (c_in, k, k), and with ``xnor`` by the map K too: the channel mean of abs(x), zero-padded, box-filtered with
    1 / k^2 (Rastegari et al. 2016, arXiv 1603.05279). Unscaled outputs are whole numbers (halves with zero padding and
    popcount), exactly, in float32.

    Raises ValueError for an even kernel, whose border would be uneven, and RuntimeError when differentiated twice.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int, dilation: int, design: Design
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd: an even kernel has no equal borders")
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.dilation, self.padding = stride, dilation, dilation * (kernel_size - 1) // 2
        self.design = design
        self.weight = nn.Parameter(initial_weight((out_channels, in_channels, kernel_size, kernel_size), design.init))

    def forward(self, x: Tensor) -> Tensor:
        autocast = torch.is_autocast_enabled(x.device.type)
        dtype = torch.get_autocast_dtype(x.device.type) if autocast else x.dtype
        y: Tensor = _BinaryConvolution.apply(x, self.weight, self._arithmetic(dtype))  # type: ignore[no-untyped-call]
        scaling = self.design.scaling
        if scaling.name == "none":
            return y
        alpha = self.weight.abs().mean((1, 2, 3)).view(-1, 1, 1).to(dtype)
        y = y * (alpha if scaling.gradient else alpha.detach())
        if scaling.name == "channel":
            return y
        spread = self._spread(x).to(dtype)
        return y * (spread if scaling.gradient else spread.detach())

    def _spread(self, x: Tensor) -> Tensor:
        """The map K (N, 1, H', W')."""
        magnitude = x.abs().mean(1, keepdim=True)
        box = magnitude.new_full((1, 1, self.kernel_size, self.kernel_size), 1 / self.kernel_size**2)
        return F.conv2d(magnitude, box, stride=self.stride, padding=self.padding, dilation=self.dilation)

    def _arithmetic(self, dtype: torch.dtype) -> _Arithmetic:
        popcount = self.design.output.name == "popcount"
        return _Arithmetic(
            grad=self.design.grad,
            border={"minus_one": -1, "zero": 0, "plus_one": 1}[self.design.padding.name],
            factor=0.5 if popcount else 1.0,
            offset=self.in_channels * self.kernel_size**2 / 2 if popcount else 0.0,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            dtype=dtype,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"dilation={self.dilation}, padding={self.design.padding.name}, output={self.design.output.name}, "
            f"scaling={self.design.scaling.name}, grad={self.design.grad.name}, clip={self.design.grad.clip}"
        )


def initial_weight(shape: tuple[int, int, int, int], init: Init) -> Tensor:
    """Latent weights (c_out, c_in, k_h, k_w) of mean 0 from torch's generator; variances in :class:`design.Init`."""
    fan_out, fan_in = shape[0] * shape[2] * shape[3], shape[1] * shape[2] * shape[3]
    weight = torch.empty(shape)
    if init.name == "he_fan_in":
        return weight.normal_(0, math.sqrt(2 / fan_in))
    deviation = math.sqrt(2 / (fan_in + fan_out))
    if init.name == "xavier":
        return weight.normal_(0, deviation)
    # A standard normal cut off at two deviations has this deviation itself.
    wide = deviation / 0.87962566103423978
    return nn.init.trunc_normal_(weight, 0, wide, -2 * wide, 2 * wide)


@torch.no_grad()
def clamp_latent_(network: nn.Module, design: Design) -> None:
    """With latent=clamped, clamp every latent weight to +-grad.clip in place; with latent=free, do nothing."""
    if design.latent.name == "clamped":
        for layer in network.modules():
            if isinstance(layer, BinaryConv2d):
                layer.weight.clamp_(-design.grad.clip, design.grad.clip)


@torch.no_grad()
def frozen_share(network: nn.Module) -> float:
    """Share of latent weights with abs(w) > 1, to which grad=approxsign_both gives no gradient.

    Raises ValueError if the network has no binary convolution.
    """
    weights = [layer.weight for layer in network.modules() if isinstance(layer, BinaryConv2d)]
    if not weights:
        raise ValueError("the network has no binary convolution")
    frozen = torch.stack([(weight.abs() > 1).sum() for weight in weights]).sum()
    return frozen.item() / sum(weight.numel() for weight in weights)


@dataclass(frozen=True)
class _Arithmetic:
    """y = factor (W_b * X_b) + offset, and how its gradient is taken."""

    grad: Grad
    border: int
    factor: float
    offset: float
    stride: int
    padding: int
    dilation: int
    dtype: torch.dtype

    @property
    def code(self) -> tuple[int, int]:
        """(q, r) with X_b = q a + r, where a is what the convolution reads: a = 0 is then the border's value.

        Borders of -1: a = (x >= 0), X_b = 2 a - 1. Borders of +1: a = (x < 0), X_b = 1 - 2 a. Borders of 0: a = X_b.
        """
        return {-1: (2, -1), 0: (1, 0), 1: (-2, 1)}[self.border]


class _BinaryConvolution(torch.autograd.Function):
    """W_b * X_b without a padded copy: with X_b = q a + r, W_b * X_b = (q W_b) * a + r sum(W_b), a padded by zeros.

    All of these are whole numbers below 2^24, so float32 loses nothing.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, how: _Arithmetic) -> Tensor:
        ctx.how = how
        ctx.save_for_backward(x, weight)
        q, r = how.code
        w_b = _signs(weight, how.dtype)
        bias = w_b.sum((1, 2, 3)).mul_(how.factor * r).add_(how.offset)
        a = _activation(x, how)
        return torch.ops.aten.convolution(
            a, w_b.mul_(how.factor * q), bias, [how.stride] * 2, [how.padding] * 2, [how.dilation] * 2, False, [0, 0], 1
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        how: _Arithmetic = ctx.how
        wants_x, wants_weight, _ = ctx.needs_input_grad
        q, r = how.code
        g_x, g_w, g_b = torch.ops.aten.convolution_backward(
            gradient,
            _activation(x, how),
            _signs(weight, how.dtype).mul_(how.factor),
            [weight.shape[0]],
            [how.stride] * 2,
            [how.padding] * 2,
            [how.dilation] * 2,
            False,
            [0, 0],
            1,
            [wants_x, wants_weight, wants_weight],
        )
        if wants_x:
            g_x.mul_(x.abs() <= how.grad.clip if how.grad.name == "ste" else triangle(x, how.grad.clip))
        if wants_weight:
            g_w = g_w.mul_(q * how.factor).add_(g_b.view(-1, 1, 1, 1), alpha=r * how.factor)
            if how.grad.name == "approxsign_both":
                g_w.mul_(triangle(weight, 1.0))
        return g_x, g_w, None


def _signs(x: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.ge(x, 0, out=torch.empty_like(x)).mul_(2).sub_(1).to(dtype)


def _activation(x: Tensor, how: _Arithmetic) -> Tensor:
    if how.border == 0:
        return _signs(x, how.dtype)
    return (x >= 0 if how.border == -1 else x < 0).to(how.dtype)
