"""A lowered network computes what the module computes: for every option, and for modules of anybody's making."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import CONF
from layer_references import make_layer
from packed_networks import CASES, CLASSES, TRAINING, make_images, make_network, randomised
from torch import Tensor, nn

from bnn_ablate.design import AXES
from bnn_ablate.layers import QuantizedConv2d
from bnn_ablate.models.resnet import float_resnet18
from bnn_ablate.packed import reference
from bnn_ablate.packed.graph import Affine, BinaryConv, Conv, Graph
from bnn_ablate.packed.lower import LoweringError, lower
from bnn_ablate.synced_norm import SyncedBatchNorm2d

#: Float32 sums in another order than torch's, a network deep: some hundred terms, each rounded to 2^-24 of the sum.
CLOSE = {"rtol": 2e-5, "atol": 2e-5}
EXACT = {"rtol": 0, "atol": 0}

IMAGES = make_images()


@contextmanager
def seen(network: nn.Module) -> Iterator[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """While it lasts, what every quantized layer of ``network`` reads and gives, by the layer's qualified name."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def look(name: str) -> Callable[..., None]:
        return lambda layer, args, y: found.update({name: (args[0].numpy().copy(), y.numpy().copy())})

    handles = [
        layer.register_forward_hook(look(name))
        for name, layer in network.named_modules()
        if isinstance(layer, QuantizedConv2d)
    ]
    yield found
    for handle in handles:
        handle.remove()


@torch.no_grad()
def compared(network: nn.Module, graph: Graph, images: Tensor = IMAGES) -> np.ndarray:
    """The graph's values against the module's at every quantized layer; returns both logits, (2, N, classes).

    What torch gives a layer to read takes the place of the graph's value once both are seen to be close: a sign that
    hangs on the last bit of a float sum, whose order is torch's affair, must not move what is behind it.
    """
    with seen(network) as layers:
        expected = network(images).numpy().reshape(len(images), -1)
    values, entered = {"image": images.numpy()}, set()
    for node in graph.nodes:
        layer = next((name for name in layers if f"{node.name}.".startswith(f"{name}.")), None)
        if layer is not None and layer not in entered:
            entered.add(layer)
            (source,) = node.inputs
            check_read(values[source], layers[layer][0])
            values[source] = layers[layer][0]
        values[node.name] = reference.OPERATORS[type(node)](node, *(values[name] for name in node.inputs))
    for name, (_, y) in layers.items():
        *_, mine = (value for key, value in values.items() if f"{key}.".startswith(f"{name}."))
        scaled = any(f"{name}.{suffix}" in values for suffix in ("scale", "act"))
        # sums of signs are whole numbers, halves at most
        np.testing.assert_allclose(mine, y, **(CLOSE if scaled else EXACT), err_msg=name)
    return np.stack([values[graph.output][:, :, 0, 0], expected])


def check_close(mine: np.ndarray, torchs: np.ndarray) -> None:
    """Equal up to roundings of sums whose terms are as large as the largest value."""
    np.testing.assert_allclose(mine, torchs, rtol=CLOSE["rtol"], atol=CLOSE["atol"] * max(1, np.abs(torchs).max()))


def check_read(mine: np.ndarray, torchs: np.ndarray) -> None:
    """What a layer reads is the same up to rounding, and so are its signs but for a few values next to zero."""
    check_close(mine, torchs)
    other = (mine >= 0) != (torchs >= 0)
    assert other.mean() <= 1e-3


# --- every option ------------------------------------------------------------------------------------------------


