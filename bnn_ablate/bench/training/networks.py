"""The networks whose training steps are measured, for images of 32x32 pixels and with the stem for them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.composing import network_settings
from bnn_ablate.convolution import BinaryForward
from bnn_ablate.layers import BinaryConv2d, set_binary_forward
from bnn_ablate.models import build_network
from bnn_ablate.models.resnet import float_resnet18

IMAGE = (3, 32, 32)
CLASSES = 10
#: Features of the first stage at model.width=1, in all of these networks.
FULL_WIDTH = 64


def binary_network(model: str, features: int, forward: BinaryForward) -> nn.Module:
    """The network ``model`` of conf/ with ``features`` in its first stage and all other widths in proportion.

    Raises ValueError where they leave no whole network, as a BinaryDenseNet whose reductions leave nothing.
    """
    overrides = [f"model={model}", "stem=cifar", f"model.width={features / FULL_WIDTH}"]
    settings = network_settings(overrides)
    shapes = {"in_channels": IMAGE[0], "num_classes": CLASSES, "image_size": IMAGE[1]}
    network = build_network(settings.model, settings.design, **shapes)
    set_binary_forward(network, forward)
    return network


def float_resnet(features: int) -> nn.Module:
    """The float ResNet18 of the same widths."""
    return float_resnet18(stem="cifar", in_channels=IMAGE[0], num_classes=CLASSES, width=features / FULL_WIDTH)


def separate_resnet(features: int) -> nn.Module:
    """ResNetE18 as papers' code usually writes it; same function, same gradients."""
    network = binary_network("resnet_e18", features, "float")
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, BinaryConv2d):
                setattr(parent, name, SeparateBinaryConv2d(layer))
    return network


class SeparateBinaryConv2d(nn.Module):
    """A binary convolution of separate operations, each of which keeps its own float tensors for the backward."""

    def __init__(self, layer: BinaryConv2d) -> None:
        super().__init__()
        self.weight = layer.weight
        self.stride, self.padding, self.clip = layer.stride, layer.padding, layer.design.grad.clip

    def forward(self, x: Tensor) -> Tensor:
        x_b = _Sign.apply(x, self.clip)  # type: ignore[no-untyped-call]
        w_b = _Sign.apply(self.weight, torch.inf)  # type: ignore[no-untyped-call]
        return F.conv2d(F.pad(x_b, [self.padding] * 4, value=-1.0), w_b, stride=self.stride)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.clip = clip
        return torch.where(x < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= ctx.clip), None
