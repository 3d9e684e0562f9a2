"""What a quantized convolution computes, written naively: loops over output values, and plain differentiable math."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from network_factories import make_design
from torch import Tensor

from bnn_ablate.layers import QuantizedConv2d, quantized_convolution

BORDER = {"minus_one": -1, "zero": 0, "plus_one": 1}


def make_layer(
    c_in: int = 3, c_out: int = 4, kernel: int = 3, stride: int = 1, dilation: int = 1, **options: object
) -> QuantizedConv2d:
    torch.manual_seed(c_in + 10 * kernel + stride)
    return quantized_convolution(c_in, c_out, kernel, stride=stride, dilation=dilation, design=make_design(**options))


def make_input(c_in: int = 3, height: int = 5, width: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    """Two images, zeros of both kinds and values on the edges of every window among them."""
    torch.manual_seed(7)
    x = torch.randn(2, c_in, height, width, dtype=dtype)
    edges = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.25, -1.25], dtype=dtype)
    x.view(-1)[: 8 * (x.numel() // 16)] = edges.repeat(x.numel() // 16)
    return x.contiguous(memory_format=torch.channels_last)


def least_borders(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's "same" as a search: the fewest pixels that give ceil(size / stride) outputs, the odd one after."""
    outputs = (size + stride - 1) // stride
    total = 0
    while size + total - dilation * (kernel - 1) < (outputs - 1) * stride + 1:
        total += 1
    return total // 2, (total + 1) // 2


def expected_borders(x: Tensor, kernel: int, stride: int, dilation: int, side: str) -> tuple[int, int, int, int]:
    """Border pixels (left, right, top, bottom)."""
    if side == "symmetric":
        reach = dilation * (kernel - 1) // 2
        return reach, reach, reach, reach
    height, width = x.shape[2:]
    return *least_borders(width, kernel, stride, dilation), *least_borders(height, kernel, stride, dilation)


def convolved_by_loops(
    x: Tensor, weight: Tensor, border: float, stride: int, dilation: int, side: str = "symmetric"
) -> np.ndarray:
    """Sum over taps and channels of the products of signs, one output value after the other, in whole numbers."""
    x_b = np.where(x.detach().numpy() < 0, -1, 1)
    w_b = np.where(weight.detach().numpy() < 0, -1, 1)
    n, _, height, width = x_b.shape
    c_out, _, k, _ = w_b.shape
    left, _, top, _ = expected_borders(x, k, stride, dilation, side)
    rows, columns = range(0, height, stride), range(0, width, stride)
    y = np.zeros((n, c_out, len(rows), len(columns)))
    for (i, row), (j, column) in product(enumerate(rows), enumerate(columns)):
        for tap_row, tap_column in product(range(k), range(k)):
            r, c = row - top + dilation * tap_row, column - left + dilation * tap_column
            w_tap = w_b[:, :, tap_row, tap_column]
            inside = 0 <= r < height and 0 <= c < width
            y[:, :, i, j] += x_b[:, :, r, c] @ w_tap.T if inside else border * w_tap.sum(1)
    return y


def spread_by_loops(x: Tensor, kernel: int, stride: int, dilation: int, side: str = "symmetric") -> np.ndarray:
    """The map K (N, H', W') of scaling=xnor: the mean magnitude, zero beyond the image, averaged over the kernel."""
    magnitude = np.abs(x.detach().double().numpy()).mean(axis=1)
    _, height, width = magnitude.shape
    left, right, top, bottom = expected_borders(x, kernel, stride, dilation, side)
    padded = np.pad(magnitude, ((0, 0), (top, bottom), (left, right)))
    k_map = np.zeros((2, -(-height // stride), -(-width // stride)))
    for i, j in product(range(k_map.shape[1]), range(k_map.shape[2])):
        for row, column in product(range(kernel), range(kernel)):
            k_map[:, i, j] += padded[:, i * stride + dilation * row, j * stride + dilation * column] / kernel**2
    return k_map


def soft(x: Tensor, name: str, clip: float | None, progress: float) -> Tensor:
    """A function of which the estimator is the derivative, as published; ``clip`` stops it."""
    name = name.removesuffix("_both")
    if name == "approxsign":
        y = (2 * x - x * x.abs()) * (x.abs() <= 1)
    elif name == "swishsign":
        s = torch.sigmoid(5 * x)
        y = 2 * s * (1 + 5 * x * (1 - s)) - 1
    elif name == "ede":
        t = 0.1 * 100**progress
        y = max(1 / t, 1) * torch.tanh(t * x)
    else:
        y = x
    return y if clip is None else y * (x.abs() <= clip)


def straight_through(x: Tensor, soft_x: Tensor) -> Tensor:
    return (torch.where(x < 0, -1.0, 1.0).to(x.dtype) - soft_x).detach() + soft_x


def differentiable(x: Tensor, layer: QuantizedConv2d) -> Tensor:
    """The layer as ordinary functions whose own derivatives are the estimators: autograd does the rest."""
    design, k = layer.design, layer.kernel_size
    grad = design.grad
    w = layer.weight.to(x.dtype)

    if design.activations.name == "sign":
        read = straight_through(x, soft(x, grad.name, grad.clip, layer.progress))
        border = BORDER[design.padding.name]
    else:
        beyond = {"relu": None, "clip": 0.0, "leaky_clip": 0.1}[design.activations.function]
        clipped = torch.where(x > 1, 1 + (beyond or 0) * (x - 1), torch.where(x < -1, -1 + (beyond or 0) * (x + 1), x))
        read, border = torch.where(x > 0, x, torch.zeros_like(x)) if beyond is None else clipped, 0

    if design.weights.name == "sign":
        w_read = straight_through(w, soft(w, grad.name, None, layer.progress) if grad.name.endswith("_both") else w)
    elif design.weights.name == "magnitude_aware":
        w_read = w.abs().mean((1, 2, 3), keepdim=True).detach() * straight_through(w, w * (w.abs() <= 1))
    else:
        w_read = w

    borders = expected_borders(x, k, layer.stride, layer.dilation, design.padding.side)
    geometry = {"stride": layer.stride, "dilation": layer.dilation}
    y = F.conv2d(F.pad(read, borders, value=border), w_read, **geometry)
    if design.output.name == "popcount":
        y = (y + layer.in_channels * k * k) / 2
    alpha = w.abs().mean((1, 2, 3)).view(-1, 1, 1)
    box = torch.full((1, 1, k, k), 1 / k**2, dtype=x.dtype)
    k_map = F.conv2d(F.pad(x.abs().mean(1, keepdim=True), borders), box, **geometry)
    if not design.scaling.gradient:
        alpha, k_map = alpha.detach(), k_map.detach()
    if design.scaling.name == "learned":
        return y * layer.scale.to(x.dtype).view(-1, 1, 1)
    return {"none": y, "channel": y * alpha, "xnor": y * alpha * k_map}[design.scaling.name]


def assert_gradients_match(layer: QuantizedConv2d, x: Tensor) -> None:
    """Output and gradients of float32 ``x`` and of all parameters against the composition in float64."""
    exact = x.double().requires_grad_()
    x = x.clone().requires_grad_()
    y, expected = layer(x), differentiable(exact, layer)
    assert torch.allclose(y.double(), expected, rtol=1e-5, atol=1e-5)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad(y, (x, *layer.parameters()), upstream)
    theirs = torch.autograd.grad(expected, (exact, *layer.parameters()), upstream.double())
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine.double(), other.double(), rtol=1e-4, atol=1e-4)
        assert mine.stride() == other.stride() or mine.is_contiguous(memory_format=torch.channels_last)


def described(options: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items())
