"""The plain float ResNet18 (He et al. 2016, arXiv 1512.03385): the full-precision reference of sizes and times."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.float_layers import convolution
from bnn_ablate.models.stem import classifier


def float_resnet18(*, stem: Literal["imagenet", "cifar"], in_channels: int, num_classes: int) -> nn.Module:
    """Images (N, in_channels, H, W) to logits (N, num_classes); stem 7x7/2 and MaxPool, or 3x3 on small images."""
    layers: list[nn.Module] = [
        convolution(in_channels, 64, 7, stride=2) if stem == "imagenet" else convolution(in_channels, 64, 3),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    ]
    if stem == "imagenet":
        layers += [nn.MaxPool2d(3, 2, padding=1)]
    for c_in, c_out, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [FloatBlock(c_in, c_out, stride=stride), FloatBlock(c_out, c_out, stride=1)]
    return nn.Sequential(*layers, classifier(512, num_classes))


class FloatBlock(nn.Module):
    """relu(BN(conv(relu(BN(conv(x))))) + shortcut(x)): (N, c_in, H, W) -> (N, c_out, H / stride, W / stride)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(in_channels, out_channels, 3, stride=stride),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            convolution(out_channels, out_channels, 3),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                convolution(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        out += self.shortcut(x)
        return F.relu(out, inplace=True)