def test_every_option_that_inference_can_see_is_among_the_cases():
    tried = {f"{axis}={getattr(design, axis).name}" for design in CASES.values() for axis in AXES}
    files = {f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml") if path.parent.name in AXES}
    # those of training, and those that choose nothing but sizes
    sizes = {"bottleneck=classic_macs", "bottleneck=classic_size", "growth=k64", "growth=k128", "growth=k256"}
    assert {option for option in files if option.split("=")[0] not in TRAINING} - sizes <= tried


@pytest.mark.parametrize("case", CASES)
def test_a_lowered_network_computes_what_the_network_computes(case: str):
    network = make_network(case)
    graph = lower(network, (3, 17, 13))
    assert graph.classes == CLASSES
    mine, torchs = compared(network, graph)
    check_close(mine, torchs)


@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        ("dense", {"dilation": (1, 2)}),
        ("dense padding=zero side=same", {"dilation": (1, 4), "input_norm": True}),
        ("post", {"input_norm": False, "blocks_per_stage": (1, 2, 1), "channels": (16, 32, 48)}),
    ],
)
def test_sizes_of_a_model_are_lowered_too(case: str, sizes: dict[str, Any]):
    network = make_network(case, **sizes)
    mine, torchs = compared(network, lower(network, (3, 17, 13)))
    check_close(mine, torchs)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (9, 30), (8, 8)])
@pytest.mark.parametrize("case", ["post stem=imagenet", "dense scaling=xnor side=same stem=imagenet"])
def test_images_of_any_size_are_lowered(case: str, height: int, width: int):
    network, images = make_network(case), make_images(2, height, width)
    mine, torchs = compared(network, lower(network, (3, height, width)), images)
    check_close(mine, torchs)


def test_the_plain_float_resnet18_is_lowered():
    torch.manual_seed(0)
    network = randomised(float_resnet18(stem="imagenet", in_channels=1, num_classes=3))
    images = make_images(1, 9, 6, channels=1)
    graph = lower(network, (1, 9, 6))
    with torch.no_grad():
        torchs = network(images).numpy()
    check_close(reference.logits(graph, images.numpy()), torchs)
    assert not graph.binary_convs


def test_nodes_are_named_by_their_modules():
    graph = lower(make_network("post scaling=xnor"), (3, 16, 16))
    block = [node.name for node in graph.nodes if node.name.startswith("stages.0.0.")]
    assert block == [
        *("stages.0.0.body.0", "stages.0.0.body.0.scale", "stages.0.0.body.0.magnitude", "stages.0.0.body.0.spread"),
        *("stages.0.0.body.0.spread_scale", "stages.0.0.body.1", "stages.0.0.add"),
    ]
    assert graph.output == "head.3"


def test_a_batch_norm_rounds_as_torchs_does():
    # measured: in float64, rounded once, half of the outputs would differ from torch's
    network = nn.Sequential(nn.BatchNorm2d(32), nn.Flatten(), nn.Linear(32 * 63, 2))
    torch.manual_seed(0)
    randomised(network)
    images = make_images(4, 9, 7, channels=32)
    mine = reference.run(lower(network, (32, 9, 7)), images.numpy())["0"]
    with torch.no_grad():
        torchs = network[0](images).numpy()
    # where a compiler joins other steps of torch's, bits differ, but few
    assert (mine != torchs).mean() < 0.4
    np.testing.assert_allclose(mine, torchs, rtol=1e-6, atol=1e-6)


def test_the_graph_keeps_its_weights_when_the_module_moves_on():
    network = make_network("post weights=float")
    graph = lower(network, (3, 16, 16))
    before = [node.weight.copy() for node in graph.nodes if isinstance(node, Conv)]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    after = [node.weight for node in graph.nodes if isinstance(node, Conv)]
    assert all(np.array_equal(x, y) for x, y in zip(before, after, strict=True))


def test_weights_of_which_inference_needs_signs_are_bits():
    graph = lower(make_network("post activations=float function=relu scaling=learned"), (3, 16, 16))
    bits = {node.name for node in graph.nodes if isinstance(node, Conv) and node.weight.dtype == np.bool_}
    assert bits == {f"stages.{stage}.{block}.body.0" for stage in (0, 1) for block in (0, 1)}


# --- modules of anybody's making ---------------------------------------------------------------------------------


class Network(nn.Module):
    """Layers by name, and a forward that a test writes down: from (N, 4, 9, 7) to 3 logits."""

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.written = forward
        self.pool, self.flat, self.linear = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        return self.written(self, x)

    def classified(self, x: Tensor) -> Tensor:
        return self.linear(self.flat(self.pool(x)))


