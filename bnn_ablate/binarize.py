"""Sign with sign(0) = +1, and the gradients that stand in for its derivative, which is zero almost everywhere.

The functions here say what is computed. :mod:`bnn_ablate.layers` computes the same inside one convolution, where
neither the signs nor the windows ever exist as whole float tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bnn_ablate.design import Grad


def sign(x: Tensor, grad: Grad) -> Tensor:
    """Binarise activations of any shape: -1 where x < 0, else +1 (so sign(0) = sign(-0.0) = +1).

    Backward, with t = ``grad.clip``: ``ste`` passes the gradient where abs(x) <= t, the bound included (Hubara et al.
    2016, arXiv 1602.02830); ``approxsign`` and ``approxsign_both`` multiply it by 2 - 2 abs(x) where
    abs(x) <= min(1, t) (Liu et al. 2018, arXiv 1808.00278; Bethge et al. 2019, arXiv 1906.08637, equation 3).
    Raises RuntimeError when differentiated twice.
    """
    return _Sign.apply(x, None if grad.name == "ste" else "triangle", grad.clip)  # type: ignore[no-untyped-call]


def binary_weight(weight: Tensor, grad: Grad) -> Tensor:
    """Binarise latent weights of any shape with the same sign.

    Backward: ``ste`` and ``approxsign`` pass the gradient everywhere, unclipped; ``approxsign_both`` multiplies it by
    2 - 2 abs(w) where abs(w) <= 1, as the logs of Bethge et al. 2019 ran. Raises RuntimeError when differentiated
    twice.
    """
    return _Sign.apply(weight, "triangle" if grad.name == "approxsign_both" else None, torch.inf)  # type: ignore[no-untyped-call]


def signs(x: Tensor) -> Tensor:
    """The forward of :func:`sign` alone, as a new tensor of x's dtype and memory format."""
    return torch.ge(x, 0, out=torch.empty_like(x)).mul_(2).sub_(1)


def triangle(x: Tensor, clip: float) -> Tensor:
    """2 - 2 abs(x) where abs(x) <= min(1, clip), else 0: the ApproxSign gradient's factor, of x's shape and dtype."""
    height = x.abs().mul_(-2).add_(2)
    if clip < 1:
        return height.mul_(x.abs() <= clip)
    # 2 - 2 abs(x) is negative exactly where abs(x) > 1.
    return height.clamp_(min=0)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: str | None, clip: float) -> Tensor:
        ctx.window, ctx.clip = window, clip
        if window == "triangle":
            ctx.save_for_backward(x)
        elif clip < torch.inf:
            ctx.save_for_backward(x.abs() <= clip)
        return signs(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if ctx.window == "triangle":
            (x,) = ctx.saved_tensors
            return gradient * triangle(x, ctx.clip), None, None
        if ctx.clip < torch.inf:
            (inside,) = ctx.saved_tensors
            return gradient * inside, None, None
        return gradient, None, None
