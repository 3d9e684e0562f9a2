"""The binary convolution against loops over every output value, and its gradients against plain differentiable math."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from layer_references import (
    BORDER,
    assert_gradients_match,
    convolved_by_loops,
    described,
    expected_borders,
    make_input,
    make_layer,
    spread_by_loops,
)
from network_factories import make_design
from torch import Tensor, nn

from bnn_ablate import convolution
from bnn_ablate.convolution import BinaryForward
from bnn_ablate.layers import (
    BinaryConv2d,
    clamp_latent_,
    frozen_share,
    reset_scales_,
    set_binary_forward,
    set_progress,
)
from bnn_ablate.packed import available_kernels

GEOMETRIES = [(1, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 2), (3, 2, 2), (1, 2, 1), (5, 1, 1)]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute as on devices without the kernels."""
    monkeypatch.setattr(convolution, "_OnBits", convolution._OnFloats)


@pytest.fixture(params=[*available_kernels(), "float", "elsewhere"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way of computing: each kernel, convolutions of floats on the CPU, and those of other devices."""
    if request.param == "elsewhere":
        request.getfixturevalue("elsewhere")
    elif request.param != "float":
        monkeypatch.setattr(BinaryConv2d, "binary_forward", "packed")
        monkeypatch.setattr("bnn_ablate.packed.training.available_kernels", lambda: (request.param,))


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work image by image, as large tensors do."""
    monkeypatch.setattr("bnn_ablate.binarize.PORTION", 1)
    monkeypatch.setattr(convolution, "CONVOLUTION_PORTION", 1)


@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.parametrize("c_in", [1, 3, 31, 33])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), GEOMETRIES)
@pytest.mark.usefixtures("arithmetic")
def test_outputs_are_exactly_the_counted_ones(padding: str, c_in: int, kernel: int, stride: int, dilation: int) -> None:
    x = make_input(c_in)
    signed = make_layer(c_in, 4, kernel, stride, dilation, padding=padding)
    popcount = make_layer(c_in, 4, kernel, stride, dilation, padding=padding, output="popcount")
    expected = convolved_by_loops(x, signed.weight, BORDER[padding], stride, dilation)
    assert np.array_equal(signed(x).detach().numpy(), expected)
    assert np.array_equal(popcount(x).detach().numpy(), (expected + c_in * kernel**2) / 2)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), list(product([1, 3, 5, 7], [1, 2, 3], [1, 2])))
@pytest.mark.usefixtures("arithmetic")
def test_outputs_with_the_borders_of_tensorflow_are_exactly_the_counted_ones(
    kernel: int, stride: int, dilation: int
) -> None:
    for (height, width), padding in product([(5, 8), (6, 7)], BORDER):
        x = make_input(3, height, width)
        layer = make_layer(3, 4, kernel, stride, dilation, padding=padding, side="same")
        expected = convolved_by_loops(x, layer.weight, BORDER[padding], stride, dilation, "same")
        assert np.array_equal(layer(x).detach().numpy(), expected)


@pytest.mark.parametrize("side", ["symmetric", "same"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), GEOMETRIES)
def test_a_layer_tells_its_borders(kernel: int, stride: int, dilation: int, side: str) -> None:
    layer = make_layer(3, 4, kernel, stride, dilation, side=side)
    assert layer.borders(5, 8) == expected_borders(make_input(3, 5, 8), kernel, stride, dilation, side)


