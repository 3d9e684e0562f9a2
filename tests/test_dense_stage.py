"""A dense stage trained as one step, against the same layers one after the other in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import pytest
import torch
from layer_references import described
from network_factories import make_design
from torch import Tensor, nn

from bnn_ablate import dense_stage
from bnn_ablate.layers import BinaryConv2d, set_binary_forward
from bnn_ablate.models import binary_densenet
from bnn_ablate.models.binary_densenet import DenseLayer, DenseStage
from bnn_ablate.packed import available_kernels
from bnn_ablate.packed.training import add_scaled_, centre_, has_gradients, moments
from bnn_ablate.synced_norm import synchronise_norms

WITHOUT_GRADIENTS = [kernel for kernel in available_kernels() if not has_gradients(kernel)]


def make_stage(
    features: int = 24, growth: int = 16, layers: int = 3, dilation: int = 1, **options: object
) -> DenseStage:
    torch.manual_seed(features + growth)
    design = make_design(order="pre", shortcut="concat", **options)
    stage = DenseStage(
        *(DenseLayer(features + i * growth, growth, dilation=dilation, design=design) for i in range(layers))
    )
    for module in stage.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -1.0, 2.0)
            nn.init.normal_(module.bias)
    return stage


def make_images(features: int = 24) -> Tensor:
    torch.manual_seed(features)
    x = torch.randn(4, features, 9, 7).mul_(3).add_(1)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def one_after_the_other(stage: DenseStage) -> nn.Sequential:
    return nn.Sequential(*copy.deepcopy(list(stage))).double()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of layers of each stage that was computed as one step."""
    counted: list[int] = []

    def counting(x: Tensor, layers: Sequence[dense_stage.NormedConvolution]) -> Tensor:
        counted.append(len(layers))
        return dense_stage.dense_stage(x, layers)

    monkeypatch.setattr(binary_densenet, "dense_stage", counting)
    return counted


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert (ours - theirs).abs().max() <= 5e-6 * theirs.abs().max()


OPTIONS = [
    {},
    {"clip": 0.5},
    {"grad": "approxsign"},
    {"grad": "approxsign_both"},
    {"grad": "ede_both", "clip": 1.25},
    {"padding": "zero"},
    {"output": "popcount", "padding": "plus_one"},
    {"scaling": "channel"},
    {"weights": "magnitude_aware"},
]


