"""One binary convolution as one differentiable step: what it reads, what it keeps, and what its backward computes.

On a CPU it works on bits: signs and the straight-through window are packed from x in one pass and are all that is
kept, the forward counts bits, and both gradients look sums up (:mod:`bnn_ablate.packed.training`). ``forward="float"``
convolves floats instead, unpacked from the same bits; its outputs are the same and everything else is shared. On other
devices, in float64 and under torch.compile the step consists of torch's operations and keeps a byte a value for the
straight-through estimator. The other estimators keep x itself: their slope needs it to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from bnn_ablate.binarize import EVERYWHERE, PORTION, Slope, encoded, nonnegative, portion, signs
from bnn_ablate.borders import Borders, equal_sides
from bnn_ablate.packed.training import PackedConvolution, Signs, has_gradients

#: Values of the larger of a convolution's input and output that torch's convolutions handle at a time on a CPU.
#: Measured on ResNetE18 at batch 128: 0.91 of the float network's step, 0.93 with a quarter of it, 0.96 at once.
CONVOLUTION_PORTION = 2**20

#: How sums of a forward are computed on a CPU: by counting bits, or as a convolution of floats.
BinaryForward = Literal["packed", "float"]


@dataclass(frozen=True)
class Arithmetic:
    """y = factor (W_b * X_b) + offset in ``dtype``, and how its gradient is taken.

    On a CPU sums are those of float32, and y is rounded to ``dtype`` once. Elsewhere, where the convolution adds
    borders of zeros, the signs are read as X_b = q a + r such that the border's value is a = 0, and padding costs
    nothing: W_b * X_b = q (W_b * a) + r sum(W_b), with a = (x >= 0), (x < 0) or X_b where the border is -1, +1 or 0.
    All sums are whole numbers below 2^24, so float32 loses nothing. Narrower floats would; their a is X_b, and its
    border the border's value. ``borders`` are pixels (left, right, top, bottom).
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
    forward: BinaryForward

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
    def window_clip(self) -> float | None:
        """The bound of the straight-through window that the backward keeps as bits; None where it keeps none."""
        return self.slope.clip if self.coded and self.slope != EVERYWHERE else None

    def on_bits(self, x: torch.Size, weight: torch.Size) -> PackedConvolution:
        """The convolution of x (N, c_in, H, W) by the kernels of the CPU."""
        return PackedConvolution(
            x, weight, stride=self.stride, dilation=self.dilation, borders=self.borders, border=self.border
        )

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
    wide = torch.float64 in (x.dtype, weight.dtype, how.dtype)
    on_cpu = x.device.type == weight.device.type == "cpu"
    on_bits = on_cpu and not wide and not torch.compiler.is_compiling()
    step = _OnBits if on_bits else _OnFloats
    return step.apply(x, weight, how)  # type: ignore[no-untyped-call]


class _OnBits(torch.autograd.Function):
    """The step on a CPU. y and the gradient of x are channels_last.

    Outside of the window the gradient of x is 0, whatever comes: also where it is no number.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, how: Arithmetic) -> Tensor:
        convolution = how.on_bits(x.shape, weight.shape)
        kept = convolution.signs(x.float(), how.window_clip if ctx.needs_input_grad[0] else None)
        ctx.how, ctx.convolution, ctx.x_dtype = how, convolution, x.dtype
        ctx.save_for_backward(weight, kept.bits, kept.inside, None if how.coded else x)
        if how.forward == "packed":
            y = convolution.forward(kept, weight.float(), factor=how.factor, offset=how.offset)
        else:
            y = float_forward(convolution, kept, weight.float(), how)
        return y.to(how.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weight, bits, inside, x = ctx.saved_tensors
        how: Arithmetic = ctx.how
        convolution: PackedConvolution = ctx.convolution
        kept = Signs(bits, inside)
        gradient = gradient.float()
        wants_x, wants_weight, _ = ctx.needs_input_grad
        g_x, g_w = gradients(convolution, gradient, kept, weight.float(), how, wants_x, wants_weight)
        if g_x is not None and x is not None:
            images = portion(x, PORTION)
            for part, values in zip(torch.split(g_x, images), torch.split(x, images), strict=True):
                part.mul_(how.slope.at(values.float()))
        if g_w is not None and how.weight_slope != EVERYWHERE:
            g_w.mul_(how.weight_slope.at(weight))
        g_x = None if g_x is None else g_x.to(ctx.x_dtype)
        return g_x, None if g_w is None else g_w.to(weight.dtype), None


def float_forward(convolution: PackedConvolution, kept: Signs, weight: Tensor, how: Arithmetic) -> Tensor:
    """y as a convolution of floats, from signs with their borders; float32 under autocast too."""
    w_b = signs(weight, how.factor)
    offset = weight.new_full((weight.shape[0],), how.offset)
    with torch.autocast("cpu", enabled=False):
        parts = [
            F.conv2d(part.values(some), w_b, offset, stride=how.stride, dilation=how.dilation)
            for part, some in convolution.portions(kept, CONVOLUTION_PORTION)
        ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def gradients(
    convolution: PackedConvolution,
    gradient: Tensor,
    kept: Signs,
    weight: Tensor,
    how: Arithmetic,
    wants_x: bool,
    wants_weight: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients by X_b, inside of the window that was kept, and by W_b; float32, None where not wanted."""
    if not has_gradients(convolution.kernel):
        return _float_gradients(convolution, gradient, kept, weight, how, wants_x, wants_weight)
    g_w = convolution.grad_weight(gradient, kept, factor=how.factor) if wants_weight else None
    return convolution.grad_input(gradient, kept, weight, factor=how.factor) if wants_x else None, g_w


