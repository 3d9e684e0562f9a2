"""The training step of a dense stage: x, and what each of its layers conv(sign(BN(x))) appends to all before it.

Layer by layer a dense stage copies its growing features and keeps every copy, and each BatchNorm measures again what
the ones before have measured. Here features are written once, side by side, into one buffer; mean and variance of a
channel are those that its first reader finds, for all its readers; of what the norms give only signs and windows are
kept. The backward adds up gradients in one buffer too. A BatchNorm's gradient is

    dx = s dz - (s sum(dz) + s x_n sum(dz x_n)) / m,   x_n = (x - mean) / sqrt(variance + eps), s = gamma / sqrt(...)

(Ioffe & Szegedy 2015, arXiv 1502.03167), so of a channel with many readers the sums are collected, and the bracket is
taken away once, before the gradient is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bnn_ablate.binarize import EVERYWHERE, PORTION, portion
from bnn_ablate.convolution import Arithmetic, float_forward, gradients
from bnn_ablate.packed.training import PackedConvolution, Signs, add_scaled_, centre_, has_gradients, moments


@dataclass(frozen=True)
class NormedConvolution:
    """One layer conv(sign(BN(x))) of a stage; ``factor`` (c_out,), where there is one, multiplies its outputs."""

    norm: nn.BatchNorm2d
    weight: Tensor
    how: Arithmetic
    factor: Tensor | None


def dense_stage(x: Tensor, layers: Sequence[NormedConvolution]) -> Tensor:
    """concat(x, y_1, ..., y_n) (N, c + n growth, H, W) from x (N, c, H, W) float32, on a CPU, in training.

    y_i is layer i of concat(x, ..., y_i-1). Every norm has the same eps and its running statistics are moved as torch
    moves them. Raises RuntimeError when differentiated twice.
    """
    tensors = [tensor for layer in layers for tensor in (layer.norm.weight, layer.norm.bias, layer.weight)]
    return _DenseStage.apply(x, layers, *tensors)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Kept:
    """Of one layer: its inputs' number, and how its outputs were computed."""

    how: Arithmetic
    factor: Tensor | None
    convolution: PackedConvolution
    channels: int


class _DenseStage(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: Sequence[NormedConvolution], *_: Tensor) -> Tensor:
        images, channels, height, width = x.shape
        total = channels + sum(len(layer.weight) for layer in layers)
        features = torch.empty((images, total, height, width), dtype=torch.float32, memory_format=torch.channels_last)
        features[:, :channels] = x
        mean, variance = x.new_empty(total), x.new_empty(total)
        mean[:channels], variance[:channels] = moments(features[:, :channels])
        rstd = x.new_empty(total)
        kept: list[_Kept] = []
        saved: list[Tensor | None] = []
        for layer in layers:
            rstd[:channels] = torch.rsqrt(variance[:channels] + layer.norm.eps)
            scale = layer.norm.weight * rstd[:channels]
            shift = layer.norm.bias - mean[:channels] * scale
            _move_running(layer.norm, mean[:channels], variance[:channels], images * height * width)
            how = layer.how
            convolution = how.on_bits(features[:, :channels].shape, layer.weight.shape)
            signs = convolution.signs(features[:, :channels], how.window_clip, (scale, shift))
            grown = slice(channels, channels + len(layer.weight))
            if how.forward == "packed":
                convolution.forward(signs, layer.weight, factor=how.factor, offset=how.offset, out=features[:, grown])
            else:
                features[:, grown] = float_forward(convolution, signs, layer.weight, how)
            if layer.factor is not None:
                features[:, grown].mul_(layer.factor.view(-1, 1, 1))
            kept.append(_Kept(how, layer.factor, convolution, channels))
            saved += [layer.norm.weight, layer.norm.bias, layer.weight, signs.bits, signs.inside]
            mean[grown], variance[grown] = moments(features[:, grown])
            channels = grown.stop
        ctx.kept, ctx.channels = kept, x.shape[1]
        ctx.save_for_backward(features, mean, rstd, *saved)
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, mean, rstd, *saved = ctx.saved_tensors
        collected = gradient.clone(memory_format=torch.channels_last)
        count = features.shape[0] * features.shape[2] * features.shape[3]
        # what is still to be taken away from the gradient of each channel: offset + slope (x - mean)
        offset, slope = torch.zeros_like(mean), torch.zeros_like(mean)
        by_layer: list[Tensor | None] = []
        for i in reversed(range(len(ctx.kept))):
            of: _Kept = ctx.kept[i]
            gamma, beta, weight, bits, inside = saved[5 * i : 5 * i + 5]
            grown = slice(of.channels, of.channels + len(weight))
            _settle_(collected, features, grown, offset, slope, mean)
            if of.factor is not None:
                collected[:, grown].mul_(of.factor.view(-1, 1, 1))
            before = slice(0, of.channels)
            scale = gamma * rstd[before]
            signs = Signs(bits, inside)
            g_y, into = collected[:, grown], collected[:, before]
            norm = {"x": features[:, before], "scale": scale, "mean": mean[before]}
            if has_gradients(of.convolution.kernel) and of.how.coded:
                g_w = of.convolution.grad_weight(g_y, signs, factor=of.how.factor)
                sums, products = of.convolution.add_grad_input_(into, g_y, signs, weight, factor=of.how.factor, **norm)
            else:
                g_z, by_weight = gradients(of.convolution, g_y, signs, weight, of.how, True, True)
                assert g_z is not None  # both were asked for
                assert by_weight is not None
                g_w = by_weight
                if not of.how.coded:
                    _times_slope_(g_z, features[:, before], of.how, scale, beta - mean[before] * scale)
                sums, products = add_scaled_(into, g_z, **norm)
            products *= rstd[before]
            offset[before] += scale * sums / count
            slope[before] += scale * products * rstd[before] / count
            if of.how.weight_slope != EVERYWHERE:
                g_w.mul_(of.how.weight_slope.at(weight))
            by_layer = [products, sums, g_w, *by_layer]
        given = slice(0, ctx.channels)
        _settle_(collected, features, given, offset, slope, mean)
        g_x = collected[:, given].contiguous(memory_format=torch.channels_last)
        return g_x, None, *by_layer


def _settle_(collected: Tensor, features: Tensor, channels: slice, offset: Tensor, slope: Tensor, mean: Tensor) -> None:
    """Take the sums of all readers away from the gradient of channels to which no reader adds any more."""
    centre_(
        collected[:, channels],
        features[:, channels],
        offset=offset[channels],
        slope=slope[channels],
        mean=mean[channels],
    )


def _times_slope_(g_z: Tensor, x: Tensor, how: Arithmetic, scale: Tensor, shift: Tensor) -> None:
    """Times the slope of sign at z = x scale + shift, which was not kept."""
    images = portion(g_z, PORTION)
    for part, values in zip(torch.split(g_z, images), torch.split(x, images), strict=True):
        z = torch.addcmul(shift.view(-1, 1, 1), values, scale.view(-1, 1, 1))
        part.mul_(how.slope.at(z))


@torch.no_grad()
def _move_running(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Running statistics as torch's BatchNorm moves them: the variance by count - 1."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