@pytest.mark.parametrize("kernel", [available_kernels()[0], *WITHOUT_GRADIENTS[:1], "float"])
@pytest.mark.parametrize("options", OPTIONS, ids=described)
def test_outputs_gradients_and_statistics_are_those_of_layers_one_after_the_other(
    options: dict[str, object], kernel: str, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernel != "float":
        monkeypatch.setattr(BinaryConv2d, "binary_forward", "packed")
        monkeypatch.setattr("bnn_ablate.packed.training.available_kernels", lambda: (kernel,))
    stage, x = make_stage(**options), make_images()
    plain, x_wide = one_after_the_other(stage), x.detach().double().requires_grad_()
    ours, theirs = stage(x), plain(x_wide)
    assert steps == [3]
    assert_close(ours, theirs)
    upstream = torch.randn_like(ours)
    gradients = torch.autograd.grad(ours, (x, *stage.parameters()), upstream)
    expected = torch.autograd.grad(theirs, (x_wide, *plain.parameters()), upstream.double())
    for mine, other in zip(gradients, expected, strict=True):
        assert_close(mine, other)
    for mine, other in zip(stage.buffers(), plain.buffers(), strict=True):
        assert_close(mine.double(), other.double())


@pytest.mark.parametrize(("features", "growth", "dilation"), [(3, 5, 1), (32, 16, 2), (17, 33, 1)])
def test_any_width_and_dilation_will_do(features: int, growth: int, dilation: int) -> None:
    stage, x = make_stage(features, growth, dilation=dilation), make_images(features)
    plain, x_wide = one_after_the_other(stage), x.detach().double().requires_grad_()
    ours, theirs = stage(x), plain(x_wide)
    assert torch.equal(ours[:, features:].double(), theirs[:, features:])
    upstream = torch.randn_like(ours)
    expected = torch.autograd.grad(theirs, (x_wide, *plain.parameters()), upstream.double())
    for mine, other in zip(torch.autograd.grad(ours, (x, *stage.parameters()), upstream), expected, strict=True):
        assert_close(mine, other)


@pytest.mark.parametrize(
    "options",
    [
        {"scaling": "xnor"},
        {"scaling": "learned"},
        {"scaling": "channel", "scaling_gradient": True},
        {"activations": "float", "function": "relu"},
        {"bottleneck": "classic"},
    ],
    ids=described,
)
def test_layers_that_do_more_run_one_after_the_other(options: dict[str, object], steps: list[int]) -> None:
    stage, x = make_stage(**options), make_images()
    plain = nn.Sequential(*copy.deepcopy(list(stage)))
    assert torch.equal(stage(x), plain(x))
    assert steps == []


def test_without_gradients_in_evaluation_and_in_several_processes_layers_run_one_after_the_other(
    steps: list[int],
) -> None:
    stage, x = make_stage(), make_images()
    with torch.no_grad():
        stage(x)
    with torch.autocast("cpu", torch.bfloat16):
        stage(x)
    stage.eval()(x)
    synchronise_norms(make_stage())(x)
    make_stage().double()(x.double())
    assert steps == []


def frozen(norm: nn.BatchNorm2d) -> None:
    norm.eval()


def averaging(norm: nn.BatchNorm2d) -> None:
    norm.momentum = None


def without_statistics(norm: nn.BatchNorm2d) -> None:
    norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None


def of_another_eps(norm: nn.BatchNorm2d) -> None:
    norm.eps = 1e-3


def watched(norm: nn.BatchNorm2d) -> None:
    norm.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("change", [frozen, averaging, without_statistics, of_another_eps, watched])
def test_a_norm_that_does_something_else_does_it(change: Callable[[nn.BatchNorm2d], None], steps: list[int]) -> None:
    stage, x = make_stage(), make_images()
    change(stage[1].norm)
    plain = nn.Sequential(*copy.deepcopy(list(stage)))
    assert torch.equal(stage(x), plain(x))
    assert steps == []
    for mine, other in zip(stage.buffers(), plain.buffers(), strict=True):
        assert torch.equal(mine, other)


def test_one_value_a_channel_is_refused_by_torchs_norm() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        make_stage()(torch.randn(1, 24, 1, 1, requires_grad=True))


def test_what_is_no_number_shows_in_the_statistics() -> None:
    stage, x = make_stage(), make_images().detach()
    x[0, 3, 2, 2] = float("nan")
    stage(x)
    for statistics in (stage[0].norm.running_mean, stage[0].norm.running_var):
        assert torch.isnan(statistics).tolist() == [channel == 3 for channel in range(24)]


def test_the_forward_that_layers_are_told_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    floats = []
    original = dense_stage.float_forward
    monkeypatch.setattr(dense_stage, "float_forward", lambda *given: floats.append(1) or original(*given))
    stage, x = make_stage(), make_images()
    set_binary_forward(stage, "packed")
    counted = stage(x)
    assert len(floats) == 0
    set_binary_forward(stage, "float")
    assert torch.equal(stage(x), counted)
    assert len(floats) == 3


def test_nothing_that_grows_with_the_square_of_the_layers_is_kept() -> None:
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    stage, x = make_stage(32, 32, layers=6), make_images(32)
    parameters = {parameter.data_ptr() for parameter in stage.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = stage(x)
    floats = features.numel() * 4
    bits = sum(4 * 32 * (i + 1) * (11 * 9 + 9 * 7) / 8 for i in range(6))  # signs with borders, and windows
    channels = 2 * 4 * features.shape[1]  # mean and deviation
    assert sum(size for pointer, size in kept.items() if pointer not in parameters) == floats + bits + channels


def test_a_stage_cannot_be_differentiated_twice() -> None:
    stage, x = make_stage(), make_images()
    (g_x,) = torch.autograd.grad(stage(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        g_x.sum().backward()


def wide(channels: int, seed: int) -> tuple[Tensor, Tensor]:
    """Pixels of 50 channels, and some of these."""
    torch.manual_seed(seed)
    whole = torch.randn(3, 50, 40, 41).mul_(2).add_(100).contiguous(memory_format=torch.channels_last)
    return whole, whole[:, 7 : 7 + channels]


@pytest.mark.parametrize("kernel", available_kernels())
@pytest.mark.parametrize("channels", [1, 16, 21])
def test_passes_of_a_norm_are_what_they_say(channels: int, kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnn_ablate.packed.training.available_kernels", lambda: (kernel,))
    _, x = wide(channels, 0)
    mean, variance = moments(x)
    exact = x.double()
    assert (mean - exact.mean((0, 2, 3))).abs().max() < 1e-5
    assert (variance - exact.var((0, 2, 3), unbiased=False)).abs().max() < 1e-5

    whole, to = wide(channels, 1)
    before, gradient, scale = whole.clone(), torch.randn(x.shape), torch.randn(channels)
    sums, products = add_scaled_(to, gradient, x, scale=scale, mean=mean)
    centred = exact - mean.double().view(-1, 1, 1)
    assert_close(sums, gradient.double().sum((0, 2, 3)))
    assert_close(products, (gradient * centred).sum((0, 2, 3)))
    added = before[:, 7 : 7 + channels].double() + scale.double().view(-1, 1, 1) * gradient
    assert_close(to, added)
    centre_(to, x, offset=sums, slope=products, mean=mean)
    assert_close(to, added - sums.view(-1, 1, 1) - products.view(-1, 1, 1) * centred)
    for others in (slice(0, 7), slice(7 + channels, 50)):  # neighbours in the same pixels
        assert torch.equal(whole[:, others], before[:, others])


def test_threads_change_no_bit_of_a_stage() -> None:
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            stage, x = make_stage(), torch.randn(40, 24, 16, 16, generator=torch.Generator().manual_seed(0))
            y = stage(x.requires_grad_())
            found.append([y, *torch.autograd.grad(y.square().sum(), (x, *stage.parameters()))])
    finally:
        torch.set_num_threads(before)
    for results in found[1:]:
        assert all(torch.equal(mine, first) for mine, first in zip(results, found[0], strict=True))