def check(network: nn.Module, images: Tensor | None = None) -> Graph:
    """That ``network`` is lowered to what it computes."""
    torch.manual_seed(1)
    randomised(network)
    images = make_images(2, 9, 7, channels=4) if images is None else images
    graph = lower(network, tuple(images.shape[1:]))
    mine = reference.logits(graph, images.numpy().copy())
    with torch.no_grad():
        torchs = network(images.clone()).reshape(len(images), -1).numpy()
    np.testing.assert_allclose(mine, torchs, **CLOSE)
    return graph


def binary(c_in: int = 4, c_out: int = 4, kernel: int = 3, **options: Any) -> QuantizedConv2d:
    return make_layer(c_in, c_out, kernel, **options)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: nn.Conv2d(4, 4, 3),
    "conv stride dilation": lambda: nn.Conv2d(4, 4, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1)),
    "conv groups": lambda: nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False),
    "conv depthwise": lambda: nn.Conv2d(4, 4, 5, padding="same", groups=4),
    "conv even same": lambda: nn.Conv2d(4, 4, (2, 4), padding="same"),
    "conv valid": lambda: nn.Conv2d(4, 4, 3, padding="valid"),
    "norm": lambda: nn.BatchNorm2d(4),
    "norm not affine": lambda: nn.BatchNorm2d(4, affine=False, eps=1e-3),
    "synced norm": lambda: SyncedBatchNorm2d(4),
    "relu": lambda: nn.ReLU(),
    "relu in place": lambda: nn.ReLU(inplace=True),
    "hardtanh": lambda: nn.Hardtanh(),
    "nothing": lambda: nn.Sequential(nn.Identity(), nn.Dropout(0.5), nn.Dropout2d(), nn.ReLU()),
    "max pool": lambda: nn.MaxPool2d(3, 2, padding=1),
    "max pool ceil": lambda: nn.MaxPool2d((2, 3), ceil_mode=True),
    "max pool ceil dropped": lambda: nn.MaxPool2d(2, 4, padding=1, ceil_mode=True),
    "avg pool": lambda: nn.AvgPool2d(2),
    "avg pool padding": lambda: nn.AvgPool2d(3, 1, padding=1),
    "avg pool inside": lambda: nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    "avg pool ceil": lambda: nn.AvgPool2d((2, 4), 2, ceil_mode=True),
    "avg pool ceil inside": lambda: nn.AvgPool2d(3, 3, padding=1, ceil_mode=True, count_include_pad=False),
    "avg pool gaps": lambda: nn.AvgPool2d(1, 3),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)), nn.Sequential(nn.ReLU())),
    "binary": lambda: nn.Sequential(nn.BatchNorm2d(4), binary(stride=2), nn.Hardtanh()),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("layer", LAYERS)
def test_a_known_layer_needs_no_registration(layer: str):
    check(Network(lambda self, x: self.classified(self.layer(x)), layer=LAYERS[layer]()))


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 6, 7, 9])
def test_poolings_have_as_many_windows_as_torchs(size: int, ceil: bool):
    images = make_images(1, size, size + 1, channels=1)
    for kernel, stride in product(range(1, min(size, 3) + 1), range(1, 5)):
        for padding in range(kernel // 2 + 1):
            how = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil}
            for pool in (nn.MaxPool2d(**how), nn.AvgPool2d(**how, count_include_pad=False)):
                pooled = pool(images)
                network = nn.Sequential(pool, nn.Flatten(), nn.Linear(pooled.numel(), 2))
                mine = reference.run(lower(network.eval(), (1, size, size + 1)), images.numpy())["0"]
                np.testing.assert_allclose(mine, pooled.numpy(), rtol=1e-6, atol=1e-7, err_msg=str(pool))


