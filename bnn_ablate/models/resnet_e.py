"""ResNetE (Bethge et al. 2019, arXiv 1906.08637): a ResNet of binary 3x3 convolutions, each with its own shortcut."""

from __future__ import annotations

from torch import Tensor, nn

from bnn_ablate.design import Design
from bnn_ablate.float_layers import convolution
from bnn_ablate.layers import quantized_convolution
from bnn_ablate.models.stem import head, input_norm, stem
from bnn_ablate.settings import ResNetESizes, scaled


class ResNetE(nn.Module):
    """Images (N, in_channels, H, W) to logits (N, num_classes).

    Stage i has ``model.blocks_per_stage[i]`` pairs of 3x3 convolutions on ``model.channels[i]`` features, or as many
    bottlenecks; every stage but the first halves the image, odd sizes rounded up. order=post ends in ReLU, mean,
    Linear; order=pre puts a BatchNorm before them, since none follows its convolutions.
    """

    def __init__(self, model: ResNetESizes, design: Design, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        post = design.order.name == "post"
        block: type[PostBlock] | type[PreBlock] = PostBlock if post else PreBlock
        # The E of ResNetE: a pair of convolutions is two blocks of one, so that each has its own shortcut.
        blocks_a_pair, convs = (2, 1) if design.shortcut.name == "every_conv" else (1, 2)
        if design.bottleneck.name != "none":
            blocks_a_pair, convs = 1, 3

        self.input_norm = input_norm(in_channels) if model.input_norm else nn.Identity()
        features = scaled(model.stem_features, model.width)
        self.stem = stem(design, in_channels, features, norm_after_pool=post)
        stages = []
        for i, (pairs, channels) in enumerate(zip(model.blocks_per_stage, model.channels, strict=True)):
            blocks = []
            for j in range(pairs * blocks_a_pair):
                out = scaled(channels, model.width)
                blocks.append(block(features, out, stride=2 if i > 0 and j == 0 else 1, convs=convs, design=design))
                features = out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = head(features, num_classes, norm=not post, design=design)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(self.input_norm(images))))


class PostBlock(nn.Module):
    """E1: ``convs`` times (sign, conv, BN), plus the shortcut: (N, c_in, H, W) -> (N, c_out, H/stride, W/stride).

    One or two convolutions are 3x3; three are the bottleneck: 1x1 to c_out / 4, 3x3 with the stride, 1x1 to c_out.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, convs: int, design: Design) -> None:
        super().__init__()
        inner = out_channels // 4 if convs == 3 else out_channels
        layers: list[nn.Module] = []
        if convs == 3:
            layers += [convolved(in_channels, inner, 1, stride=1, design=design), nn.BatchNorm2d(inner)]
            if design.shortcut.name == "every_conv":
                layers += [PostBlock(inner, inner, stride=stride, convs=1, design=design)]
            else:
                layers += [convolved(inner, inner, 3, stride=stride, design=design), nn.BatchNorm2d(inner)]
            layers += [convolved(inner, out_channels, 1, stride=1, design=design), nn.BatchNorm2d(out_channels)]
        else:
            layers += [convolved(in_channels, inner, 3, stride=stride, design=design), nn.BatchNorm2d(inner)]
            if convs == 2:
                layers += [convolved(inner, inner, 3, stride=1, design=design), nn.BatchNorm2d(inner)]
        self.body = nn.Sequential(*layers)
        self.shortcut = shortcut(in_channels, out_channels, stride=stride, design=design)

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        if self.shortcut is not None:
            # In place: BatchNorm's backward reads its input, never this output.
            out += self.shortcut(x)
        return out


class PreBlock(nn.Module):
    """E2: ``convs`` times (BN, sign, conv), plus the shortcut, which starts at the first BN where the shape changes.

    Convolutions as in :class:`PostBlock`.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, convs: int, design: Design) -> None:
        super().__init__()
        inner = out_channels // 4 if convs == 3 else out_channels
        self.norm = nn.BatchNorm2d(in_channels)
        layers: list[nn.Module] = []
        if convs == 3:
            layers += [convolved(in_channels, inner, 1, stride=1, design=design)]
            if design.shortcut.name == "every_conv":
                layers += [PreBlock(inner, inner, stride=stride, convs=1, design=design)]
            else:
                layers += [nn.BatchNorm2d(inner), convolved(inner, inner, 3, stride=stride, design=design)]
            layers += [nn.BatchNorm2d(inner), convolved(inner, out_channels, 1, stride=1, design=design)]
        else:
            layers += [convolved(in_channels, inner, 3, stride=stride, design=design)]
            if convs == 2:
                layers += [nn.BatchNorm2d(inner), convolved(inner, inner, 3, stride=1, design=design)]
        self.body = nn.Sequential(*layers)
        self.shortcut = shortcut(in_channels, out_channels, stride=stride, design=design)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        out = self.body(normed)
        if self.shortcut is not None:
            out += self.shortcut(x if isinstance(self.shortcut, nn.Identity) else normed)
        return out


def convolved(in_channels: int, out_channels: int, kernel_size: int, *, stride: int, design: Design) -> nn.Module:
    return quantized_convolution(in_channels, out_channels, kernel_size, stride=stride, dilation=1, design=design)


def shortcut(in_channels: int, out_channels: int, *, stride: int, design: Design) -> nn.Module | None:
    """What is added to a block's output: x itself, or AvgPool 2/2, 1x1 convolution[, BN] where the shape changes.

    None without shortcuts. The pooling rounds odd sizes up, as the convolution of stride 2 does, and takes the mean
    of the pixels that are there.
    """
    if design.shortcut.name == "none":
        return None
    layers: list[nn.Module] = []
    if stride == 2:
        layers += [nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)]
    if in_channels != out_channels:
        if design.downsample.precision == "fp":
            layers += [convolution(in_channels, out_channels, 1)]
        else:
            layers += [convolved(in_channels, out_channels, 1, stride=1, design=design)]
        if design.order.name == "post":
            layers += [nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers) if layers else nn.Identity()
