"""trainer.compile: torch.compile sees a network as one graph, and its step is the one that runs without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from bnn_ablate.composing import network_settings
from bnn_ablate.layers import BinaryConv2d, set_progress
from bnn_ablate.trained import new_network

#: Traces the network and its backward, and runs torch's own operations: no compiler is needed.
BACKEND = "aot_eager"


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


#: Two stages: what there is of kinds of layers, and a quarter of the tracing.
RESNET = ("model.blocks_per_stage=[1,1]", "model.channels=[16,32]", "model.stem_features=16")
DENSENET = (
    "model=binary_densenet28",
    *("model.layers_per_stage=[2,2]", "model.dilation=[1,1]", "model.reduction=[2]", "model.init_features=16"),
)


def small_network(*overrides: str) -> nn.Module:
    return new_network(network_settings(["data=cifar10", *overrides])).train()


@pytest.mark.parametrize(
    "overrides",
    [
        (*RESNET, "grad=ste", "scaling=none", "stem=cifar_2018"),
        (*RESNET, "grad=approxsign_both", "scaling=xnor", "order=pre"),
        (*RESNET, "grad=swishsign", "scaling=learned"),
        (*DENSENET, "downsample=binary"),
    ],
    ids=lambda overrides: " ".join(overrides[-2:]),
)
def test_a_network_is_one_graph(overrides: tuple[str, ...]) -> None:
    compiled = torch.compile(small_network(*overrides), backend=BACKEND, fullgraph=True)

    compiled(torch.rand(4, 3, 32, 32)).sum().backward()


def test_epochs_do_not_compile_the_network_again() -> None:
    counted = CompileCounter()
    network = small_network(*RESNET)
    compiled = torch.compile(network, backend=counted, fullgraph=True)

    for epoch in range(10):
        set_progress(network, epoch / 10)
        compiled(torch.rand(4, 3, 32, 32))

    assert counted.graphs == 1


@pytest.mark.parametrize("padding", ["minus_one", "zero", "plus_one"])
@pytest.mark.parametrize("grad", ["ste", "approxsign_both", "ede", "swishsign"])
def test_a_compiled_binary_convolution_gives_the_sums_and_gradients_of_one_that_is_not(grad: str, padding: str) -> None:
    design = network_settings([f"grad={grad}", f"padding={padding}"]).design
    torch.manual_seed(0)
    layer = BinaryConv2d(16, 24, 3, stride=2, dilation=1, design=design)
    x = torch.randn(5, 16, 9, 7)
    weights = torch.randn(5, 24, 5, 4)

    plain = step(layer, layer, x, weights)
    compiled = step(layer, torch.compile(layer, backend=BACKEND, fullgraph=True), x, weights)

    assert torch.equal(compiled[0], plain[0])
    for ours, expected in zip(compiled[1:], plain[1:], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def step(layer: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor, weights: Tensor) -> list[Tensor]:
    """The output, and the gradients by x and by the weights of the sum of output x ``weights``."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    y = run(x)
    (y * weights).sum().backward()
    gradients = [x.grad, *(parameter.grad for parameter in layer.parameters())]
    return [y.detach(), *(gradient.clone() for gradient in gradients if gradient is not None)]


class CompileCounter:
    """A backend that runs graphs as they are and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, example_inputs: list[Tensor]) -> Callable[..., object]:
        self.graphs += 1
        return graph.forward
