"""How each layer is lowered: ``lowering(place, layer, x)`` adds its nodes and returns its value.

A layer that is not in :data:`LAYERS` is refused, subclasses included: their forward may be another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from bnn_ablate.borders import borders_2d
from bnn_ablate.float_layers import SameConv2d, SameMaxPool2d
from bnn_ablate.layers import BORDER_VALUE, BinaryConv2d, MixedConv2d, QuantizedConv2d
from bnn_ablate.packed import lower_functions as functions
from bnn_ablate.packed.graph import AbsMean, Activation, Affine, BinaryConv, Conv, Edges, Multiply
from bnn_ablate.packed.lowering import Place, Value
from bnn_ablate.packed.reference import fma
from bnn_ablate.synced_norm import SyncedBatchNorm2d


def binary_conv2d(place: Place, layer: BinaryConv2d, x: Value) -> Value:
    how = layer.arithmetic(torch.float32, *place.maps(x)[1:])
    y = place.add(
        BinaryConv,
        x,
        signs=place.signs(layer.weight),
        border=how.border,
        stride=(how.stride, how.stride),
        borders=how.borders,
        dilation=(how.dilation, how.dilation),
    )
    if (how.factor, how.offset) != (1.0, 0.0):
        scale = np.full(layer.out_channels, how.factor, np.float32)
        y = place.add(Affine, y, suffix="popcount", scale=scale, shift=np.full_like(scale, how.offset))
    return scaled(place, layer, y, x)


def mixed_conv2d(place: Place, layer: MixedConv2d, x: Value) -> Value:
    activations = layer.design.activations
    signed = activations.name == "sign"
    place.maps(x)
    read = place.add(Activation, x, suffix="act", function="sign" if signed else activations.function)
    y = place.add(
        Conv,
        read,
        weight=place.signs(layer.weight) if layer.binary_weights else place.floats(layer.weight),
        bias=np.zeros(layer.out_channels, np.float32),
        border=float(BORDER_VALUE[layer.design.padding.name]) if signed else 0.0,
        **window(place, layer, x),
    )
    return scaled(place, layer, y, x)


def window(place: Place, layer: QuantizedConv2d, x: Value) -> dict[str, Any]:
    """How a quantized layer's window moves over x."""
    return {
        "stride": (layer.stride, layer.stride),
        "borders": layer.borders(*place.maps(x)[1:]),
        "dilation": (layer.dilation, layer.dilation),
        "groups": 1,
    }


def scaled(place: Place, layer: QuantizedConv2d, y: Value, x: Value) -> Value:
    """y times the factors of the design, as ``QuantizedConv2d._factors`` has them."""
    scaling, weights = layer.design.scaling.name, layer.design.weights.name
    assert scaling in ("none", "channel", "xnor", "learned")  # a new option must not pass for one of these
    if scaling == "none" and weights != "magnitude_aware":
        return y
    # the mean is torch's, since its order of summation is its own
    factor = layer.scale if scaling == "learned" else layer.weight.detach().abs().mean((1, 2, 3))
    scale = place.floats(factor)
    y = place.add(Affine, y, suffix="scale", scale=scale, shift=np.zeros_like(scale))
    if scaling != "xnor":
        return y
    kernel = layer.kernel_size
    spread = place.add(
        Conv,
        place.add(AbsMean, x, suffix="magnitude"),
        suffix="spread",
        weight=np.full((1, 1, kernel, kernel), 1 / kernel**2, np.float32),
        bias=np.zeros(1, np.float32),
        border=0.0,
        **window(place, layer, x),
    )
    return place.add(Multiply, y, spread, suffix="spread_scale")


def conv2d(place: Place, layer: nn.Conv2d, x: Value) -> Value:
    (_, height, width), (k_h, k_w), (d_h, d_w) = place.maps(x), layer.kernel_size, layer.dilation
    if layer.padding_mode != "zeros":
        raise place.refused(f"padding_mode={layer.padding_mode} is none of a graph's borders, which hold one value")
    edges: Edges = (0, 0, 0, 0)
    if isinstance(layer, SameConv2d):
        edges = layer.borders(height, width)
    if layer.padding == "same":
        reach_h, reach_w = d_h * (k_h - 1), d_w * (k_w - 1)
        before_h, before_w = reach_h // 2, reach_w // 2
        after_h, after_w = reach_h - before_h, reach_w - before_w
    else:
        before_h, before_w = (0, 0) if isinstance(layer.padding, str) else layer.padding
        after_h, after_w = before_h, before_w
    left, right, top, bottom = edges
    return place.add(
        Conv,
        x,
        weight=place.floats(layer.weight),
        bias=np.zeros(layer.out_channels, np.float32) if layer.bias is None else place.floats(layer.bias),
        border=0.0,
        stride=layer.stride,
        borders=(left + before_w, right + after_w, top + before_h, bottom + after_h),
        dilation=layer.dilation,
        groups=layer.groups,
    )


