"""Both families: every combination runs and learns, and each option changes the network where it should."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from network_factories import make_binary_densenet, make_dense_design, make_design, make_resnet_e
from torch import Tensor, nn

from bnn_ablate.design import Design
from bnn_ablate.layers import BinaryConv2d
from bnn_ablate.models import build_network
from bnn_ablate.models.binary_densenet import DenseLayer, reduced_features, transition
from bnn_ablate.models.resnet import float_resnet18
from bnn_ablate.models.resnet_e import PostBlock, PreBlock
from bnn_ablate.settings import BinaryDenseNetSizes, ResNetESizes

STEMS = ("imagenet", "grouped", "cifar", "cifar_2018")
SHORTCUTS = ("every_conv", "every_block", "none")


def every_network() -> list[Any]:
    cases: list[tuple[ResNetESizes | BinaryDenseNetSizes, Design]] = []
    for stem, order, shortcut in product(STEMS, ("post", "pre"), SHORTCUTS):
        downsample = "binary" if shortcut == "every_block" else "fp"
        cases.append((make_resnet_e(), make_design(stem=stem, order=order, shortcut=shortcut, downsample=downsample)))
    for stem, downsample in product(STEMS, ("fp", "binary")):
        cases.append((make_binary_densenet(), make_dense_design(stem=stem, downsample=downsample)))
    cases.append((make_binary_densenet(dilation=(1, 2), input_norm=True), make_dense_design()))
    return [
        pytest.param(model, d, id=f"{model.family} {d.stem.name} {d.order.name} {d.shortcut.name} {d.downsample.name}")
        for model, d in cases
    ]


def make_network(model: ResNetESizes | BinaryDenseNetSizes, design: Design, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(model, design, in_channels=3, num_classes=5, image_size=32)


def make_images(side: int = 32, count: int = 4) -> Tensor:
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("model", "design"), every_network())
def test_every_combination_gives_logits_and_moves_every_parameter(
    model: ResNetESizes | BinaryDenseNetSizes, design: Design
) -> None:
    network = make_network(model, design)
    logits = network(make_images())
    assert logits.shape == (4, 5)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    for name, p in network.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, name
            assert p.grad.isfinite().all(), name
            assert p.grad.abs().max() > 0, name


@pytest.mark.parametrize("side", [28, 30, 32, 33, 224])
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("family", ["resnet_e", "binary_densenet"])
def test_any_image_size_and_class_count_work(side: int, stem: str, family: str) -> None:
    if family == "resnet_e":
        model, design = make_resnet_e(blocks_per_stage=(1,) * 4, channels=(16,) * 3 + (32,)), make_design(stem=stem)
    else:
        model = make_binary_densenet(layers_per_stage=(1,) * 4, dilation=(1,) * 4, reduction=(1.0,) * 3)
        design = make_dense_design(stem=stem)
    network = build_network(model, design, in_channels=1, num_classes=7, image_size=side).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, side, side)).shape == (1, 7)


@pytest.mark.parametrize("family", ["resnet_e", "binary_densenet"])
def test_activations_stay_channels_last(family: str) -> None:
    network = (
        make_network(make_resnet_e(), make_design())
        if family == "resnet_e"
        else make_network(make_binary_densenet(), make_dense_design())
    ).to(memory_format=torch.channels_last)

    def check(layer: nn.Module, _: Any, out: Tensor) -> None:
        assert out.dim() != 4 or out.is_contiguous(memory_format=torch.channels_last), layer

    for layer in network.modules():
        layer.register_forward_hook(check)
    network(make_images())


@pytest.mark.parametrize("design", [make_design(), make_design(order="pre", scaling="xnor")])
def test_a_copy_and_a_reloaded_network_compute_the_same(design: Design) -> None:
    network, images = make_network(make_resnet_e(), design), make_images()
    network(images)
    expected = network.eval()(images)
    assert torch.equal(copy.deepcopy(network)(images), expected)
    other = make_network(make_resnet_e(), design, seed=1)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.eval()(images), expected)


def test_initial_weights_follow_the_seed() -> None:
    def weights(seed: int) -> Tensor:
        return torch.cat([p.flatten() for p in make_network(make_resnet_e(), make_design(), seed).parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_float_weights_are_he_normal_and_biases_zero() -> None:
    network = make_network(make_resnet_e(stem_features=64, channels=(64, 128)), make_design(stem="imagenet"))
    convs = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    linear = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    assert len(convs) == 2
    for weight in [*(conv.weight for conv in convs), linear.weight]:
        expected = 2 / weight[0].numel()
        assert weight.var().item() == pytest.approx(expected, rel=5 * (2 / weight.numel()) ** 0.5)
        assert abs(weight.mean().item()) < 4 * (expected / weight.numel()) ** 0.5
    assert linear.bias.abs().max() == 0
    assert all(conv.bias is None for conv in convs)


def test_a_block_that_changes_shape_is_what_the_paper_draws() -> None:
    x = torch.randn(2, 16, 7, 5)
    post = PostBlock(16, 32, stride=2, convs=1, design=make_design())
    conv, norm = post.body
    pool, downsample, shortcut_norm = post.shortcut
    assert torch.allclose(pool(x), mean_of_pairs(x), atol=1e-6)
    expected = norm(conv(x)) + shortcut_norm(F.conv2d(mean_of_pairs(x), downsample.weight))
    assert torch.allclose(post(x), expected, atol=1e-5)

    pre = PreBlock(16, 32, stride=2, convs=1, design=make_design(order="pre"))
    normed = pre.norm(x)
    (conv,) = pre.body
    expected = conv(normed) + F.conv2d(mean_of_pairs(normed), pre.shortcut[1].weight)
    assert torch.allclose(pre(x), expected, atol=1e-4)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in (*pre.body, *pre.shortcut))


def mean_of_pairs(x: Tensor) -> Tensor:
    """The mean of each 2x2 square, or of what is left of it at the border."""
    rows = [x[:, :, i : i + 2] for i in range(0, x.shape[2], 2)]
    squares = [[row[:, :, :, j : j + 2].mean((2, 3)) for j in range(0, x.shape[3], 2)] for row in rows]
    return torch.stack([torch.stack(row, -1) for row in squares], -2)


@pytest.mark.parametrize(("shortcut", "convs"), [("every_conv", 1), ("every_block", 2), ("none", 2)])
def test_a_shortcut_carries_its_input_past_as_many_convolutions_as_the_option_says(shortcut: str, convs: int) -> None:
    x = torch.randn(2, 16, 6, 6)
    network = make_network(make_resnet_e(), make_design(shortcut=shortcut))
    block = network.stages[0][0]
    assert sum(isinstance(layer, BinaryConv2d) for layer in block.modules()) == convs
    nn.init.zeros_(block.body[-1].weight)  # the last BatchNorm's scale: what is left is the shortcut
    assert torch.equal(block(x), torch.zeros_like(x) if shortcut == "none" else x)

    pre = make_network(make_resnet_e(), make_design(shortcut=shortcut, order="pre")).stages[0][0]
    assert sum(isinstance(layer, BinaryConv2d) for layer in pre.modules()) == convs
    branch = pre.body(pre.norm(x))
    assert torch.equal(pre(x), branch if shortcut == "none" else branch + x)


@pytest.mark.parametrize("order", ["post", "pre"])
def test_shortcuts_change_no_convolution_of_the_body(order: str) -> None:
    shapes = set()
    for shortcut in SHORTCUTS:
        network = make_network(make_resnet_e(blocks_per_stage=(2, 2)), make_design(shortcut=shortcut, order=order))
        convs = [(m.weight.shape, m.stride) for m in network.modules() if isinstance(m, BinaryConv2d)]
        assert len(convs) == 8
        shapes.add(tuple(convs))
        fp = [m for m in network.stages.modules() if isinstance(m, nn.Conv2d)]
        assert len(fp) == (0 if shortcut == "none" else 1)
    assert len(shapes) == 1


def test_binary_downsampling_replaces_the_float_convolutions_one_for_one() -> None:
    for model, make in ((make_resnet_e(), make_design), (make_binary_densenet(), make_dense_design)):
        fp, binary = (make_network(model, make(downsample=name)) for name in ("fp", "binary"))
        assert sum(p.numel() for p in fp.parameters()) == sum(p.numel() for p in binary.parameters())
        assert not any(m.kernel_size == 1 for m in fp.modules() if isinstance(m, BinaryConv2d))
        assert sum(m.kernel_size == 1 for m in binary.modules() if isinstance(m, BinaryConv2d)) == 1
        assert not any(isinstance(m, nn.Conv2d) for m in binary.stages.modules())


def test_dense_layers_append_to_their_input() -> None:
    layer = DenseLayer(16, 4, dilation=2, design=make_dense_design())
    x = torch.randn(2, 16, 7, 7)
    out = layer(x)
    assert torch.equal(out[:, :16], x)
    assert torch.equal(out[:, 16:], layer.conv(layer.norm(x)))
    assert layer.conv.dilation == layer.conv.padding == 2


def test_transitions_pool_unless_the_next_stage_is_dilated_more() -> None:
    x = torch.randn(2, 64, 7, 7)
    for pool, side in ((True, 4), (False, 7)):
        assert transition(64, 32, pool=pool, design=make_dense_design())(x).shape == (2, 32, side, side)
    layers = [type(m).__name__ for m in transition(64, 32, pool=True, design=make_dense_design())]
    assert layers == ["BatchNorm2d", "MaxPool2d", "ReLU", "Conv2d"]
    layers = [type(m).__name__ for m in transition(64, 32, pool=True, design=make_dense_design(downsample="binary"))]
    assert layers == ["BatchNorm2d", "MaxPool2d", "BinaryConv2d"]

    model = make_binary_densenet(layers_per_stage=(1,) * 4, dilation=(1, 1, 2, 4), reduction=(1.0,) * 3)
    network = make_network(model, make_dense_design())
    sides = [stage(torch.randn(1, stage[0].num_features, 8, 8)).shape[2] for stage in network.stages[1::2]]
    assert sides == [4, 8, 8]
    assert [stage[0].conv.dilation for stage in network.stages[::2]] == [1, 1, 2, 4]


@pytest.mark.parametrize(
    ("features", "rate", "reduced"),
    [
        (448, 2.7, 160),
        (544, 2.7, 192),
        (576, 2.2, 256),
        (448, 3.3, 128),
        (640, 3.3, 192),
        (960, 4.0, 256),
        (928, 3.3, 288),
        (1184, 4.0, 288),
        (48, 1.0, 64),  # 1.5 multiples of 32 become 2, the even one
    ],
)
def test_reduced_features_are_those_of_the_published_networks(features: int, rate: float, reduced: int) -> None:
    assert reduced_features(features, rate) == reduced


def test_a_reduction_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a reduction rate of 3.3 .* model\.reduction or downsample\.reduction"):
        reduced_features(48, 3.3)


def test_the_image_norm_learns_a_shift_and_no_scale() -> None:
    network = make_network(make_resnet_e(), make_design())
    assert network.input_norm.eps == 2e-5
    assert (network.input_norm.weight == 1).all()
    assert [p.requires_grad for p in network.input_norm.parameters()] == [False, True]
    assert isinstance(make_network(make_resnet_e(input_norm=False), make_design()).input_norm, nn.Identity)


@pytest.mark.parametrize(
    ("stem", "layers"),
    [
        ("imagenet", ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]),
        ("grouped", ["Conv2d", "BatchNorm2d", "ReLU"] * 3 + ["MaxPool2d"]),
        ("cifar", ["Conv2d", "BatchNorm2d"]),
        ("cifar_2018", ["Conv2d"]),
    ],
)
def test_stems_have_the_layers_of_their_option(stem: str, layers: list[str]) -> None:
    def built(network: nn.Module) -> list[str]:
        return [type(layer).__name__ for layer in network.stem]

    pooled = stem in ("imagenet", "grouped")
    assert built(make_network(make_resnet_e(), make_design(stem=stem))) == layers + ["BatchNorm2d"] * pooled
    assert built(make_network(make_resnet_e(), make_design(stem=stem, order="pre"))) == layers
    assert built(make_network(make_binary_densenet(), make_dense_design(stem=stem))) == layers
    side = make_network(make_resnet_e(), make_design(stem=stem)).stem(torch.randn(1, 3, 32, 32)).shape[2]
    assert side == (8 if pooled else 32)


def test_a_grouped_stem_whose_features_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stem=grouped.*model\.width"):
        make_network(make_resnet_e(stem_features=24), make_design(stem="grouped"))


def test_width_multiplies_every_stage() -> None:
    network = make_network(make_resnet_e(width=0.5), make_design())
    widths = {m.out_channels for m in network.modules() if isinstance(m, BinaryConv2d)}
    assert widths == {8, 16}
    assert network.stem[0].out_channels == 8


def test_a_design_that_the_family_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="order=post"):
        make_network(make_binary_densenet(), make_dense_design(order="post"))
    with pytest.raises(ValueError, match="shortcut=concat"):
        make_network(make_resnet_e(), make_design(shortcut="concat"))


def test_the_head_is_relu_after_post_and_norm_relu_after_pre() -> None:
    heads = {o: make_network(make_resnet_e(), make_design(order=o)).head for o in ("post", "pre")}
    assert [type(m).__name__ for m in heads["post"]][:1] == ["ReLU"]
    assert [type(m).__name__ for m in heads["pre"]][:2] == ["BatchNorm2d", "ReLU"]


def test_the_plain_resnet18_trains() -> None:
    network = float_resnet18(stem="cifar", in_channels=3, num_classes=5)
    network(make_images(8, 2)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert sum(isinstance(m, nn.Conv2d) for m in network.modules()) == 20


def test_width_multiplies_every_layer_of_the_plain_resnet18() -> None:
    network = float_resnet18(stem="imagenet", in_channels=3, num_classes=5, width=0.25)
    widths = [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert widths == [16, *[features for features in (16, 32, 64, 128) for _ in range(4)]]
    assert network(make_images(8, 2)).shape == (2, 5)
    with pytest.raises(ValueError, match=r"model\.width=0\.01 gives 0\.64 features"):
        float_resnet18(stem="cifar", in_channels=3, num_classes=5, width=0.01)
