"""The first layers and the last."""

from __future__ import annotations

import math

from torch import nn

from bnn_ablate.design import Design
from bnn_ablate.float_layers import SameMaxPool2d, convolution
from bnn_ablate.layers import quantized_convolution


def stem(design: Design, in_channels: int, features: int, *, norm_after_pool: bool) -> nn.Sequential:
    """From the image (N, in_channels, H, W) to ``features`` maps: a quarter of the side, or all of it for CIFAR stems.

    ``imagenet``: conv 7x7/2, BN, ReLU, MaxPool 3/2. ``grouped``: 3x3/2, 3x3 in 4 groups, 3x3 in 8 groups, each with BN
    and ReLU, then MaxPool (Bethge et al. 2020, arXiv 2001.05936). ``cifar``: 3x3, BN. ``cifar_2018``: 3x3.
    ``norm_after_pool`` adds the BatchNorm that ResNetE has behind the pooling of the first two. The first convolution
    has the precision of ``design.first``, the others are float. Raises ValueError if the grouped stem cannot divide
    its features.
    """
    name, side = design.stem.name, design.padding.side
    if name == "cifar":
        return nn.Sequential(first_convolution(design, in_channels, features, 3), nn.BatchNorm2d(features))
    if name == "cifar_2018":
        return nn.Sequential(first_convolution(design, in_channels, features, 3))
    if name == "imagenet":
        layers = [first_convolution(design, in_channels, features, 7, stride=2)]
        layers += [nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
    else:
        if features % 16 != 0:
            raise ValueError(
                f"stem=grouped splits half of its {features} features into 8 groups: "
                "choose a model.width that makes the stem's features a multiple of 16"
            )
        half = features // 2
        layers = [first_convolution(design, in_channels, half, 3, stride=2)]
        layers += [nn.BatchNorm2d(half), nn.ReLU(inplace=True)]
        for c_out, groups in ((half, 4), (features, 8)):
            layers += [convolution(half, c_out, 3, groups=groups)]
            layers += [nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]
    layers += [nn.MaxPool2d(3, 2, padding=1) if side == "symmetric" else SameMaxPool2d(3, 2)]
    if norm_after_pool:
        layers += [nn.BatchNorm2d(features)]
    return nn.Sequential(*layers)


def first_convolution(
    design: Design, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1
) -> nn.Module:
    """The convolution that reads the image, in the precision of ``design.first``."""
    if design.first.name == "binary":
        return quantized_convolution(in_channels, out_channels, kernel_size, stride=stride, dilation=1, design=design)
    return convolution(in_channels, out_channels, kernel_size, stride=stride, side=design.padding.side)


def input_norm(in_channels: int) -> nn.BatchNorm2d:
    """BatchNorm without scale on the raw image: its factor is kept at 1 and takes no gradient, its shift is learned."""
    norm = nn.BatchNorm2d(in_channels, eps=2e-5)
    norm.weight.requires_grad_(False)
    return norm


def head(features: int, num_classes: int, *, norm: bool, design: Design) -> nn.Sequential:
    """(N, features, H, W) -> logits (N, num_classes): [BN,] ReLU, mean over the image, Linear.

    last=binary: mean, BN, sign, binary 1x1 convolution, BN. The ReLU goes, since the sign after it is +1 everywhere.
    """
    if design.last.name == "binary":
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.BatchNorm2d(features),
            quantized_convolution(features, num_classes, 1, stride=1, dilation=1, design=design),
            nn.BatchNorm2d(num_classes),
            nn.Flatten(),
        )
    layers = [nn.ReLU(inplace=True), *classifier(features, num_classes)]
    return nn.Sequential(nn.BatchNorm2d(features), *layers) if norm else nn.Sequential(*layers)


def classifier(features: int, num_classes: int) -> nn.Sequential:
    """Mean over the image and Linear: (N, features, H, W) -> logits (N, num_classes)."""
    linear = nn.Linear(features, num_classes)
    nn.init.normal_(linear.weight, 0, math.sqrt(2 / features))
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