@pytest.mark.parametrize("side", ["symmetric", "same"])
@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), GEOMETRIES)
def test_scaling_multiplies_by_alpha_and_by_the_box_filtered_magnitude(
    padding: str, kernel: int, stride: int, dilation: int, side: str
) -> None:
    x = make_input(5)
    options = {"padding": padding, "side": side}
    layers = {
        scaling: make_layer(5, 4, kernel, stride, dilation, scaling=scaling, **options)
        for scaling in ("channel", "learned", "xnor")
    }
    layers["magnitude_aware"] = make_layer(5, 4, kernel, stride, dilation, weights="magnitude_aware", **options)
    weight = layers["channel"].weight
    y = convolved_by_loops(x, weight, BORDER[padding], stride, dilation, side)
    alpha = np.abs(weight.detach().double().numpy()).mean(axis=(1, 2, 3))[:, None, None]
    for name in ("channel", "learned", "magnitude_aware"):
        np.testing.assert_allclose(layers[name](x).detach().numpy(), y * alpha, rtol=1e-6)
    k_map = spread_by_loops(x, kernel, stride, dilation, side)[:, None]
    np.testing.assert_allclose(layers["xnor"](x).detach().numpy(), y * alpha * k_map, rtol=1e-5, atol=1e-6)


GRADIENTS = [
    {"grad": "ste"},
    {"grad": "ste", "clip": 1.25},
    {"grad": "approxsign"},
    {"grad": "approxsign_both"},
    {"grad": "approxsign", "clip": 0.5},
    {"grad": "ste", "output": "popcount"},
    {"grad": "approxsign_both", "output": "popcount"},
    {"scaling": "channel"},
    {"scaling": "xnor"},
    {"scaling": "channel", "scaling_gradient": True},
    {"scaling": "xnor", "scaling_gradient": True, "grad": "approxsign"},
    {"grad": "swishsign"},
    {"grad": "swishsign_both", "clip": 1.25},
    {"grad": "ede"},
    {"grad": "ede_both", "clip": 1.25, "output": "popcount"},
    {"scaling": "learned"},
    {"scaling": "learned", "grad": "ede_both"},
    {"weights": "magnitude_aware"},
    {"weights": "magnitude_aware", "grad": "approxsign"},
]


@pytest.mark.parametrize("options", GRADIENTS, ids=described)
@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (3, 1, 2), (1, 1, 1)])
@pytest.mark.usefixtures("arithmetic")
def test_gradients_are_those_of_the_plain_composition(
    options: dict[str, Any], padding: str, kernel: int, stride: int, dilation: int
) -> None:
    layer = make_layer(5, 4, kernel, stride, dilation, padding=padding, **options)
    with torch.no_grad():
        layer.weight.view(-1)[:6] = torch.tensor([0.0, -0.0, 1.0, -1.0, 1.5, -1.5])
    assert_gradients_match(layer, make_input(5))


@pytest.mark.parametrize(
    "options", [{}, {"output": "popcount"}, {"scaling": "xnor"}, {"grad": "ede_both"}], ids=described
)
@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (5, 3, 2)])
@pytest.mark.usefixtures("arithmetic")
def test_gradients_with_the_borders_of_tensorflow_are_those_of_the_plain_composition(
    options: dict[str, Any], padding: str, kernel: int, stride: int, dilation: int
) -> None:
    assert_gradients_match(
        make_layer(5, 4, kernel, stride, dilation, padding=padding, side="same", **options), make_input(5, 6, 7)
    )


@pytest.mark.parametrize(
    ("grad", "side"), [("ste", "symmetric"), ("approxsign", "symmetric"), ("ste", "same"), ("swishsign_both", "same")]
)
@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.usefixtures("small_portions", "arithmetic")
def test_a_layer_worked_image_by_image_gives_the_same(grad: str, padding: str, side: str) -> None:
    layer = make_layer(5, 4, stride=2, grad=grad, padding=padding, side=side)
    x = make_input(5)
    assert np.array_equal(layer(x).detach().numpy(), convolved_by_loops(x, layer.weight, BORDER[padding], 2, 1, side))
    assert_gradients_match(layer, x)


def test_float64_is_exact_too() -> None:
    layer = make_layer(5, 4).double()
    x = make_input(5, dtype=torch.float64)
    y = layer(x)
    assert y.dtype == torch.float64
    assert np.array_equal(y.detach().numpy(), convolved_by_loops(x, layer.weight, -1, 1, 1))


