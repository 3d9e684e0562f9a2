"""The convolutions that the design quantizes: the one place where the design axes of a layer meet.

y = f (W_b * X_b) [+ f K] with W_b = sign(W), X_b = sign(X), K = k_h k_w c_in; f = 1/2 and the offset f K belong to the
popcount output. W stays a float parameter, the latent weight, which the optimizer moves. Where weights or activations
keep their values instead, the same y is an ordinary convolution.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.binarize import activation_slope, binary_weight, sign, weight_slope
from bnn_ablate.borders import Borders, borders_2d, equal_sides
from bnn_ablate.convolution import Arithmetic, BinaryForward, binary_convolution
from bnn_ablate.design import Activations, Design, Init

BORDER_VALUE = {"minus_one": -1, "zero": 0, "plus_one": 1}


def quantized_convolution(
    in_channels: int, out_channels: int, kernel_size: int, *, stride: int, dilation: int, design: Design
) -> nn.Module:
    """The convolution that the axes weights and activations ask for: binary, or mixed where one of them is float.

    Both draw the same initial weights and have the same names in their state_dict, see :class:`QuantizedConv2d`.
    """
    binary = design.activations.name == "sign" and design.weights.name != "float"
    layer = BinaryConv2d if binary else MixedConv2d
    return layer(in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, design=design)


class QuantizedConv2d(nn.Module, ABC):
    """What binary and mixed convolutions share: x (N, c_in, H, W) -> y (N, c_out, H', W').

    ``weight`` (c_out, c_in, k, k) is the latent weight, or the weight itself where weights are float. Borders are
    ``padding`` = ``dilation`` (k - 1) / 2 pixels on each side, so that stride 1 keeps the image size, or those of
    padding.side=same, see :meth:`borders`. Scaling multiplies y by alpha_o, the mean of abs(W) over (c_in, k, k), and
    with ``xnor`` by the map K too: the channel mean of abs(x), zero-padded, box-filtered with 1 / k^2 (Rastegari et al.
    2016, arXiv 1603.05279); with ``learned`` by ``scale`` (c_out,), a parameter that starts at alpha.

    ``progress`` is the share of the training that is over, see :func:`set_progress`; grad=ede reads it.

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
        self.progress = 0.0
        self.weight = nn.Parameter(initial_weight((out_channels, in_channels, kernel_size, kernel_size), design.init))
        if design.scaling.name == "learned":
            self.scale = nn.Parameter(torch.empty(out_channels))
            self.reset_scale_()

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...

    @property
    def binary_weights(self) -> bool:
        """Whether the signs of ``weight`` are all that inference needs: one bit each."""
        return self.design.weights.name != "float"

    def borders(self, height: int, width: int) -> Borders:
        """Border pixels (left, right, top, bottom) around an image of ``height`` x ``width`` pixels."""
        side = self.design.padding.side
        return borders_2d(height, width, kernel=self.kernel_size, stride=self.stride, dilation=self.dilation, side=side)

    @torch.no_grad()
    def reset_scale_(self) -> None:
        """With scaling=learned, set ``scale`` to the alpha of the present weight, as after loading other weights."""
        if self.design.scaling.name == "learned":
            self.scale.copy_(self.weight.abs().mean((1, 2, 3)))

    def _scaled(self, y: Tensor, x: Tensor) -> Tensor:
        """``y`` times the factors of the design, in place where no gradient needs it as it was."""
        for factor in self._factors(x):
            y = y * factor.to(y.dtype) if factor.requires_grad else y.mul_(factor.to(y.dtype))
        return y

    def constant_factor(self) -> Tensor | None:
        """Where :attr:`factors_are_constants`: the numbers (c_out,), or None where there are none."""
        factors = self._factors(self.weight)
        return factors[0].flatten() if factors else None

    def _factors(self, x: Tensor) -> list[Tensor]:
        scaling = self.design.scaling
        if scaling.name == "learned":
            return [self.scale.view(-1, 1, 1)]
        if scaling.name == "none" and self.design.weights.name != "magnitude_aware":
            return []
        assert scaling.name in ("none", "channel", "xnor")  # a new option must not pass for one of these
        with torch.set_grad_enabled(scaling.gradient and torch.is_grad_enabled()):
            alpha = self.weight.abs().mean((1, 2, 3)).view(-1, 1, 1)
            return [alpha, self._spread(x)] if scaling.name == "xnor" else [alpha]

    @property
    def factors_are_constants(self) -> bool:
        """Whether y is multiplied by numbers a channel, or nothing, into which no gradient flows."""
        scaling = self.design.scaling
        return scaling.name in ("none", "channel") and not scaling.gradient

    def _spread(self, x: Tensor) -> Tensor:
        """The map K (N, 1, H', W')."""
        magnitude = x.abs().mean(1, keepdim=True)
        box = magnitude.new_full((1, 1, self.kernel_size, self.kernel_size), 1 / self.kernel_size**2)
        return self._convolved(magnitude, box, border=0)

    def _convolved(self, x: Tensor, weight: Tensor, border: int) -> Tensor:
        """An ordinary convolution of x as it is, with the layer's borders of value ``border``."""
        borders = self.borders(x.shape[2], x.shape[3])
        left, _, top, _ = borders
        padding = (top, left)
        if not equal_sides(borders) or (border != 0 and any(borders)):
            x, padding = F.pad(x, borders, value=border), (0, 0)
        return F.conv2d(x, weight, stride=self.stride, padding=padding, dilation=self.dilation)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"dilation={self.dilation}, padding={self.design.padding.name}, side={self.design.padding.side}, "
            f"weights={self.design.weights.name}, activations={self.design.activations.name}, "
            f"output={self.design.output.name}, scaling={self.design.scaling.name}, grad={self.design.grad.name}, "
            f"clip={self.design.grad.clip}"
        )


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # older compilers end their graph at the question
def has_autocast(device: str) -> bool:
    """Whether a type of device knows autocast."""
    return torch.amp.is_autocast_available(device)


