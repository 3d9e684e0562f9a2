"""The binary convolution against loops over every output value, and its gradients against plain differentiable math."""

from __future__ import annotations

import copy
import platform
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from network_factories import make_design
from torch import Tensor, nn

from bnn_ablate import convolution
from bnn_ablate.layers import BinaryConv2d, clamp_latent_, frozen_share

BORDER = {"minus_one": -1, "zero": 0, "plus_one": 1}
GEOMETRIES = [(1, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 2), (3, 2, 2), (1, 2, 1), (5, 1, 1)]


@pytest.fixture(params=["bytes", "floats"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of a forward: whole numbers, and the float convolution of machines that cannot."""
    if request.param == "bytes" and not (platform.machine() == "x86_64" and torch.backends.mkldnn.is_available()):
        pytest.skip("oneDNN convolves bytes on x86-64 only")
    # Not asked but set: a mistake there must show here, and not only slow the platform down.
    monkeypatch.setattr(convolution, "whole_number_convolution_works", lambda: request.param == "bytes")


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work image by image, as large tensors do."""
    monkeypatch.setattr("bnn_ablate.binarize.PORTION", 1)
    monkeypatch.setattr(convolution, "CONVOLUTION_PORTION", 1)


def make_layer(
    c_in: int = 3, c_out: int = 4, kernel: int = 3, stride: int = 1, dilation: int = 1, **options: Any
) -> BinaryConv2d:
    torch.manual_seed(c_in + 10 * kernel + stride)
    return BinaryConv2d(c_in, c_out, kernel, stride=stride, dilation=dilation, design=make_design(**options))


def make_input(c_in: int = 3, height: int = 5, width: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    """Two images, zeros of both kinds and values on the edges of every window among them."""
    torch.manual_seed(7)
    x = torch.randn(2, c_in, height, width, dtype=dtype)
    edges = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.25, -1.25], dtype=dtype)
    x.view(-1)[: 8 * (x.numel() // 16)] = edges.repeat(x.numel() // 16)
    return x.contiguous(memory_format=torch.channels_last)


def convolved_by_loops(x: Tensor, weight: Tensor, border: float, stride: int, dilation: int) -> np.ndarray:
    """Sum over taps and channels of the products of signs, one output value after the other, in whole numbers."""
    x_b = np.where(x.detach().numpy() < 0, -1, 1)
    w_b = np.where(weight.detach().numpy() < 0, -1, 1)
    n, _, height, width = x_b.shape
    c_out, _, k, _ = w_b.shape
    reach = dilation * (k - 1) // 2
    rows, columns = range(0, height, stride), range(0, width, stride)
    y = np.zeros((n, c_out, len(rows), len(columns)))
    for (i, row), (j, column) in product(enumerate(rows), enumerate(columns)):
        for tap_row, tap_column in product(range(k), range(k)):
            r, c = row - reach + dilation * tap_row, column - reach + dilation * tap_column
            w_tap = w_b[:, :, tap_row, tap_column]
            inside = 0 <= r < height and 0 <= c < width
            y[:, :, i, j] += x_b[:, :, r, c] @ w_tap.T if inside else border * w_tap.sum(1)
    return y


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


@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), GEOMETRIES)
def test_scaling_multiplies_by_alpha_and_by_the_box_filtered_magnitude(
    padding: str, kernel: int, stride: int, dilation: int
) -> None:
    x = make_input(5)
    options = {"padding": padding}
    channel = make_layer(5, 4, kernel, stride, dilation, scaling="channel", **options)
    xnor = make_layer(5, 4, kernel, stride, dilation, scaling="xnor", **options)
    y = convolved_by_loops(x, channel.weight, BORDER[padding], stride, dilation)
    alpha = np.abs(channel.weight.detach().double().numpy()).mean(axis=(1, 2, 3))[:, None, None]
    magnitude = np.abs(x.double().numpy()).mean(axis=1)
    reach = dilation * (kernel - 1) // 2
    padded = np.pad(magnitude, ((0, 0), (reach, reach), (reach, reach)))
    k_map = np.zeros((2, *y.shape[2:]))
    for i, j in product(range(y.shape[2]), range(y.shape[3])):
        for row, column in product(range(kernel), range(kernel)):
            k_map[:, i, j] += padded[:, i * stride + dilation * row, j * stride + dilation * column] / kernel**2
    np.testing.assert_allclose(channel(x).detach().numpy(), y * alpha, rtol=1e-6)
    np.testing.assert_allclose(xnor(x).detach().numpy(), y * alpha * k_map[:, None], rtol=1e-5, atol=1e-6)


def differentiable(x: Tensor, layer: BinaryConv2d) -> Tensor:
    """The layer as ordinary functions whose own derivatives are the estimators: autograd does the rest."""
    design, k = layer.design, layer.kernel_size
    clip = design.grad.clip
    parabolas = (2 * x - x * x.abs()) * (x.abs() <= min(1.0, clip))
    soft_x = x.clamp(-clip, clip) if design.grad.name == "ste" else parabolas
    w = layer.weight.to(x.dtype)
    soft_w = (2 * w - w * w.abs()) * (w.abs() <= 1) if design.grad.name == "approxsign_both" else w
    x_b = (torch.where(x < 0, -1.0, 1.0).to(x.dtype) - soft_x).detach() + soft_x
    w_b = (torch.where(w < 0, -1.0, 1.0).to(x.dtype) - soft_w).detach() + soft_w
    padded = F.pad(x_b, [layer.padding] * 4, value=BORDER[design.padding.name])
    y = F.conv2d(padded, w_b, stride=layer.stride, dilation=layer.dilation)
    if design.output.name == "popcount":
        y = (y + layer.in_channels * k * k) / 2
    alpha = w.abs().mean((1, 2, 3)).view(-1, 1, 1)
    box = torch.full((1, 1, k, k), 1 / k**2, dtype=x.dtype)
    geometry = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    k_map = F.conv2d(x.abs().mean(1, keepdim=True), box, **geometry)
    if not design.scaling.gradient:
        alpha, k_map = alpha.detach(), k_map.detach()
    return {"none": y, "channel": y * alpha, "xnor": y * alpha * k_map}[design.scaling.name]


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
]