def batch_norm(place: Place, layer: nn.BatchNorm2d, x: Value) -> Value:
    """fma(x, scale, shift) by torch's arithmetic in inference, each step rounded to float32.

    Computed in float64 and rounded once, scale and shift would be nearer to the truth but half of all outputs differ
    from torch's in their last bit; like this none does, and no sign behind it.
    """
    channels = place.maps(x)[0]
    if layer.running_mean is None or layer.running_var is None:
        raise place.refused("it has no running statistics, so its output depends on the other images of a batch")
    if layer.num_features != channels:
        raise place.refused(f"it normalizes {layer.num_features} channels, and there are {channels}")
    mean, variance = place.floats(layer.running_mean), place.floats(layer.running_var)
    with np.errstate(invalid="ignore", divide="ignore"):  # a graph refuses what is not finite
        scale = np.float32(1) / np.sqrt(variance + np.float32(layer.eps))
        if layer.weight is not None:
            scale = scale * place.floats(layer.weight)
        bias = np.zeros(channels, np.float32) if layer.bias is None else place.floats(layer.bias)
        shift = fma(-mean, scale, bias)
    return place.add(Affine, x, scale=scale, shift=shift)


def linear(place: Place, layer: nn.Linear, x: Value) -> Value:
    """A Conv whose kernel covers the image: flattened maps are in the order of channels, rows, columns."""
    if not x.flat:
        raise place.refused("it reads feature maps: flatten them first")
    shape = place.shape(x)
    if layer.in_features != np.prod(shape):
        raise place.refused(f"it reads {layer.in_features} values, and there are {np.prod(shape)}: {shape}")
    return place.add(
        Conv,
        x,
        weight=place.floats(layer.weight).reshape(layer.out_features, *shape),
        bias=np.zeros(layer.out_features, np.float32) if layer.bias is None else place.floats(layer.bias),
        border=0.0,
        stride=(1, 1),
        borders=(0, 0, 0, 0),
        dilation=(1, 1),
        groups=1,
    )


def max_pool(place: Place, layer: nn.MaxPool2d, x: Value) -> Value:
    edges: Edges = (0, 0, 0, 0)
    if isinstance(layer, SameMaxPool2d):
        kernel, stride = layer.kernel_size, layer.stride
        if not (isinstance(kernel, int) and isinstance(stride, int)):
            raise place.refused("its kernel and stride must be one number each")
        edges = borders_2d(*place.maps(x)[1:], kernel=kernel, stride=stride, dilation=1, side="same")
    return functions.max_pool2d(
        place,
        x,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.ceil_mode,
        layer.return_indices,
        edges=edges,
    )


def avg_pool(place: Place, layer: nn.AvgPool2d, x: Value) -> Value:
    return functions.avg_pool2d(
        place,
        x,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.ceil_mode,
        layer.count_include_pad,
        layer.divisor_override,
    )


def hardtanh(place: Place, layer: nn.Hardtanh, x: Value) -> Value:
    return functions.hardtanh(place, x, layer.min_val, layer.max_val, layer.inplace)


LAYERS: dict[type[nn.Module], Callable[..., Value]] = {
    BinaryConv2d: binary_conv2d,
    MixedConv2d: mixed_conv2d,
    nn.Conv2d: conv2d,
    SameConv2d: conv2d,
    nn.BatchNorm2d: batch_norm,
    SyncedBatchNorm2d: batch_norm,  # in eval mode it is BatchNorm2d
    nn.Linear: linear,
    nn.MaxPool2d: max_pool,
    SameMaxPool2d: max_pool,
    nn.AvgPool2d: avg_pool,
    nn.AdaptiveAvgPool2d: lambda place, layer, x: functions.adaptive_avg_pool2d(place, x, layer.output_size),
    nn.ReLU: lambda place, layer, x: functions.relu(place, x, layer.inplace),
    nn.Hardtanh: hardtanh,
    nn.Flatten: lambda place, layer, x: functions.flatten(place, x, layer.start_dim, layer.end_dim),
    nn.Identity: lambda place, layer, x: x,
    nn.Dropout: lambda place, layer, x: x,
    nn.Dropout2d: lambda place, layer, x: x,
}
