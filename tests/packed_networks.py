"""Small networks as they are after training, for every option that inference can see: what packing must not change."""

from __future__ import annotations

from typing import Any

import torch
from network_factories import make_binary_densenet, make_dense_design, make_design, make_resnet_e
from torch import Tensor, nn

from bnn_ablate.design import Design
from bnn_ablate.layers import QuantizedConv2d
from bnn_ablate.models import build_network

#: Axes of training alone: networks that differ in them compute the same from the same weights.
TRAINING = ("grad", "latent", "init", "pretrain")
CLASSES = 5

#: Options as on the command line, each tried on a ResNetE in both orders and on a BinaryDenseNet.
EVERYWHERE: tuple[dict[str, Any], ...] = (
    {},
    {"scaling": "channel"},
    {"scaling": "xnor"},
    {"scaling": "xnor", "side": "same", "stem": "imagenet"},
    {"scaling": "learned"},
    {"output": "popcount"},
    {"output": "popcount", "padding": "zero"},
    {"padding": "zero", "side": "same"},
    {"padding": "plus_one"},
    {"downsample": "binary"},
    {"stem": "cifar_2018"},
    {"stem": "imagenet"},
    {"stem": "grouped", "side": "same"},
    {"weights": "magnitude_aware", "stem": "grouped"},
    {"weights": "float"},
    {"activations": "float", "function": "relu", "scaling": "learned"},
    {"activations": "float", "function": "clip", "weights": "magnitude_aware"},
    {"activations": "float", "function": "leaky_clip", "weights": "float", "side": "same"},
    {"first": "binary"},
    {"first": "binary", "stem": "imagenet", "side": "same"},
    {"last": "binary"},
    {"last": "binary", "scaling": "xnor"},
    {"bottleneck": "classic"},
)
RESNET_E = (
    {"shortcut": "every_block"},
    {"shortcut": "none"},
    {"shortcut": "every_block", "bottleneck": "classic", "downsample": "binary"},
)
DENSE = (
    {"downsample": "binary_2018", "layout": "conv_avg_pool"},
    {"downsample": "fp_high_reduction", "reduction": None},
    {"downsample": "binary_low_reduction", "reduction": None, "scaling": "xnor"},
)


def cases() -> dict[str, Design]:
    """Designs by the words that make them: "post scaling=xnor"."""
    found = {}
    for network, options in (
        *(("post", options) for options in (*EVERYWHERE, *RESNET_E)),
        *(("pre", options) for options in (*EVERYWHERE, *RESNET_E)),
        *(("dense", options) for options in (*EVERYWHERE, *DENSE)),
    ):
        words = " ".join([network, *(f"{axis}={name}" for axis, name in options.items())])
        make = make_dense_design if network == "dense" else make_design
        found[words] = make(**options) if network == "dense" else make(order=network, **options)
    return found


CASES = cases()


def make_network(case: str, **sizes: Any) -> nn.Module:
    """The network of one of :data:`CASES`, randomised; ``sizes`` are the model's."""
    design = CASES[case]
    torch.manual_seed(sum(map(ord, case)))
    model = make_binary_densenet(**sizes) if case.startswith("dense") else make_resnet_e(**sizes)
    network = build_network(model, design, in_channels=3, num_classes=CLASSES, image_size=16)
    return randomised(network)


@torch.no_grad()
def randomised(network: nn.Module) -> nn.Module:
    """``network`` in eval mode with statistics, factors, shifts and biases from torch's generator.

    Some factors are negative, and some latent weights are zeros of either sign.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.5)
            layer.running_var.uniform_(0.5, 2)
            if layer.affine:
                layer.weight.normal_(1, 0.2).mul_(some_negative(layer.weight))
                layer.bias.normal_(0, 0.2)
        elif isinstance(layer, QuantizedConv2d):
            layer.weight.view(-1)[::7] = 0.0
            layer.weight.view(-1)[::14] = -0.0
            layer.reset_scale_()
            if layer.design.scaling.name == "learned":
                layer.scale.mul_(some_negative(layer.scale))
        elif isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
            layer.bias.normal_(0, 0.2)
    return network.eval()


def some_negative(like: Tensor) -> Tensor:
    """-1 in one of five places, else 1."""
    return 1 - 2 * (torch.rand_like(like) < 0.2).float()


def make_images(count: int = 2, height: int = 17, width: int = 13, channels: int = 3) -> Tensor:
    """Normal images (N, C, H, W), some pixels zeros of either sign."""
    images = torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(3))
    images.view(-1)[::50] = 0.0
    images.view(-1)[::75] = -0.0
    return images