def _float_gradients(
    convolution: PackedConvolution,
    gradient: Tensor,
    kept: Signs,
    weight: Tensor,
    how: Arithmetic,
    wants_x: bool,
    wants_weight: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Both gradients by torch's convolutions of floats."""
    w_b = signs(weight, how.factor)
    g_x: list[Tensor] = []
    g_w: Tensor | None = None
    images = 0
    for part, some in convolution.portions(kept, CONVOLUTION_PORTION):
        g_part = gradient[images : images + len(some.bits)]
        images += len(some.bits)
        g_a, g_w_part, _ = torch.ops.aten.convolution_backward(
            g_part,
            part.values(some),
            w_b,
            None,
            [how.stride] * 2,
            [0, 0],
            [how.dilation] * 2,
            False,
            [0, 0],
            1,
            [wants_x, wants_weight, False],
        )
        if wants_x:
            g_x.append(part.within(g_a, some))
        if wants_weight:
            g_w = g_w_part if g_w is None else g_w.add_(g_w_part)
    return torch.cat(g_x) if wants_x else None, g_w.mul_(how.factor) if g_w is not None else None


@contextmanager
def whole_number_products() -> Iterator[None]:
    """Let cuDNN use its TF32 units for a float32 convolution of signs, which is then faster and exact.

    TF32 keeps 11 bits of an operand, more than 0, +-1/2, +-1 and +-2 need, and adds in float32. Without it cuDNN may
    choose an algorithm that goes by way of a Fourier or Winograd transform and gives no whole numbers.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class _OnFloats(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, how: Arithmetic) -> Tensor:
        saved = encoded(x, how.slope.clip) if how.coded else x
        ctx.how, ctx.x_dtype = how, x.dtype
        ctx.save_for_backward(saved, weight)
        w_b = signs(weight)
        bias = w_b.sum((1, 2, 3)).mul_(how.factor * how.r).add_(how.offset)
        w_b = w_b.mul_(how.factor * how.q).to(how.dtype)
        # torch.compile traces no such switch
        with nullcontext() if torch.compiler.is_compiling() else whole_number_products():
            return torch.ops.aten.convolution(
                how.operand(saved), w_b, bias.to(how.dtype), *how.geometry, False, [0, 0], 1
            )

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
                if torch.compiler.is_compiling():  # an ``out`` would end the compiler's graph here
                    out.copy_(g_a * how.window(part))
                else:
                    torch.mul(g_a, how.window(part), out=out)
            if wants_weight:
                g_w = g_w_part if g_w is None else g_w.add_(g_w_part)
                g_sum = g_sum_part if g_sum is None else g_sum.add_(g_sum_part)
        if g_w is not None and g_sum is not None:
            g_w.mul_(how.q * how.factor).add_(g_sum.view(-1, 1, 1, 1), alpha=how.r * how.factor)
            if how.weight_slope != EVERYWHERE:
                g_w.mul_(how.weight_slope.at(weight))
        return g_x if wants_x else None, g_w, None