FORWARDS: dict[str, Callable[..., Any]] = {
    "plus": lambda self, x: self.classified(self.conv(x) + x),
    "in place plus": lambda self, x: self.classified(in_place_plus(self.conv(x), x)),
    "in place plus on what is read again": lambda self, x: self.classified(twice_seen(self, x)),
    "in place relu on what is read again": lambda self, x: self.classified(relu_seen(self, x)),
    "torch.add": lambda self, x: self.classified(torch.add(self.conv(x), x)),
    "methods": lambda self, x: self.linear(self.conv(x).relu().add(x).add_(x).mean((2, 3))),
    "mean keepdim": lambda self, x: self.linear(torch.flatten(x.mean([-1, -2], keepdim=True), 1)),
    "torch.mean": lambda self, x: self.linear(torch.mean(x, dim=(2, 3))),
    "torch.relu": lambda self, x: self.classified(torch.relu(self.conv(x))),
    "F.relu": lambda self, x: self.classified(F.relu(self.conv(x), inplace=True)),
    "clips": lambda self, x: self.classified(F.hardtanh(self.conv(x)) + self.conv(x).clamp(-1, 1) + x.clamp(min=0)),
    "F.max_pool2d": lambda self, x: self.classified(F.max_pool2d(x, 2)),
    "F.avg_pool2d": lambda self, x: self.classified(F.avg_pool2d(x, (3, 2), stride=2, padding=1)),
    "F.adaptive_avg_pool2d": lambda self, x: self.linear(F.adaptive_avg_pool2d(self.conv(x), 1).flatten(1)),
    "shape of the image": lambda self, x: self.linear(F.avg_pool2d(x, x.shape[2:]).view(x.size(0), -1)),
    "reshape": lambda self, x: self.linear(x.mean((2, 3), keepdim=True).reshape(x.shape[0], 4)),
    "view": lambda self, x: self.linear(self.pool(x).view(-1, 4)),
    "sizes": lambda self, x: self.linear(averaged_over(x)),
    "cat": lambda self, x: self.classified(self.narrow(torch.cat((self.conv(x), x), dim=1))),
    "cat of flat maps": lambda self, x: self.wide(torch.cat([self.conv(x).flatten(1), x.flatten(1)], 1)),
    "flat first": lambda self, x: self.long(F.relu(self.flat(self.conv(x)))),
    "dropout": lambda self, x: self.classified(F.dropout(self.conv(x), 0.5, training=self.training)),
    "training only": lambda self, x: self.classified(x.exp() if self.training else self.conv(x)),
    "one layer twice": lambda self, x: self.classified(self.conv(self.conv(self.conv(x)))),
    "unread": lambda self, x: (self.conv(x), self.classified(x))[1],
}


def in_place_plus(y: Tensor, x: Tensor) -> Tensor:
    y += x
    return y


def averaged_over(x: Tensor) -> Tensor:
    images, channels, height, width = x.size()
    return F.avg_pool2d(x, (height, width)).view(images, channels)


def twice_seen(self: Network, x: Tensor) -> Tensor:
    y = self.conv(x)
    z = y
    y += x
    return z + y


def relu_seen(self: Network, x: Tensor) -> Tensor:
    y = self.conv(x)
    z = F.relu(y, inplace=True)
    return self.conv(y) + z


@pytest.mark.parametrize("forward", FORWARDS)
def test_a_forward_of_known_functions_is_lowered(forward: str):
    layers = {"conv": nn.Conv2d(4, 4, 3, padding=1), "narrow": nn.Conv2d(8, 4, 1)}
    check(Network(FORWARDS[forward], **layers, wide=nn.Linear(8 * 63, 3), long=nn.Linear(4 * 63, 3)))


def test_a_layer_that_is_called_again_gives_another_node():
    graph = check(Network(FORWARDS["one layer twice"], conv=nn.Conv2d(4, 4, 3, padding=1)))
    assert [node.name for node in graph.nodes] == ["conv", "conv#2", "conv#3", "pool", "linear"]


def test_nodes_that_nothing_reads_are_left_out():
    graph = check(Network(FORWARDS["unread"], conv=nn.Conv2d(4, 4, 3, padding=1)))
    assert [node.name for node in graph.nodes] == ["pool", "linear"]


def test_a_layer_alone_is_a_network():
    layer = binary(4, 3, 1, output="popcount").eval()
    images = make_images(3, 1, 1, channels=4)
    graph = lower(layer, (4, 1, 1))
    assert [type(node) for node in graph.nodes] == [BinaryConv, Affine]
    with torch.no_grad():
        np.testing.assert_array_equal(reference.logits(graph, images.numpy()), layer(images).flatten(1))


# --- refusals ----------------------------------------------------------------------------------------------------


