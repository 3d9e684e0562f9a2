"""BinaryDenseNet (Bethge et al. 2019, arXiv 1906.08637): each layer appends features to all that came before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bnn_ablate.dense_stage import NormedConvolution, dense_stage
from bnn_ablate.design import Design
from bnn_ablate.float_layers import convolution
from bnn_ablate.layers import BinaryConv2d, quantized_convolution
from bnn_ablate.models.stem import head, input_norm, stem
from bnn_ablate.settings import BinaryDenseNetSizes, reduction_rates, scaled


class BinaryDenseNet(nn.Module):
    """Images (N, in_channels, H, W) to logits (N, num_classes).

    Stage i appends ``model.layers_per_stage[i]`` times ``model.growth`` features; the transition behind it reduces
    them by rate i of the design or the model and halves the image, odd sizes rounded up, unless the next stage is
    dilated more.
    """

    def __init__(self, model: BinaryDenseNetSizes, design: Design, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        growth, features = scaled(model.growth, model.width), scaled(model.init_features, model.width)
        self.input_norm = input_norm(in_channels) if model.input_norm else nn.Identity()
        self.stem = stem(design, in_channels, features, norm_after_pool=False)
        rates = reduction_rates(model, design)
        stages: list[nn.Module] = []
        for i, (layers, dilation) in enumerate(zip(model.layers_per_stage, model.dilation, strict=True)):
            if i > 0:
                reduced = reduced_features(features, rates[i - 1])
                pool = dilation <= model.dilation[i - 1]
                stages.append(transition(features, reduced, pool=pool, design=design))
                features = reduced
            dense = [DenseLayer(features + j * growth, growth, dilation=dilation, design=design) for j in range(layers)]
            stages.append(DenseStage(*dense))
            features += layers * growth
        self.stages = nn.Sequential(*stages)
        self.head = head(features, num_classes, norm=True, design=design)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(self.input_norm(images))))


class DenseStage(nn.Sequential):
    """Dense layers one after the other; in training on a CPU as one step that copies nothing, where they allow it."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled() and x.device.type == "cpu" and x.dtype == torch.float32:
            layers = self._layers(x)
            if layers is not None:
                return dense_stage(x, layers)
        return super().forward(x)  # type: ignore[no-untyped-call]

    def _layers(self, x: Tensor) -> list[NormedConvolution] | None:
        """The layers as that step takes them, or None where one of them does more than conv(sign(BN(x)))."""
        if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return None
        if x.numel() <= x.shape[1]:  # which has no variance: torch's BatchNorm says so
            return None
        found = []
        for layer in self:
            if not isinstance(layer, DenseLayer) or not isinstance(layer.conv, BinaryConv2d):
                return None
            if not layer.conv.factors_are_constants or not shareable(layer.norm) or hooked(layer):
                return None
            if layer.conv.weight.dtype != torch.float32:
                return None
            how = layer.conv.arithmetic(torch.float32, x.shape[2], x.shape[3])
            found.append(NormedConvolution(layer.norm, layer.conv.weight, how, layer.conv.constant_factor()))
        return found if len({layer.norm.eps for layer in found}) == 1 else None


def shareable(norm: nn.BatchNorm2d) -> bool:
    """Whether a norm does what BatchNorm does in training, on this process' images alone."""
    plain = type(norm) is nn.BatchNorm2d and norm.affine and norm.track_running_stats and norm.momentum is not None
    return plain and norm.training and norm.weight.dtype == torch.float32


def hooked(layer: nn.Module) -> bool:
    """Whether somebody wants to see what goes through a layer or a part of it."""
    return any(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
        for module in layer.modules()
    )


class DenseLayer(nn.Module):
    """concat(x, conv3x3(sign(BN(x)))): (N, c, H, W) -> (N, c + growth, H, W).

    Bottleneck: conv3x3(sign(BN(conv1x1(sign(BN(x)))))), the 1x1 to 4 growth features.
    """

    def __init__(self, in_channels: int, growth: int, *, dilation: int, design: Design) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        if design.bottleneck.name == "none":
            self.conv = quantized_convolution(in_channels, growth, 3, stride=1, dilation=dilation, design=design)
        else:
            self.conv = nn.Sequential(
                quantized_convolution(in_channels, 4 * growth, 1, stride=1, dilation=1, design=design),
                nn.BatchNorm2d(4 * growth),
                quantized_convolution(4 * growth, growth, 3, stride=1, dilation=dilation, design=design),
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.conv(self.norm(x))), 1)


def transition(in_channels: int, out_channels: int, *, pool: bool, design: Design) -> nn.Sequential:
    """BN, [MaxPool 2/2,] ReLU, full-precision 1x1; or BN, ReLU, 1x1[, AvgPool 2/2] in the layout of 2018.

    Binary convolutions have no ReLU before them: the sign after it would be +1 everywhere.
    """
    how = design.downsample
    layers: list[nn.Module] = [nn.BatchNorm2d(in_channels)]
    if pool and how.layout == "max_pool_conv":
        layers += [nn.MaxPool2d(2, 2, ceil_mode=True)]
    if how.relu:
        layers += [nn.ReLU(inplace=True)]
    if how.precision == "fp":
        layers += [convolution(in_channels, out_channels, 1)]
    else:
        layers += [quantized_convolution(in_channels, out_channels, 1, stride=1, dilation=1, design=design)]
    if pool and how.layout == "conv_avg_pool":
        layers += [nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)]
    return nn.Sequential(*layers)


def reduced_features(features: int, rate: float) -> int:
    """floor(features / rate), rounded to a multiple of 32 (halves to the even multiple), as the authors' code does.

    Raises ValueError where nothing would be left.
    """
    reduced = round((features // rate) / 32) * 32
    if reduced == 0:
        raise ValueError(
            f"a reduction rate of {rate} leaves no multiple of 32 of {features} features: "
            "choose a smaller one in model.reduction or downsample.reduction, or a larger model.width"
        )
    return reduced