def test_padding_changes_nothing_but_the_border() -> None:
    x = make_input(5, 7, 9)
    outputs = {padding: make_layer(5, 4, dilation=2, padding=padding)(x) for padding in BORDER}
    for padding in ("zero", "plus_one"):
        assert torch.equal(outputs[padding][:, :, 2:-2, 2:-2], outputs["minus_one"][:, :, 2:-2, 2:-2])
        assert not torch.equal(outputs[padding], outputs["minus_one"])


@pytest.mark.parametrize("options", [{"grad": "approxsign_both"}, {"clip": 2.0}, {"latent": "clamped"}], ids=described)
def test_an_option_of_the_backward_leaves_the_forward_alone(options: dict[str, Any]) -> None:
    x = make_input()
    assert torch.equal(make_layer(**options)(x), make_layer()(x))


@pytest.mark.parametrize(
    ("grad", "side"), [("ste", "symmetric"), ("approxsign", "symmetric"), ("ste", "same"), ("ede_both", "same")]
)
@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.parametrize("kernel", [1, 3])
def test_autocast_rounds_the_output_once(grad: str, padding: str, kernel: int, side: str) -> None:
    # K = 27 <= 256: every whole number is a bfloat16.
    layer, x = make_layer(3, 4, kernel, 2, grad=grad, padding=padding, side=side), make_input().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y.float(), layer(x))
    upstream = torch.randint(-3, 4, y.shape, generator=torch.Generator().manual_seed(1)).float()
    ours = torch.autograd.grad(y, (x, layer.weight), upstream.bfloat16())
    theirs = torch.autograd.grad(layer(x), (x, layer.weight), upstream)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == torch.float32
        assert torch.allclose(mine, other, rtol=0.01, atol=0.01 * other.abs().max().item())


@pytest.mark.parametrize("grad", ["ste", "approxsign", "swishsign", "ede_both"])
def test_the_backward_keeps_bits_and_no_float_copy(grad: str) -> None:
    layer, x = make_layer(64, 4, grad=grad), make_input(64, 8, 8).requires_grad_()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x)
    others = [t for t in kept if t.data_ptr() not in (layer.weight.data_ptr(), x.data_ptr())]
    sign_bits, window_bits = len(x) * 64 * 10 * 10, x.numel()
    assert [8 * t.numel() * t.element_size() for t in others] == [sign_bits, window_bits][: 2 if grad == "ste" else 1]
    assert any(t.data_ptr() == x.data_ptr() for t in kept) is (grad != "ste")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("grad", "bytes_a_value"), [("ste", 1), ("approxsign", 4), ("swishsign", 4), ("ede_both", 4)])
def test_elsewhere_the_backward_keeps_no_float_copy(grad: str, bytes_a_value: int) -> None:
    layer, x = make_layer(grad=grad), make_input().requires_grad_()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x)
    activations = [t for t in kept if t.data_ptr() != layer.weight.data_ptr()]
    assert [t.numel() * t.element_size() for t in activations] == [bytes_a_value * x.numel()]
    if bytes_a_value == 4:
        assert activations[0].data_ptr() == x.data_ptr()


def test_the_forward_that_a_layer_is_told_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    floats = []
    original = convolution.float_forward
    monkeypatch.setattr(convolution, "float_forward", lambda *given: floats.append(1) or original(*given))
    layer, x = make_layer(), make_input()
    for forward, expected in (("packed", 0), ("float", 1), ("packed", 1)):
        set_binary_forward(nn.Sequential(layer), forward)
        layer(x)
        assert len(floats) == expected


def test_a_new_layer_convolves_floats_since_packed_networks_are_held_against_it() -> None:
    assert make_layer().binary_forward == "float"


