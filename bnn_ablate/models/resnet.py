"""The plain float ResNet18 (He et al. 2016, arXiv 1512.03385): the full-precision reference of sizes and times."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.float_layers import convolution
from bnn_ablate.models.stem import classifier
from bnn_ablate.settings import scaled


def float_resnet18(
    *, stem: Literal["imagenet", "cifar"], in_channels: int, num_classes: int, width: float = 1.0
) -> nn.Module:
    """Images (N, in_channels, H, W) to logits (N, num_classes); stem 7x7/2 and MaxPool, or 3x3 on small images.

    ``width`` multiplies the features of every layer, 64 to 512 otherwise. Raises ValueError where it leaves no whole
    number of them.
    """
    features, *later = (scaled(channels, width) for channels in (64, 64, 128, 256, 512))
    layers: list[nn.Module] = [
        convolution(in_channels, features, 7, stride=2)
        if stem == "imagenet"
        else convolution(in_channels, features, 3),
        nn.BatchNorm2d(features),
        nn.ReLU(inplace=True),
    ]
    if stem == "imagenet":
        layers += [nn.MaxPool2d(3, 2, padding=1)]
    for out, stride in zip(later, (1, 2, 2, 2), strict=True):
        layers += [FloatBlock(features, out, stride=stride), FloatBlock(out, out, stride=1)]
        features = out
    return nn.Sequential(*layers, classifier(features, num_classes))


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
