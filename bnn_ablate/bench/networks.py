"""The binary networks that are measured, as conf/ describes them, with statistics as training leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bnn_ablate.composing import network_settings
from bnn_ablate.models import build_network
from bnn_ablate.packed.graph import Shape

TITLES = {
    "resnet_e18": "ResNetE18",
    "resnet_e34": "ResNetE34",
    "resnet18": "binary ResNet18",
    "binary_densenet28": "BinaryDenseNet28",
    "binary_densenet37": "BinaryDenseNet37",
    "binary_densenet37_dilated": "BinaryDenseNet37 dilated",
    "binary_densenet45": "BinaryDenseNet45",
}
#: Images of at least so many pixels a side get the stem and the classes of ImageNet, smaller ones those of CIFAR-10.
IMAGENET_SIZE = 64
#: Noise images that the statistics of BatchNorms are taken from.
STATISTICS = 4


@dataclass(frozen=True)
class Network:
    """A binary network in eval mode for images (C, H, W) of ``shape``."""

    title: str
    module: nn.Module
    shape: Shape
    classes: int


def binary_network(model: str, size: int, overrides: Sequence[str] = ()) -> Network:
    """The network ``model`` of conf/ for images of ``size`` pixels a side, changed by ``overrides``.

    Weights are initial ones; BatchNorms have random factors and shifts, and the statistics of noise: with those of an
    untrained network most signs would be equal. Raises SettingsError for what conf/ does not know.
    """
    large = size >= IMAGENET_SIZE
    settings = network_settings([f"model={model}", f"stem={'imagenet' if large else 'cifar'}", *overrides])
    shape, classes = (3, size, size), 1000 if large else 10
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_network(
            settings.model, settings.design, in_channels=shape[0], num_classes=classes, image_size=size
        )
        fill_statistics(module, shape)
    name = settings.model.name
    title = TITLES.get(name, name)
    return Network(" ".join([title, *overrides]), module.eval(), shape, classes)


@torch.no_grad()
def fill_statistics(module: nn.Module, shape: Shape) -> None:
    """Give each BatchNorm random factors and shifts, and the mean and variance that noise has there."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        if norm.affine and norm.weight.requires_grad:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.2)
        norm.momentum = None  # the plain mean over batches, of which there is one
        norm.reset_running_stats()
    module.train()
    module(torch.randn(STATISTICS, *shape))
