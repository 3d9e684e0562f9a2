"""Sign with sign(0) = +1, and the slopes that stand in for its derivative, which is zero almost everywhere.

:func:`sign` and :func:`binary_weight` are the definitions, as ordinary differentiable functions. The binary
convolution of :mod:`bnn_ablate.convolution` is the same written as one step, from the pieces below them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bnn_ablate.design import Estimator, Grad, SwishSign, Weights

#: Values handled at a time on a CPU: what is written and read again stays in its cache, and short-lived tensors stay
#: below the size from which the C library fetches fresh pages for each, which costs more than the arithmetic.
PORTION = 2**18


def sign(x: Tensor, grad: Estimator, *, progress: float) -> Tensor:
    """Binarise activations of any shape: -1 where x < 0, else +1 (so sign(0) = sign(-0.0) = +1).

    Backward: the gradient times the slope of ``grad`` at x, see :func:`activation_slope`; ``progress`` is epoch /
    epochs. Raises RuntimeError when differentiated twice.
    """
    return _Sign.apply(x, activation_slope(grad, progress))  # type: ignore[no-untyped-call]


def binary_weight(weight: Tensor, grad: Estimator, weights: Weights, *, progress: float) -> Tensor:
    """Binarise latent weights of any shape with the same sign; backward by :func:`weight_slope`.

    Raises RuntimeError when differentiated twice.
    """
    return _Sign.apply(weight, weight_slope(grad, weights, progress))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Slope:
    """The factor of sign's gradient as a function of x; 0 where abs(x) > ``clip``, the bound itself being inside.

    ``box``: 1. ``triangle``: 2 - 2 abs(x), and 0 where that is negative. ``swish``: b (2 - b x tanh(b x / 2)) /
    (1 + cosh(b x)), b = ``steepness``. ``tanh``: max(1 / t, 1) t (1 - tanh^2(t x)), t = ``steepness``.
    """

    shape: Literal["box", "triangle", "swish", "tanh"]
    clip: float
    steepness: float

    def at(self, x: Tensor) -> Tensor:
        """The slope at x, of x's shape, dtype and memory format; finite for infinite x."""
        if self.shape == "box":
            return x.abs().le_(self.clip)
        if self.shape == "triangle":
            # 2 - 2 abs(x) is negative exactly where abs(x) > 1.
            slope, own_clip = x.abs().mul_(-2).add_(2).clamp_(min=0), 1.0
        else:
            slope, own_clip = self._swish(x) if self.shape == "swish" else self._tanh(x), math.inf
        return slope.mul_(x.abs().le_(self.clip)) if self.clip < own_clip else slope

    # cosh overflows in float32 where b x > 89, and 1 - tanh^2 has no correct digit left long before. With
    # e = exp(-2 abs(v)) nothing does: tanh(abs(v)) = (1 - e) / (1 + e), 1 - tanh^2(v) = 4 e / (1 + e)^2.

    def _tanh(self, x: Tensor) -> Tensor:
        e = x.abs().mul_(-2 * self.steepness).exp_()
        height = max(1 / self.steepness, 1.0) * self.steepness
        return (e + 1).pow_(-2).mul_(e).mul_(4 * height)

    def _swish(self, x: Tensor) -> Tensor:
        # v = b x / 2, and 1 + cosh(2 v) = 2 cosh^2(v): b (2 - 2 v tanh(v)) 2 e / (1 + e)^2. Beyond 1000, where e is 0
        # in any dtype, an infinite v would make it 0 times infinity.
        v = x.abs().mul_(self.steepness / 2).clamp_(max=1000)
        e = (v * -2).exp_()
        bracket = (1 - e).div_(e + 1).mul_(v).neg_().add_(1)
        return (e + 1).pow_(-2).mul_(e).mul_(bracket).mul_(4 * self.steepness)


#: The straight-through estimator without a window.
EVERYWHERE = Slope(shape="box", clip=math.inf, steepness=1.0)


def activation_slope(grad: Estimator, progress: float) -> Slope:
    """The slope of sign on activations after the share ``progress`` of the training, in [0, 1).

    ``ste``: box (Hubara et al. 2016, arXiv 1602.02830). ``approxsign``: triangle (Liu et al. 2018, arXiv 1808.00278;
    Bethge et al. 2019, arXiv 1906.08637, equation 3). ``swishsign``: swish (Darabi et al. 2018, arXiv 1812.11800).
    ``ede``: tanh of t = t_min (t_max / t_min)^progress (Qin et al. 2020, arXiv 1909.10788). All inside ``grad.clip``.
    """
    if isinstance(grad, Grad):
        return Slope(shape="box" if grad.name == "ste" else "triangle", clip=grad.clip, steepness=1.0)
    clip = math.inf if grad.clip is None else grad.clip
    if isinstance(grad, SwishSign):
        return Slope(shape="swish", clip=clip, steepness=grad.beta)
    return Slope(shape="tanh", clip=clip, steepness=grad.t_min * (grad.t_max / grad.t_min) ** progress)


def weight_slope(grad: Estimator, weights: Weights, progress: float) -> Slope:
    """The slope of sign on latent weights, which ``grad.clip`` does not touch.

    1 everywhere, but that of activations for the estimators named ``_both``, and the window abs(w) <= 1 for
    weights=magnitude_aware (Liu et al. 2018, arXiv 1808.00278), which brings its factor alpha elsewhere.
    """
    if weights.name == "magnitude_aware":
        return Slope(shape="box", clip=1.0, steepness=1.0)
    if grad.name.endswith("_both"):
        return replace(activation_slope(grad, progress), clip=math.inf)
    return EVERYWHERE


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Slope) -> Tensor:
        ctx.slope = slope
        if slope.shape != "box":
            ctx.save_for_backward(x)
        elif slope != EVERYWHERE:
            ctx.save_for_backward(x.abs() <= slope.clip)
        return signs(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if not ctx.saved_tensors:
            return gradient, None
        (saved,) = ctx.saved_tensors
        return gradient * (saved if ctx.slope.shape == "box" else ctx.slope.at(saved)), None


def nonnegative(x: Tensor) -> Tensor:
    """1 where x >= 0, else 0, as a tensor of x's shape, dtype and memory format."""
    if torch.compiler.is_compiling():  # an ``out`` would end the compiler's graph here
        return (x >= 0).to(x.dtype)
    # One vectorised pass; x >= 0 gives a bool tensor instead, several times slower to make and to convert.
    return torch.ge(x, 0, out=torch.empty_like(x))


def signs(x: Tensor, size: float = 1.0) -> Tensor:
    """``size`` where x >= 0, else -``size``, as a tensor of x's shape, dtype and memory format."""
    return nonnegative(x).mul_(2 * size).sub_(size)


def encoded(x: Tensor, clip: float) -> Tensor:
    """All that sign and its straight-through gradient need of x, one uint8 a value.

    Bit 0 is x >= 0, bit 1 is abs(x) <= clip. Shape and memory format are x's (N, C, H, W).
    """
    # To int8 and not uint8: only that conversion of floats is vectorised.
    code = torch.empty_like(x, dtype=torch.int8)
    images = portion(x, PORTION)
    for values, out in zip(torch.split(x, images), torch.split(code, images), strict=True):
        out.copy_(nonnegative(values).add_(values.abs().le_(clip), alpha=2))
    return code.view(torch.uint8)


def portion(x: Tensor, values: int) -> int:
    """How many images of x (N, ...) hold about ``values`` values: at least one, and all where no cache is at stake."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or x.numel() <= values:
        return max(1, x.shape[0])
    return max(1, values * x.shape[0] // x.numel())