def described(options: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items())


@pytest.mark.parametrize("options", GRADIENTS, ids=described)
@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (3, 1, 2), (1, 1, 1)])
def test_gradients_are_those_of_the_plain_composition(
    options: dict[str, Any], padding: str, kernel: int, stride: int, dilation: int
) -> None:
    layer = make_layer(5, 4, kernel, stride, dilation, padding=padding, **options)
    with torch.no_grad():
        layer.weight.view(-1)[:6] = torch.tensor([0.0, -0.0, 1.0, -1.0, 1.5, -1.5])
    assert_gradients_match(layer, make_input(5))


def assert_gradients_match(layer: BinaryConv2d, x: Tensor) -> None:
    exact = x.double().requires_grad_()
    x = x.clone().requires_grad_()
    y, expected = layer(x), differentiable(exact, layer)
    assert torch.allclose(y.double(), expected, rtol=1e-5, atol=1e-5)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad(y, (x, layer.weight), upstream)
    theirs = torch.autograd.grad(expected, (exact, layer.weight), upstream.double())
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine.double(), other.double(), rtol=1e-4, atol=1e-4)
        assert mine.stride() == other.stride() or mine.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("grad", ["ste", "approxsign"])
@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.usefixtures("small_portions")
def test_a_layer_worked_image_by_image_gives_the_same(grad: str, padding: str) -> None:
    layer = make_layer(5, 4, stride=2, grad=grad, padding=padding)
    x = make_input(5)
    assert np.array_equal(layer(x).detach().numpy(), convolved_by_loops(x, layer.weight, BORDER[padding], 2, 1))
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


@pytest.mark.parametrize("grad", ["ste", "approxsign"])
@pytest.mark.parametrize("padding", BORDER)
@pytest.mark.parametrize("kernel", [1, 3])
def test_autocast_rounds_the_output_once(grad: str, padding: str, kernel: int) -> None:
    # K = 27 <= 256: every whole number is a bfloat16.
    layer, x = make_layer(3, 4, kernel, 2, grad=grad, padding=padding), make_input().requires_grad_()
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


@pytest.mark.parametrize(("grad", "bytes_a_value"), [("ste", 1), ("approxsign", 4)])
def test_the_backward_keeps_no_float_copy(grad: str, bytes_a_value: int) -> None:
    layer, x = make_layer(grad=grad), make_input().requires_grad_()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x)
    activations = [t for t in kept if t.data_ptr() != layer.weight.data_ptr()]
    assert [t.numel() * t.element_size() for t in activations] == [bytes_a_value * x.numel()]
    if grad == "approxsign":
        assert activations[0].data_ptr() == x.data_ptr()


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
    network = nn.Sequential(make_layer(1, 1), make_layer(1, 3), nn.Conv2d(3, 3, 1))
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(0.5)
        network[0].weight.view(-1)[:4] = torch.tensor([1.5, -1.5, -1.0, -0.99])
    assert frozen_share(network) == 3 / 36
    with pytest.raises(ValueError, match="no binary convolution"):
        frozen_share(nn.Linear(1, 1))


@pytest.mark.skipif(
    not (platform.machine() == "x86_64" and torch.backends.mkldnn.is_available()),
    reason="oneDNN convolves bytes on x86-64 only",
)
def test_this_machine_convolves_whole_numbers() -> None:
    assert convolution.whole_number_convolution_works()