class OwnConv(nn.Conv2d):
    """Its forward is another one."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


def branching(self: Network, x: Tensor) -> Tensor:
    return self.classified(x if x.sum() > 0 else -x)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "unknown layer": (
        lambda: nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 1), nn.GELU())),
        r"0\.1 \(GELU\) cannot be lowered: no layer of this type can be lowered",
    ),
    "circular": (
        lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")),
        r"0 \(Conv2d\) cannot be lowered: padding_mode=circular is none of",
    ),
    "subclass": (lambda: nn.Sequential(OwnConv(4, 4, 1)), r"0 \(OwnConv\) .*its forward reads the tensor 0.weight"),
    "control flow": (
        lambda: nn.Sequential(Network(branching)),
        r"0 \(Network\) has control flow that depends on the data, which cannot be traced: ",
    ),
    "control flow at the top": (lambda: Network(branching), r"the module \(Network\) has control flow"),
    "unknown function": (
        lambda: Network(lambda self, x: self.classified(torch.exp(x))),
        r"the module \(Network\) cannot be lowered: its forward calls exp, which no operator stands for",
    ),
    "unknown method": (lambda: Network(lambda self, x: self.classified(x.abs())), "its forward calls abs"),
    "number added": (lambda: Network(lambda self, x: self.classified(x + 1)), "add: it adds something else than two"),
    "scaled sum": (lambda: Network(lambda self, x: self.classified(torch.add(x, x, alpha=2))), "something else"),
    "parameter": (
        lambda: Network(lambda self, x: self.classified(x + self.linear.weight)),
        r"\(Network\) cannot be lowered: its forward reads the tensor linear.weight",
    ),
    "broken forward": (
        lambda: nn.Sequential(Network(lambda self, x: self.missing(x))),
        r"0 \(Network\) cannot be traced: .*missing",
    ),
    "other arguments": (
        lambda: Network(lambda self, x: self.classified(x.mean((2, 3), dtype=torch.float32))),
        "mean: it is called with other arguments than can be: .*dtype",
    ),
    "mean over channels": (lambda: Network(lambda self, x: x.mean(1)), r"mean over dim=1: only the image, \(2, 3\)"),
    "cat of rows": (
        lambda: Network(lambda self, x: self.classified(torch.cat((x, x), 2))),
        "cat: it concatenates along dim=2",
    ),
    "flat with maps": (lambda: Network(lambda self, x: self.pool(x).flatten(1) + self.pool(x)), "adds flattened"),
    "cat of flat with maps": (lambda: Network(lambda self, x: torch.cat((x.flatten(1), x), 1)), "with others"),
    "clip": (lambda: nn.Sequential(nn.Hardtanh(0, 6)), "it clips to 0 and 6, not to -1 and 1"),
    "clip from above": (lambda: Network(lambda self, x: x.clamp(max=6)), "it clips to None and 6"),
    "pool dilation": (lambda: nn.Sequential(nn.MaxPool2d(2, dilation=2)), "dilation=2 return_indices=False: only"),
    "pool indices": (lambda: nn.Sequential(nn.MaxPool2d(2, return_indices=True)), "return_indices=True"),
    "pool divisor": (lambda: nn.Sequential(nn.AvgPool2d(2, divisor_override=3)), "divisor_override=3"),
    "pool partly padding": (
        lambda: nn.Sequential(nn.AvgPool2d(3, 3, padding=1, ceil_mode=True)),
        "ceil_mode with count_include_pad",
    ),
    "adaptive pool": (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2)), "output_size=2: only means over the whole"),
    "flattened rows": (lambda: nn.Sequential(nn.Flatten(2)), "it flattens axes 2 to -1: only 1 to -1"),
    "reshaped": (lambda: Network(lambda self, x: x.view(x.size(0), 2, -1)), r"something else than \(N, C H W\)"),
    "sliced": (lambda: Network(lambda self, x: self.classified(x[:, :, ::2])), "takes a part of a tensor"),
    "attribute": (lambda: Network(lambda self, x: self.classified(x.T)), "reads .T of a tensor"),
    "dropout": (lambda: Network(lambda self, x: self.classified(F.dropout(x, 0.5))), "drops values in inference too"),
    "flat convolution": (lambda: nn.Sequential(nn.Flatten(), nn.Conv2d(4, 4, 1)), r"1 \(Conv2d\) .*no feature maps"),
    "linear on maps": (lambda: nn.Sequential(nn.Linear(7, 3)), r"0 \(Linear\) .*reads feature maps: flatten them"),
    "linear of other size": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(7, 3)),
        "it reads 7 values, and there are 252",
    ),
    "other channels": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1)), r"0 \(Conv2d\) .*do not fit 4 channels"),
    "norm of other channels": (lambda: nn.Sequential(nn.BatchNorm2d(3)), "normalizes 3 channels, and there are 4"),
    "norm by batch": (lambda: nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False)), "no running statistics"),
    "double": (lambda: nn.Sequential(nn.Conv2d(4, 4, 1)).double(), "its values are float64, not float32"),
    "no logits": (lambda: nn.Sequential(nn.Conv2d(4, 4, 1)), r"\(Sequential\) .*0 is the output, and of \(4, 9, 7\)"),
    "nothing": (lambda: nn.Sequential(nn.Identity()), r"the module \(Sequential\) cannot be lowered: 0 nodes"),
    "two outputs": (lambda: Network(lambda self, x: (x, x)), "it returns tuple, not one tensor of logits"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_graph_can_stand_for_is_refused(case: str):
    make, message = REFUSED[case]
    with pytest.raises(LoweringError, match=message):
        lower(make().eval(), (4, 9, 7))


def test_a_module_in_training_mode_is_refused():
    network = make_network("post")
    network.stages[0][0].body[1].train()
    with pytest.raises(LoweringError, match=r"^stages\.0\.0\.body\.1 \(BatchNorm2d\) is in training mode: call eval"):
        lower(network, (3, 16, 16))


def test_weights_that_are_not_finite_are_refused():
    network = make_network("post")
    network.stages[0][0].body[0].weight.data[0, 0, 0, 0] = np.nan
    with pytest.raises(LoweringError, match=r"^stages\.0\.0\.body\.0 \(BinaryConv2d\) .*values are not all finite"):
        lower(network, (3, 16, 16))


def test_a_module_with_hooks_is_refused():
    network = make_network("post")
    network.head[0].register_forward_hook(lambda layer, args, y: y + 1)
    with pytest.raises(LoweringError, match=r"^head\.0 \(ReLU\) has forward hooks"):
        lower(network, (3, 16, 16))


def test_a_second_input_is_refused():
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    with pytest.raises(LoweringError, match=r"the module \(Two\) .*it takes more than the images: y"):
        lower(Two().eval(), (3, 16, 16))


def test_images_too_small_for_a_network_are_refused():
    with pytest.raises(LoweringError, match=r"^0 \(Conv2d\) cannot be lowered: kernel=\(5, 5\) .*into 4 x 9 pixels"):
        lower(nn.Sequential(nn.Conv2d(4, 4, 5)).eval(), (4, 4, 9))


@pytest.mark.parametrize("shape", [(3, 16), (3, 16, 0), (3, 16.0, 16)])
def test_images_of_no_shape_are_refused(shape: Any):
    with pytest.raises(LoweringError, match=r"^image_shape=.* must be channels, height and width"):
        lower(make_network("post"), shape)


@pytest.mark.parametrize("shape", [[3, 16, 16], np.array([3, 16, 16]), torch.Size((3, 16, 16))])
def test_an_image_shape_may_be_any_three_whole_numbers(shape: Any):
    assert lower(make_network("post"), shape).image_shape == (3, 16, 16)


@pytest.mark.parametrize("shape", [None, 3, (3, 16), (3, 16, 0), (3, 16, 16.0), "abc"])
def test_an_image_shape_that_is_none_is_refused(shape: Any):
    with pytest.raises(LoweringError, match="must be channels, height and width: three whole numbers above 0"):
        lower(make_network("post"), shape)


def test_what_is_no_module_is_refused():
    with pytest.raises(LoweringError, match=r"module is of the type NoneType: give an nn\.Module"):
        lower(None, (3, 16, 16))