def test_compiled_networks_consist_of_torchs_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(convolution, "PackedConvolution", None)
    layer, x = make_layer(), make_input()
    assert np.array_equal(layer(x).detach().numpy(), convolved_by_loops(x, layer.weight, -1, 1, 1))


@pytest.mark.parametrize("forward", ["packed", "float"])
@pytest.mark.parametrize("output", ["signed", "popcount"])
def test_under_autocast_both_forwards_round_the_same_sums_once(forward: BinaryForward, output: str) -> None:
    layer, x = make_layer(67, 4, output=output, padding="zero"), make_input(67)
    exact = layer(x)
    set_binary_forward(nn.Sequential(layer), forward)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), exact.bfloat16())


@pytest.mark.parametrize("forward", ["packed", "float"])
@pytest.mark.parametrize(
    ("of_x", "of_weight"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16), (torch.bfloat16, torch.bfloat16),
     (torch.float32, torch.float64), (torch.float16, torch.float32)],
)  # fmt: skip
def test_input_and_weight_may_have_any_floats(
    of_x: torch.dtype, of_weight: torch.dtype, forward: BinaryForward
) -> None:
    layer, x = make_layer(), make_input().to(of_x).requires_grad_()
    layer.weight.data = layer.weight.data.to(of_weight)
    set_binary_forward(nn.Sequential(layer), forward)
    y = layer(x)
    assert np.array_equal(y.detach().float().numpy(), convolved_by_loops(x.float(), layer.weight.float(), -1, 1, 1))
    g_x, g_w = torch.autograd.grad(y, (x, layer.weight), torch.ones_like(y))
    assert (g_x.dtype, g_w.dtype) == (of_x, of_weight)


def test_floats_stay_single_where_another_kind_is_torchs_default() -> None:
    layer, x = make_layer(), make_input()
    set_binary_forward(nn.Sequential(layer), "packed")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        y = layer(x)
    finally:
        torch.set_default_dtype(before)
    assert np.array_equal(y.detach().numpy(), convolved_by_loops(x, layer.weight, -1, 1, 1))


@pytest.mark.parametrize("forward", ["packed", "float"])
@pytest.mark.parametrize("channels", [1, 2, 64])
def test_images_of_other_channels_are_refused(channels: int, forward: BinaryForward) -> None:
    layer = make_layer(3)
    set_binary_forward(nn.Sequential(layer), forward)
    with pytest.raises(ValueError, match=rf"does not fit images \(2, {channels}, 5, 8\)"):
        layer(make_input(channels))


def test_without_a_gradient_no_window_is_kept() -> None:
    layer, x = make_layer(64, 4), make_input(64, 8, 8)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x)
    assert len([t for t in kept if t.data_ptr() != layer.weight.data_ptr()]) == 1  # the signs, for the weight


@pytest.mark.parametrize("frozen", ["input", "weight"])
def test_either_gradient_can_be_left_out(frozen: str) -> None:
    layer, x = make_layer(), make_input().requires_grad_()
    both = torch.autograd.grad(layer(x).sum(), (x, layer.weight))
    (x if frozen == "input" else layer.weight).requires_grad_(False)
    rest, index = (layer.weight, 1) if frozen == "input" else (x, 0)
    assert torch.equal(torch.autograd.grad(layer(x).sum(), rest)[0], both[index])


def test_differentiating_twice_is_refused() -> None:
    layer, x = make_layer(), make_input().requires_grad_()
    (g,) = torch.autograd.grad((layer(x) ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="twice"):
        g.sum().backward()


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="kernel_size=2"):
        make_layer(kernel=2)


def test_images_in_either_memory_format_give_the_same() -> None:
    layer, x = make_layer(), make_input()
    assert torch.equal(layer(x.contiguous()), layer(x))
    assert layer(x).is_contiguous(memory_format=torch.channels_last)