class BinaryConv2d(QuantizedConv2d):
    """A convolution whose input and weight are signs, as one step of :mod:`bnn_ablate.convolution`.

    Unscaled outputs are whole numbers (halves with zero padding and popcount), exactly, in float32, whether
    ``binary_forward`` counts bits or convolves floats: see :func:`set_binary_forward`.
    """

    #: A run counts bits. Whatever a packed network is compared with must not, so that is not where a layer starts.
    binary_forward: BinaryForward = "float"

    def forward(self, x: Tensor) -> Tensor:
        device = x.device.type
        autocast = has_autocast(device) and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else x.dtype
        y = binary_convolution(x, self.weight, self.arithmetic(dtype, x.shape[2], x.shape[3]))
        return self._scaled(y, x)

    def arithmetic(self, dtype: torch.dtype, height: int, width: int) -> Arithmetic:
        """How the layer computes in ``dtype`` for images of ``height`` x ``width`` pixels."""
        design = self.design
        popcount = design.output.name == "popcount"
        return Arithmetic(
            slope=activation_slope(design.grad, self.progress),
            weight_slope=weight_slope(design.grad, design.weights, self.progress),
            border=BORDER_VALUE[design.padding.name],
            factor=0.5 if popcount else 1.0,
            offset=self.in_channels * self.kernel_size**2 / 2 if popcount else 0.0,
            stride=self.stride,
            borders=self.borders(height, width),
            dilation=self.dilation,
            dtype=dtype,
            forward=self.binary_forward,
        )


class MixedConv2d(QuantizedConv2d):
    """A convolution whose input or weight, or both, keep their values; signs are those of the binary one.

    Float activations are x after the design's function, and their borders zeros.
    """

    def forward(self, x: Tensor) -> Tensor:
        design = self.design
        if design.activations.name == "sign":
            read, border = sign(x, design.grad, progress=self.progress), BORDER_VALUE[design.padding.name]
        else:
            read, border = activation(x, design.activations), 0
        weight: Tensor = self.weight
        if self.binary_weights:
            weight = binary_weight(weight, design.grad, design.weights, progress=self.progress)
        return self._scaled(self._convolved(read, weight, border), x)


def activation(x: Tensor, activations: Activations) -> Tensor:
    """The function that stands in the place of sign, see :class:`design.Activations`; at +-1 its slope is 1."""
    if activations.function == "relu":
        return F.relu(x)
    clipped = x.clamp(-1, 1)
    return clipped if activations.function == "clip" else clipped + 0.1 * (x - clipped)


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


def set_progress(network: nn.Module, progress: float) -> None:
    """Tell every layer of ``network`` which share of the training, in [0, 1), is over: epoch / epochs from 0."""
    for layer in network.modules():
        if isinstance(layer, QuantizedConv2d):
            layer.progress = progress


def set_binary_forward(network: nn.Module, forward: BinaryForward) -> None:
    """Tell every binary convolution of ``network`` how to compute on a CPU; outputs and gradients are the same."""
    for layer in network.modules():
        if isinstance(layer, BinaryConv2d):
            layer.binary_forward = forward


def reset_scales_(network: nn.Module) -> None:
    """With scaling=learned, start every scale of ``network`` again at the alpha of the layer's present weight."""
    for layer in network.modules():
        if isinstance(layer, QuantizedConv2d):
            layer.reset_scale_()


@torch.no_grad()
def clamp_latent_(network: nn.Module, design: Design) -> None:
    """With latent=clamped, clamp every latent weight to +-grad.clip in place; with latent=free, do nothing."""
    if design.latent.name == "clamped":
        clip = design.grad.clip
        assert clip is not None  # Design refuses it.
        for layer in _with_latent_weights(network):
            layer.weight.clamp_(-clip, clip)


@torch.no_grad()
def frozen_share(network: nn.Module) -> float:
    """Share of latent weights to which the design gives no gradient: where :func:`weight_slope` is 0.

    abs(w) >= 1 under grad=approxsign_both (2 - 2 abs(w) <= 0), abs(w) > 1 under weights=magnitude_aware. Raises
    ValueError if the network has no binary convolution.
    """
    layers = _with_latent_weights(network)
    if not layers:
        raise ValueError("the network has no binary convolution")
    slopes = [
        weight_slope(layer.design.grad, layer.design.weights, layer.progress).at(layer.weight) for layer in layers
    ]
    frozen = torch.stack([(slope == 0).sum() for slope in slopes]).sum()
    return frozen.item() / sum(slope.numel() for slope in slopes)


def _with_latent_weights(network: nn.Module) -> list[QuantizedConv2d]:
    return [layer for layer in network.modules() if isinstance(layer, QuantizedConv2d) and layer.binary_weights]
