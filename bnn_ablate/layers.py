"""The binary convolution: the one place where the design axes of a layer meet.

y = f (W_b * X_b) [+ f K] with W_b = sign(W), X_b = sign(X), K = k_h k_w c_in; f = 1/2 and the offset f K belong to the
popcount output. W stays a float parameter, the latent weight, which the optimizer moves.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.convolution import Arithmetic, binary_convolution
from bnn_ablate.design import Design, Init


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
        device = x.device.type
        autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else x.dtype
        y = binary_convolution(x, self.weight, self.arithmetic(dtype))
        scaling = self.design.scaling
        if scaling.name == "none":
            return y
        with torch.set_grad_enabled(scaling.gradient and torch.is_grad_enabled()):
            factors = [self._alpha()] if scaling.name == "channel" else [self._alpha(), self._spread(x)]
        for factor in factors:
            # In place unless the factor's own gradient needs what it multiplied.
            y = y * factor.to(dtype) if scaling.gradient else y.mul_(factor.to(dtype))
        return y

    def _alpha(self) -> Tensor:
        """The factors alpha (c_out, 1, 1)."""
        return self.weight.abs().mean((1, 2, 3)).view(-1, 1, 1)

    def _spread(self, x: Tensor) -> Tensor:
        """The map K (N, 1, H', W')."""
        magnitude = x.abs().mean(1, keepdim=True)
        box = magnitude.new_full((1, 1, self.kernel_size, self.kernel_size), 1 / self.kernel_size**2)
        return F.conv2d(magnitude, box, stride=self.stride, padding=self.padding, dilation=self.dilation)

    def arithmetic(self, dtype: torch.dtype) -> Arithmetic:
        popcount = self.design.output.name == "popcount"
        return Arithmetic(
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
    """Share of latent weights with abs(w) >= 1, to which grad=approxsign_both gives no gradient (2 - 2 abs(w) <= 0).

    Raises ValueError if the network has no binary convolution.
    """
    weights = [layer.weight for layer in network.modules() if isinstance(layer, BinaryConv2d)]
    if not weights:
        raise ValueError("the network has no binary convolution")
    frozen = torch.stack([(weight.abs() >= 1).sum() for weight in weights]).sum()
    return frozen.item() / sum(weight.numel() for weight in weights)
