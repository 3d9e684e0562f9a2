"""One binary convolution as one differentiable step: what it reads, what it keeps, and what its backward computes.

Composed of separate operations a binary convolution keeps three float tensors an activation and writes as many more;
here it keeps a byte for the straight-through estimator (x itself for the others), and copies nothing to pad it where
the borders are equal on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from bnn_ablate.binarize import EVERYWHERE, Slope, encoded, nonnegative, nonnegative_bytes, portion, signs
from bnn_ablate.borders import Borders, equal_sides

#: Values of the larger of a convolution's input and output handled at a time in its backward on a CPU. Measured on
#: ResNetE18 at batch 128: 0.91 of the float network's step; 0.93 with a quarter of it, 0.96 with everything at once.
CONVOLUTION_PORTION = 2**20


@dataclass(frozen=True)
class Arithmetic:
    """y = factor (W_b * X_b) + offset in ``dtype``, and how its gradient is taken.

    The signs are read as X_b = q a + r such that the border's value is a = 0, and padding costs nothing:
    W_b * X_b = q (W_b * a) + r sum(W_b), with a = (x >= 0), (x < 0) or X_b where the border is -1, +1 or 0. All sums
    are whole numbers below 2^24, so float32 loses nothing. Narrower floats would; their a is X_b, and its border the
    border's value. ``borders`` are pixels (left, right, top, bottom).
    """

    slope: Slope
    weight_slope: Slope
    border: int
    factor: float
    offset: float
    stride: int
    borders: Borders
    dilation: int
    dtype: torch.dtype

    @property
    def narrow(self) -> bool:
        return self.dtype not in (torch.float32, torch.float64)

    @property
    def q(self) -> int:
        return 1 if self.narrow else {-1: 2, 0: 1, 1: -2}[self.border]

    @property
    def r(self) -> int:
        return 0 if self.narrow else self.border

    @property
    def coded(self) -> bool:
        """Whether the slope needs no more of x than a bit, so that the backward keeps codes (see :func:`encoded`)."""
        return self.slope.shape == "box"

    @property
    def padded_before(self) -> bool:
        """Whether the border is written around a; else the convolution adds it, which it can for equal zeros."""
        return not equal_sides(self.borders) or (self.narrow and self.border != 0 and any(self.borders))

    @property
    def geometry(self) -> tuple[list[int], list[int], list[int]]:
        """Stride, padding and dilation as torch takes them."""
        left, _, top, _ = self.borders
        return [self.stride] * 2, [0, 0] if self.padded_before else [top, left], [self.dilation] * 2

    def operand(self, saved: Tensor) -> Tensor:
        """a in ``dtype``, padded where it is ``padded_before``, from what the backward keeps: codes or x itself."""
        if self.coded:
            a = torch.empty_like(saved, dtype=self.dtype).copy_(saved & 1)
        else:
            a = nonnegative(saved).to(self.dtype)
        if self.q == 1:
            a.mul_(2).sub_(1)
        elif self.q == -2:
            a.neg_().add_(1)
        return F.pad(a, self.borders, value=self.border if self.narrow else 0) if self.padded_before else a

    def window(self, saved: Tensor) -> Tensor:
        """The slope of sign by which ``g_a`` is multiplied, of the shape of ``saved``, times ``window_size``."""
        if self.coded:
            return torch.empty_like(saved, dtype=self.dtype).copy_(saved & 2)
        return self.slope.at(saved)

    @property
    def window_size(self) -> float:
        return 2.0 if self.coded else 1.0


def binary_convolution(x: Tensor, weight: Tensor, how: Arithmetic) -> Tensor:
    """y (N, c_out, H', W') in ``how.dtype`` from x (N, c_in, H, W) and latent weights (c_out, c_in, k, k).

    Raises RuntimeError when differentiated twice.
    """
    return _BinaryConvolution.apply(x, weight, how)  # type: ignore[no-untyped-call]


class _BinaryConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, how: Arithmetic) -> Tensor:
        saved = encoded(x, how.slope.clip) if how.coded else x
        ctx.how, ctx.x_dtype = how, x.dtype
        ctx.save_for_backward(saved, weight)
        w_b = signs(weight)
        bias = w_b.sum((1, 2, 3)).mul_(how.factor * how.r).add_(how.offset)
        floats_only = x.device.type != "cpu" or how.dtype != torch.float32 or torch.compiler.is_compiling()
        if not floats_only and whole_number_convolution_works():
            bits = saved & 1 if how.coded else nonnegative_bytes(x)
            return _whole_number_convolution(bits, w_b, bias, how)
        w_b = w_b.mul_(how.factor * how.q).to(how.dtype)
        return torch.ops.aten.convolution(how.operand(saved), w_b, bias.to(how.dtype), *how.geometry, False, [0, 0], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        saved, weight = ctx.saved_tensors
        how: Arithmetic = ctx.how
        wants_x, wants_weight, _ = ctx.needs_input_grad
        w_b = signs(weight, how.factor / how.window_size).to(how.dtype)
        g_x = torch.empty_like(saved, dtype=ctx.x_dtype)
        g_w: Tensor | None = None
        g_sum: Tensor | None = None
        images = portion(saved if saved.numel() > gradient.numel() else gradient, CONVOLUTION_PORTION)
        left, _, top, _ = how.borders if how.padded_before else (0, 0, 0, 0)
        for part, g_part, out in zip(*(torch.split(t, images) for t in (saved, gradient, g_x)), strict=True):
            g_a, g_w_part, g_sum_part = torch.ops.aten.convolution_backward(
                g_part,
                how.operand(part),
                w_b,
                [w_b.shape[0]],
                *how.geometry,
                False,
                [0, 0],
                1,
                [wants_x, wants_weight, wants_weight],
            )
            if wants_x:
                height, width = part.shape[2:]
                g_a = g_a[:, :, top : top + height, left : left + width]
                torch.mul(g_a, how.window(part), out=out)
            if wants_weight:
                g_w = g_w_part if g_w is None else g_w.add_(g_w_part)
                g_sum = g_sum_part if g_sum is None else g_sum.add_(g_sum_part)
        if g_w is not None and g_sum is not None:
            g_w.mul_(how.q * how.factor).add_(g_sum.view(-1, 1, 1, 1), alpha=how.r * how.factor)
            if how.weight_slope != EVERYWHERE:
                g_w.mul_(how.weight_slope.at(weight))
        return g_x if wants_x else None, g_w, None


@cache
def whole_number_convolution_works() -> bool:
    """Whether this torch on this CPU convolves bytes: tried once, on a small case whose float result is known.

    The results are the same bits as of the float convolution; bytes take about half its time.
    """
    how = Arithmetic(
        slope=EVERYWHERE,
        weight_slope=EVERYWHERE,
        border=0,
        factor=1.0,
        offset=0.0,
        stride=1,
        borders=(1, 1, 1, 1),
        dilation=1,
        dtype=torch.float32,
    )
    x = torch.linspace(-1, 1, 2 * 33 * 5 * 5).view(2, 33, 5, 5).sin_().mul_(1e3).sin_()
    w_b = signs(x.view(10, 33, 5, 1).expand(10, 33, 5, 5)[:, :, :3, :3])
    expected = F.conv2d(signs(x), w_b, padding=1)
    try:
        return torch.equal(_whole_number_convolution(nonnegative_bytes(x), w_b, torch.zeros(10), how), expected)
    except (AttributeError, RuntimeError):
        return False


def _whole_number_convolution(bits: Tensor, w_b: Tensor, bias: Tensor, how: Arithmetic) -> Tensor:
    """factor q (W_b * a) + bias by oneDNN in whole numbers, from bits (x >= 0) of one byte each; float32."""
    zero_point = 0
    if how.q == 1:
        bits, zero_point = bits.mul_(2), 1
    elif how.q == -2:
        bits = bits.bitwise_xor_(1)
    if how.padded_before:
        bits = F.pad(bits, how.borders, value=zero_point)
    scales = bias.new_full(bias.shape, how.factor * how.q)
    zero_points = torch.zeros_like(bias, dtype=torch.long)
    ops = torch.ops.onednn
    packed = ops.qconv_prepack(w_b.to(torch.int8), scales, 1.0, zero_point, *how.geometry, 1, list(bits.shape))
    return ops.qconv2d_pointwise(
        bits,
        1.0,
        zero_point,
        packed,
        scales,
        zero_points,
        bias,
        *how.geometry,
        1,
        1.0,
        0,
        torch.float32,
        "none",
        [],
        "",
    )
