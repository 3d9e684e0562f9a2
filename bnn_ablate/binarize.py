"""Sign with sign(0) = +1, and the gradients that stand in for its derivative, which is zero almost everywhere.

:func:`sign` and :func:`binary_weight` are the definitions, as ordinary differentiable functions. The binary
convolution of :mod:`bnn_ablate.convolution` is the same written as one step, from the pieces below them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bnn_ablate.design import Grad

#: Values handled at a time on a CPU: what is written and read again stays in its cache, and short-lived tensors stay
#: below the size from which the C library fetches fresh pages for each, which costs more than the arithmetic.
PORTION = 2**18


def sign(x: Tensor, grad: Grad) -> Tensor:
    """Binarise activations of any shape: -1 where x < 0, else +1 (so sign(0) = sign(-0.0) = +1).

    Backward, with t = ``grad.clip``: ``ste`` passes the gradient where abs(x) <= t, the bound included (Hubara et al.
    2016, arXiv 1602.02830); ``approxsign`` and ``approxsign_both`` multiply it by 2 - 2 abs(x) where
    abs(x) <= min(1, t) (Liu et al. 2018, arXiv 1808.00278; Bethge et al. 2019, arXiv 1906.08637, equation 3).
    Raises RuntimeError when differentiated twice.
    """
    window = "box" if grad.name == "ste" else "triangle"
    return _Sign.apply(x, window, grad.clip)  # type: ignore[no-untyped-call]


def binary_weight(weight: Tensor, grad: Grad) -> Tensor:
    """Binarise latent weights of any shape with the same sign.

    Backward: ``ste`` and ``approxsign`` pass the gradient everywhere, unclipped; ``approxsign_both`` multiplies it by
    2 - 2 abs(w) where abs(w) <= 1, as the logs of Bethge et al. 2019 ran. Raises RuntimeError when differentiated
    twice.
    """
    window = "triangle" if grad.name == "approxsign_both" else "all"
    return _Sign.apply(weight, window, 1.0)  # type: ignore[no-untyped-call]


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: str, clip: float) -> Tensor:
        ctx.window, ctx.clip = window, clip
        if window == "box":
            ctx.save_for_backward(x.abs() <= clip)
        elif window == "triangle":
            ctx.save_for_backward(x)
        return signs(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if ctx.window == "all":
            return gradient, None, None
        (saved,) = ctx.saved_tensors
        return gradient * (saved if ctx.window == "box" else triangle(saved, ctx.clip)), None, None


def nonnegative(x: Tensor) -> Tensor:
    """1 where x >= 0, else 0, as a tensor of x's shape, dtype and memory format."""
    # One vectorised pass; x >= 0 gives a bool tensor instead, several times slower to make and to convert.
    return torch.ge(x, 0, out=torch.empty_like(x))


def signs(x: Tensor, size: float = 1.0) -> Tensor:
    """``size`` where x >= 0, else -``size``, as a tensor of x's shape, dtype and memory format."""
    return nonnegative(x).mul_(2 * size).sub_(size)


def triangle(x: Tensor, clip: float) -> Tensor:
    """The ApproxSign gradient's factor, of x's shape and dtype: 2 - 2 abs(x) where abs(x) <= min(1, clip), else 0."""
    # 2 - 2 abs(x) is negative exactly where abs(x) > 1.
    height = x.abs().mul_(-2).add_(2).clamp_(min=0)
    return height.mul_(x.abs().le_(clip)) if clip < 1 else height


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


def nonnegative_bytes(x: Tensor) -> Tensor:
    """:func:`nonnegative` of x (N, C, H, W) as uint8."""
    bits = torch.empty_like(x, dtype=torch.int8)
    images = portion(x, PORTION)
    for values, out in zip(torch.split(x, images), torch.split(bits, images), strict=True):
        out.copy_(nonnegative(values))
    return bits.view(torch.uint8)


def portion(x: Tensor, values: int) -> int:
    """How many images of x (N, ...) hold about ``values`` values: at least one, and all where no cache is at stake."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or x.numel() <= values:
        return max(1, x.shape[0])
    return max(1, values * x.shape[0] // x.numel())