def test_a_copy_and_a_reloaded_layer_compute_the_same() -> None:
    layer, x = make_layer(scaling="xnor"), make_input()
    reloaded = BinaryConv2d(3, 4, 3, stride=1, dilation=1, design=layer.design)
    assert not torch.equal(reloaded(x), layer(x))
    reloaded.load_state_dict(layer.state_dict())
    assert torch.equal(reloaded(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    assert list(layer.state_dict()) == ["weight"]


def test_a_learned_scale_starts_at_alpha_and_starts_again_for_other_weights() -> None:
    layer = make_layer(scaling="learned")
    assert isinstance(layer, BinaryConv2d)
    assert list(layer.state_dict()) == ["weight", "scale"]
    network = nn.Sequential(layer, nn.Conv2d(4, 4, 1), make_layer(4, 4))
    other = make_layer(3, 4, 3, 2)
    layer.load_state_dict(other.state_dict(), strict=False)
    alpha = np.abs(other.weight.detach().numpy()).mean(axis=(1, 2, 3))
    assert not np.allclose(layer.scale.detach().numpy(), alpha, rtol=1e-3)
    reset_scales_(network)
    np.testing.assert_allclose(layer.scale.detach().numpy(), alpha, rtol=1e-6)
    assert layer.scale.requires_grad


@pytest.mark.parametrize("side", ["symmetric", "same"])
def test_a_learned_scale_gets_the_sum_of_what_it_multiplies_as_gradient(side: str) -> None:
    layer, x = make_layer(stride=2, scaling="learned", side=side), make_input()
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([0.5, -2.0, 0.0, 3.0]))
    y = layer(x)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    y.backward(upstream)
    unscaled = convolved_by_loops(x, layer.weight, -1, 2, 1, side)
    np.testing.assert_allclose(y.detach().numpy(), unscaled * np.array([0.5, -2, 0, 3])[:, None, None])
    np.testing.assert_allclose(layer.scale.grad, (upstream.numpy() * unscaled).sum(axis=(0, 2, 3)), rtol=1e-5)


def test_progress_narrows_ede_and_nothing_else() -> None:
    x = make_input().requires_grad_()

    def gradient(layer: nn.Module) -> Tensor:
        return torch.autograd.grad(layer(x).sum(), x)[0]

    for grad in ("ede", "ede_both", "swishsign", "ste"):
        network = nn.Sequential(make_layer(grad=grad))
        at_start = gradient(network)
        set_progress(network, 0.5)
        assert network[0].progress == copy.deepcopy(network)[0].progress == 0.5
        assert list(network.state_dict()) == ["0.weight"]
        assert torch.equal(gradient(network), at_start) == (not grad.startswith("ede"))
        assert torch.equal(gradient(copy.deepcopy(network)), gradient(network))
        assert_gradients_match(network[0], x.detach())


# What the paper means by "normalization nullifies the effect of scaling", in float64 and with an eps of nothing.


def in_a_block(order: str, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
    """A convolution in a block of ``order`` and its BatchNorm: output, dL/dW and W, in training, for one fixed loss."""
    layer = make_layer(8, 4, order=order, **options).double()
    norm = nn.BatchNorm2d(4 if order == "post" else 8, eps=1e-30, dtype=torch.float64)
    x = 2 * make_input(8, dtype=torch.float64)
    y = norm(layer(x)) if order == "post" else layer(norm(x)) + x[:, :4]
    upstream = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (y.sin() * upstream).sum().backward()
    return y.detach(), layer.weight.grad, layer.weight.detach()


def relative_difference(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("option", [{"scaling": "channel"}, {"scaling": "learned"}], ids=described)
@pytest.mark.parametrize("grad", ["ste", "approxsign_both"])
def test_where_a_batch_norm_follows_a_factor_a_channel_changes_neither_output_nor_weight_gradient(
    option: dict[str, str], grad: str
) -> None:
    y, g_w, _ = in_a_block("post", grad=grad)
    scaled_y, scaled_g_w, _ = in_a_block("post", grad=grad, **option)
    assert relative_difference(scaled_y, y) < 1e-13
    assert relative_difference(scaled_g_w, g_w) < 1e-12


@pytest.mark.parametrize("option", [{"scaling": "channel"}, {"scaling": "learned"}], ids=described)
def test_where_no_batch_norm_follows_a_factor_a_channel_changes_both(option: dict[str, str]) -> None:
    y, g_w, _ = in_a_block("pre")
    scaled_y, scaled_g_w, _ = in_a_block("pre", **option)
    assert relative_difference(scaled_y, y) > 0.1
    assert relative_difference(scaled_g_w, g_w) > 0.1


@pytest.mark.parametrize("order", ["post", "pre"])
def test_the_magnitudes_of_xnor_are_not_absorbed_by_any_batch_norm(order: str) -> None:
    y, _, _ = in_a_block(order)
    for other in ("none", "channel"):
        y, _, _ = in_a_block(order, scaling=other)
        assert relative_difference(in_a_block(order, scaling="xnor")[0], y) > 0.1


def test_where_a_batch_norm_follows_magnitude_aware_weights_are_signs_with_a_window() -> None:
    options = {"init": "he_fan_in", "padding": "zero"}
    y, g_w, w = in_a_block("post", **options)
    aware_y, aware_g_w, _ = in_a_block("post", weights="magnitude_aware", **options)
    assert relative_difference(aware_y, y) < 1e-13
    assert relative_difference(aware_g_w, g_w * (w.abs() <= 1)) < 1e-12
    aware_y, aware_g_w, _ = in_a_block("pre", weights="magnitude_aware", **options)
    y, g_w, w = in_a_block("pre", **options)
    assert relative_difference(aware_y, y) > 0.1
    assert relative_difference(aware_g_w, g_w * (w.abs() <= 1)) > 0.1


@pytest.mark.parametrize(
    ("init", "variance", "bound"),
    [("he_fan_in", 2 / 288, None), ("xavier", 2 / 864, None), ("glorot", 2 / 864, 2 / 0.87962566)],
)
def test_initial_weights_have_the_mean_and_variance_of_the_option(
    init: str, variance: float, bound: float | None
) -> None:
    weight = make_layer(32, 64, init=init).weight.detach()
    n, deviation = weight.numel(), variance**0.5
    assert abs(weight.mean()) < 4 * deviation / n**0.5
    assert weight.var().item() == pytest.approx(variance, rel=4 * (2 / n) ** 0.5)
    largest = weight.abs().max().item() / deviation
    assert largest > 3 if bound is None else 2.2 < largest <= bound


def test_latent_weights_are_clamped_only_where_the_design_says_so() -> None:
    network = nn.Sequential(make_layer(), nn.Conv2d(4, 4, 1))
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(-3.0)
    clamp_latent_(network, make_design(clip=1.25))
    assert (network[0].weight == -3).all()
    clamp_latent_(network, make_design(clip=1.25, latent="clamped"))
    assert (network[0].weight == -1.25).all()
    assert (network[1].weight == -3).all()


def test_the_frozen_share_counts_latent_weights_without_gradient() -> None:
    options = {"grad": "approxsign_both"}
    network = nn.Sequential(make_layer(1, 1, **options), make_layer(1, 3, **options), nn.Conv2d(3, 3, 1))
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(0.5)
        network[0].weight.view(-1)[:4] = torch.tensor([1.5, -1.5, -1.0, -0.99])
    assert frozen_share(network) == 3 / 36
    window = nn.Sequential(make_layer(1, 1, weights="magnitude_aware"))
    with torch.no_grad():
        window[0].weight.fill_(0.5).view(-1)[:3] = torch.tensor([1.0, -1.0, -1.01])  # the bound is inside the window
    assert frozen_share(window) == 1 / 9
    with pytest.raises(ValueError, match="no binary convolution"):
        frozen_share(nn.Linear(1, 1))
