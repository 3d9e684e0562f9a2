"""Convolutions whose weights or activations keep their values, against plain differentiable math."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from layer_references import BORDER, assert_gradients_match, convolved_by_loops, described, make_input, make_layer
from network_factories import make_design
from torch import Tensor, nn

from bnn_ablate.design import Activations
from bnn_ablate.layers import (
    BinaryConv2d,
    MixedConv2d,
    activation,
    clamp_latent_,
    frozen_share,
    quantized_convolution,
    reset_scales_,
    set_progress,
)

FUNCTIONS = ["relu", "clip", "leaky_clip"]

#: All that the design lets meet where not both are binary.
COMBINATIONS: list[dict[str, Any]] = [
    *({"activations": "float", "function": function, "weights": "float"} for function in FUNCTIONS),
    *({"activations": "float", "function": function, "weights": "sign"} for function in FUNCTIONS),
    *({"activations": "float", "weights": "sign", "scaling": scaling} for scaling in ("channel", "learned")),
    {"activations": "float", "weights": "sign", "scaling": "channel", "scaling_gradient": True},
    *(
        {"activations": "float", "weights": "sign", "grad": f"{grad}_both"}
        for grad in ("approxsign", "swishsign", "ede")
    ),
    {"activations": "float", "function": "clip", "weights": "magnitude_aware"},
    *({"activations": "sign", "weights": "float", "padding": padding} for padding in BORDER),
    {"activations": "sign", "weights": "float", "clip": 1.25},
    *({"activations": "sign", "weights": "float", "grad": grad} for grad in ("approxsign", "swishsign", "ede")),
]


@pytest.mark.parametrize("options", COMBINATIONS, ids=described)
@pytest.mark.parametrize("side", ["symmetric", "same"])
def test_outputs_and_gradients_are_those_of_the_plain_composition(options: dict[str, Any], side: str) -> None:
    for kernel, stride, dilation in ((3, 1, 1), (3, 2, 1), (5, 2, 2), (1, 2, 1)):
        layer = make_layer(5, 4, kernel, stride, dilation, side=side, **options)
        assert isinstance(layer, MixedConv2d)
        set_progress(layer, 0.6)
        assert_gradients_match(layer, make_input(5))


@pytest.mark.parametrize(
    ("weights", "activations", "kind"),
    [
        ("sign", "sign", BinaryConv2d),
        ("magnitude_aware", "sign", BinaryConv2d),
        ("float", "sign", MixedConv2d),
        ("sign", "float", MixedConv2d),
        ("magnitude_aware", "float", MixedConv2d),
        ("float", "float", MixedConv2d),
    ],
)
def test_a_convolution_is_mixed_unless_both_are_binary(weights: str, activations: str, kind: type[nn.Module]) -> None:
    layer = make_layer(weights=weights, activations=activations)
    assert type(layer) is kind
    assert layer.binary_weights == (weights != "float")
    assert (layer.in_channels, layer.out_channels, layer.kernel_size) == (3, 4, 3)
    assert (layer.stride, layer.dilation, layer.padding) == (1, 1, 1)


@pytest.mark.parametrize("side", ["symmetric", "same"])
@pytest.mark.parametrize("padding", BORDER)
def test_a_mixed_layer_that_reads_signs_has_the_borders_of_the_binary_one(padding: str, side: str) -> None:
    """Weights of +-1 in a float layer: what the binary layer counts."""
    layer, x = make_layer(3, 4, 3, 2, weights="float", padding=padding, side=side), make_input(3, 6, 7)
    with torch.no_grad():
        layer.weight.copy_(torch.where(layer.weight < 0, -1.0, 1.0))
    assert np.array_equal(layer(x).detach().numpy(), convolved_by_loops(x, layer.weight, BORDER[padding], 2, 1, side))


#: x: relu, clip, leaky_clip, and their slopes.
FUNCTION_TABLE = {
    -11.0: ((0, -1, -2.0), (0, 0, 0.1)),
    -1.0: ((0, -1, -1), (0, 1, 1)),
    -0.5: ((0, -0.5, -0.5), (0, 1, 1)),
    0.0: ((0, 0, 0), (0, 1, 1)),
    0.75: ((0.75, 0.75, 0.75), (1, 1, 1)),
    1.0: ((1, 1, 1), (1, 1, 1)),
    2.0: ((2, 1, 1.1), (1, 0, 0.1)),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_functions_in_the_place_of_sign_are_those_of_the_table(function: str) -> None:
    column = FUNCTIONS.index(function)
    x = torch.tensor(list(FUNCTION_TABLE), requires_grad=True)
    y = activation(x, Activations(name="float", function=function))
    y.sum().backward()
    assert torch.allclose(y, torch.tensor([float(values[column]) for values, _ in FUNCTION_TABLE.values()]))
    assert torch.allclose(x.grad, torch.tensor([float(slopes[column]) for _, slopes in FUNCTION_TABLE.values()]))


@pytest.mark.parametrize("init", ["he_fan_in", "xavier", "glorot"])
def test_float_and_binary_layers_draw_the_same_numbers(init: str) -> None:
    drawn = []
    for weights, activations in product(("sign", "float"), repeat=2):
        design = make_design(init=init, weights=weights, activations=activations)
        torch.manual_seed(3)
        layer = quantized_convolution(3, 4, 3, stride=1, dilation=1, design=design)
        drawn.append((layer.weight.detach(), torch.rand(1)))
    for weight, following in drawn[1:]:
        assert torch.equal(weight, drawn[0][0])
        assert torch.equal(following, drawn[0][1])


def test_float_weights_load_into_the_binary_layer() -> None:
    pretrained = make_layer(stride=2, weights="float", activations="float")
    binary = make_layer()
    assert list(pretrained.state_dict()) == list(binary.state_dict()) == ["weight"]
    binary.load_state_dict(pretrained.state_dict())
    assert torch.equal(binary.weight, pretrained.weight)
    # A learned scale has no counterpart in the float network: it starts at the alpha of what was loaded.
    learned = make_layer(scaling="learned")
    assert learned.load_state_dict(pretrained.state_dict(), strict=False).missing_keys == ["scale"]
    reset_scales_(learned)
    assert torch.allclose(learned.scale, pretrained.weight.abs().mean((1, 2, 3)))
    mixed = make_layer(scaling="learned", activations="float", weights="sign")
    assert list(mixed.state_dict()) == ["weight", "scale"]
    mixed.load_state_dict(learned.state_dict())


def test_only_latent_weights_are_clamped_and_counted() -> None:
    layers = {
        "twin": make_layer(weights="float", activations="float"),
        "binary_weights": make_layer(weights="sign", activations="float", grad="approxsign_both"),
        "binary": make_layer(grad="approxsign_both"),
    }
    network = nn.Sequential(*layers.values())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(-3.0)
        layers["binary"].weight.fill_(0.5)
    assert frozen_share(network) == 0.5
    clamp_latent_(network, make_design(clip=1.25, latent="clamped"))
    assert {name: layer.weight.min().item() for name, layer in layers.items()} == {
        "twin": -3.0,
        "binary_weights": -1.25,
        "binary": 0.5,
    }
    with pytest.raises(ValueError, match="no binary convolution"):
        frozen_share(layers["twin"])


@pytest.mark.parametrize("side", ["symmetric", "same"])
@pytest.mark.parametrize("options", COMBINATIONS[::4], ids=described)
def test_images_keep_their_memory_format_and_autocast_its_type(options: dict[str, Any], side: str) -> None:
    layer = make_layer(3, 4, 3, 2, side=side, **options)
    x = make_input(3, 6, 7)
    y = layer(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(layer(x.contiguous()), y, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = layer(x)
    assert narrow.dtype == torch.bfloat16
    assert torch.allclose(narrow.float(), y, atol=0.1)


def test_a_copy_of_a_mixed_layer_computes_the_same_at_the_same_progress() -> None:
    layer = make_layer(weights="float", grad="ede")
    set_progress(layer, 0.7)
    x = make_input().requires_grad_()

    def gradient(of: nn.Module) -> Tensor:
        return torch.autograd.grad(of(x).sum(), x)[0]

    assert torch.equal(gradient(copy.deepcopy(layer)), gradient(layer))
    assert not torch.equal(gradient(make_layer(weights="float", grad="ede")), gradient(layer))


def test_a_float_twin_can_be_traced() -> None:
    layer = make_layer(weights="float", activations="float")
    assert torch.equal(torch.fx.symbolic_trace(layer)(make_input()), layer(make_input()))
