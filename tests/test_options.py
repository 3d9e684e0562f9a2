"""An option changes its own axis and nothing else; what it changes in a network is written down here by hand.

Every YAML file of conf/ is found by globbing: one that this table does not know fails, and so does one that nobody
reads, since it changes nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import CONF, composed
from omegaconf import OmegaConf
from torch import Tensor, nn

from bnn_ablate.cost import count_cost
from bnn_ablate.design import AXES
from bnn_ablate.identity import spelt
from bnn_ablate.layers import QuantizedConv2d, clamp_latent_, reset_scales_, set_progress
from bnn_ablate.models import build_network
from bnn_ablate.pretraining import float_settings
from bnn_ablate.settings import Settings, SettingsError, read_settings

#: The networks on which every option is tried: ResNetE in both orders, and a dense one.
NETWORKS = {
    "post": ("model.blocks_per_stage=[1,1]", "model.channels=[32,64]", "model.stem_features=32"),
    "pre": ("order=pre", "model.blocks_per_stage=[1,1]", "model.channels=[32,64]", "model.stem_features=32"),
    "dense": (
        "model=binary_densenet28",
        "model.layers_per_stage=[2,2,2,2]",
        "model.growth=32",
        "model.init_features=32",
        "model.reduction=[1.2,1.2,1.2]",
    ),
}

#: What an option needs beside it.
WITH = {("pretrain=file", network): {"pretrain.from": "weights.ckpt"} for network in NETWORKS} | {
    # steps of four features are too coarse for these small networks
    ("bottleneck=classic_macs", "post"): {"bottleneck.by": "blocks"},
    ("bottleneck=classic_macs", "pre"): {"bottleneck.by": "blocks"},
    ("growth=k256", "dense"): {"growth.match": "none"},
}

# What can change: p(arameters: shapes and bits), m(ACs), f(orward values of the same weights), g(radients of the same
# weights), i(nitial weights), s(tep: what an optimizer's step leaves), t(he weights training starts from).
NOTHING, REFUSED = "", "refused"
EXPECTED = {
    # option: ResNetE post, ResNetE pre, dense
    "scaling=none": (NOTHING, NOTHING, NOTHING),
    "scaling=channel": (NOTHING, "f g", NOTHING),  # a BatchNorm follows: the identity check of docs/AXES.md
    "scaling=xnor": ("f g", "f g", "f g"),
    "scaling=learned": ("p", "p f g", "p"),
    "output=signed": (NOTHING, NOTHING, NOTHING),
    "output=popcount": (NOTHING, "f g", NOTHING),
    "grad=ste": (NOTHING, NOTHING, NOTHING),
    "grad=approxsign": ("g", "g", "g"),
    "grad=approxsign_both": ("g", "g", "g"),
    "grad=swishsign": ("g", "g", "g"),
    "grad=swishsign_both": ("g", "g", "g"),
    "grad=ede": ("g", "g", "g"),
    "grad=ede_both": ("g", "g", "g"),
    "latent=free": (NOTHING, NOTHING, NOTHING),
    "latent=clamped": ("s", "s", "s"),
    "init=he_fan_in": (NOTHING, NOTHING, NOTHING),
    "init=xavier": ("i", "i", "i"),
    "init=glorot": ("i", "i", "i"),
    "downsample=fp": (NOTHING, NOTHING, NOTHING),
    "downsample=binary": ("p m", "p m", "p m"),
    "downsample=binary_2018": (REFUSED, REFUSED, "p m"),
    "downsample=fp_high_reduction": (REFUSED, REFUSED, "p m"),
    "downsample=binary_low_reduction": (REFUSED, REFUSED, "p m"),
    "shortcut=every_conv": (NOTHING, NOTHING, REFUSED),
    "shortcut=every_block": ("f g i s", "f g i s", REFUSED),  # the order in which weights are drawn
    "shortcut=none": ("p m", "p m", REFUSED),
    "shortcut=concat": (REFUSED, REFUSED, NOTHING),
    "order=post": (NOTHING, "p f g", REFUSED),
    "order=pre": ("p f g", NOTHING, NOTHING),
    "padding=minus_one": (NOTHING, NOTHING, NOTHING),
    "padding=zero": ("f g", "f g", "f g"),
    "padding=plus_one": ("f g", "f g", "f g"),
    "stem=cifar": (NOTHING, NOTHING, NOTHING),
    "stem=cifar_2018": ("p f g", "p f g", "p"),  # a dense layer begins with a BatchNorm of its own
    "stem=imagenet": ("p m", "p m", "p m"),
    "stem=grouped": ("p m", "p m", "p m"),
    "weights=sign": (NOTHING, NOTHING, NOTHING),
    "weights=magnitude_aware": ("g", "f g", "g"),
    "weights=float": ("p m", "p m", "p m"),
    "activations=sign": (NOTHING, NOTHING, NOTHING),
    "activations=float": ("m f g", "m f g", "m f g"),
    "first=fp": (NOTHING, NOTHING, NOTHING),
    "first=binary": ("p m", "p m", "p m"),
    "last=fp": (NOTHING, NOTHING, NOTHING),
    "last=binary": ("p m", "p m", "p m"),
    "bottleneck=none": (NOTHING, NOTHING, NOTHING),
    "bottleneck=classic": ("p m", "p m", "p m"),
    "bottleneck=classic_macs": ("p m", "p m", "p m"),
    "bottleneck=classic_size": ("p m", "p m", "p m"),
    "growth=default": (NOTHING, NOTHING, NOTHING),
    "growth=k64": (REFUSED, REFUSED, "p m"),
    "growth=k128": (REFUSED, REFUSED, REFUSED),  # half of one layer
    "growth=k256": (REFUSED, REFUSED, "p m"),
    "pretrain=none": (NOTHING, NOTHING, NOTHING),
    "pretrain=relu": ("t", "t", "t"),
    "pretrain=clip": ("t", "t", "t"),
    "pretrain=leaky_clip": ("t", "t", "t"),
    "pretrain=file": ("t", "t", "t"),
}

#: What an option brings with it on other axes; nothing else may move.
BRINGS = {
    "activations=float": {"padding.name"},
    "model=resnet18": {"shortcut.name"},
    "model=binary_densenet_flex": {"order.name", "shortcut.name", *(f"downsample.{x}" for x in ("name", "precision"))}
    | {f"downsample.{x}" for x in ("relu", "layout")},
    "data=image_folder": {"stem.name", "recipe.augment.name", "recipe.augment.padding", "recipe.augment.flip"}
    | {"recipe.augment.resize"},
    "recipe=larq": {"latent.name"},
    "trainer=smoke": {"data.limit_train", "data.limit_test", "recipe.epochs", "recipe.batch_size"}
    | {"recipe.schedule.warmup_epochs"},
}
BRINGS |= {f"model=binary_densenet{x}": {"order.name", "shortcut.name"} for x in ("28", "37", "37_dilated", "45")}

#: What another group must be for the option to compose.
NEEDS = {
    "shortcut=concat": ("model=binary_densenet28",),
    "downsample=binary_2018": ("model=binary_densenet28",),
    "downsample=fp_high_reduction": ("model=binary_densenet28",),
    "downsample=binary_low_reduction": ("model=binary_densenet28",),
    "pretrain=file": ("pretrain.from=weights.ckpt",),
    "data=image_folder": ("data.root=images", "recipe/augment=random_crop"),
    "recipe=imagenet_2018": ("data=image_folder", "data.root=images"),
    "recipe=imagenet_2020": ("data=image_folder", "data.root=images"),
    "recipe=larq": ("data=image_folder", "data.root=images"),
    "recipe=cifar_2018": ("data=cifar10",),
} | {f"growth=k{rate}": ("model=binary_densenet_flex",) for rate in (64, 128, 256)}

#: What it is compared with, where that is not the same without the option.
BEFORE = {
    f"recipe={name}": ("data=image_folder", "data.root=images", "recipe/augment=random_crop")
    for name in ("imagenet_2018", "imagenet_2020", "larq")
}

BEFORE |= {"data=image_folder": ()}

FILES = sorted(f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml"))


def test_the_table_knows_every_option_of_every_axis():
    assert set(EXPECTED) == {option for option in FILES if option.split("=")[0] in AXES}


def test_every_option_is_read_by_somebody():
    baseline = {name for name in EXPECTED if set(EXPECTED[name]) <= {NOTHING, REFUSED}}
    # what is left without a change is what the networks above have already, or is refused by all
    assert baseline == {
        *("scaling=none", "output=signed", "grad=ste", "latent=free", "init=he_fan_in", "downsample=fp"),
        *("shortcut=every_conv", "shortcut=concat", "padding=minus_one", "stem=cifar", "weights=sign"),
        *("activations=sign", "first=fp", "last=fp", "bottleneck=none", "growth=default"),
        *("growth=k128", "pretrain=none"),
    }


@pytest.mark.parametrize("option", FILES)
def test_an_option_moves_its_own_settings_only(option: str, make_settings: Callable[..., Settings]):
    needs = NEEDS.get(option, ())
    after = leaves(make_settings(*needs, option))
    before = leaves(make_settings(*BEFORE.get(option, [text for text in needs if "pretrain.from" not in text])))
    moved = {key for key in before | after if before.get(key) != after.get(key)}
    elsewhere = {key for key in moved if not key.startswith(f"{option.split('=')[0]}.")}
    assert elsewhere == BRINGS.get(option, set())


def leaves(settings: Settings) -> dict[str, object]:
    """The settings as dotted names and values."""
    found: dict[str, object] = {}

    def walk(value: object, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{path}{key}.")
        else:
            found[path.removesuffix(".")] = value

    walk(spelt(settings), "")
    return found


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("option", EXPECTED)
def test_an_option_changes_in_the_network_what_the_table_says(option: str, network: str):
    expected = EXPECTED[option][list(NETWORKS).index(network)]
    baseline = plain_baseline(network)
    with_option = baseline | option_values(option)
    for key, value in WITH.get((option, network), {}).items():
        axis, field = key.split(".")
        with_option[axis] = with_option[axis] | {field: value}
    if expected == REFUSED:
        axis = option.split("=")[0]
        with pytest.raises(SettingsError, match=rf"{axis}[.=].*(model|growth|shortcut)[.=]"):
            read_settings(with_option)
        return
    assert changes(read_settings(baseline), read_settings(with_option)) == set(expected.split())


@cache
def plain_baseline(network: str) -> dict[str, Any]:
    config = composed(*NETWORKS[network], "data=synthetic", "data.image_size=16")
    return OmegaConf.to_container(config, resolve=True)


def option_values(option: str) -> dict[str, Any]:
    """What the option's file says, and what it brings on other axes. Hydra does it in a third of a second."""
    axis, name = option.split("=")
    values = OmegaConf.to_container(OmegaConf.load(CONF / axis / f"{name}.yaml"))
    brought = {}
    for entry in values.pop("defaults", ()):
        if entry != "_self_":
            ((key, choice),) = entry.items()
            brought |= option_values(f"{key.rpartition('.')[2]}={choice}")
    return {axis: values} | brought


def changes(before: Settings, after: Settings) -> set[str]:
    """The letters of the table above, found by building and running both networks."""
    a, b = build(before), build(after)
    found = set()
    if parameters(a) != parameters(b):
        found.add("p")
    size = before.data.image_size
    costs = [asdict(count_cost(network, (3, size, size))) for network in (a, b)]
    if any(costs[0][key] != costs[1][key] for key in ("macs_float", "macs_binary")):
        found.add("m")
    if float_settings(after) is not None or after.design.pretrain.from_file is not None:
        found.add("t")
    if {"p", "m"} <= found:
        return found  # other layers: their values cannot be compared weight for weight
    found |= compare_values(a, b)
    steps = [stepped(network, settings) for network, settings in ((a, before), (b, after))]
    if any(not torch.equal(x, y) for x, y in zip(*steps, strict=True)):
        found.add("s")
    return found


def build(settings: Settings) -> nn.Module:
    torch.manual_seed(0)
    network = build_network(settings.model, settings.design, in_channels=3, num_classes=5, image_size=32)
    set_progress(network, 0.5)
    return network


def parameters(network: nn.Module) -> list[tuple[object, ...]]:
    """Shape of every parameter, and whether it is stored as bits; of BatchNorms, how many values they hold."""
    binary = {id(m.weight) for m in network.modules() if isinstance(m, QuantizedConv2d) and m.binary_weights}
    return sorted((tuple(p.shape), id(p) in binary) for p in network.parameters())


def compare_values(a: nn.Module, b: nn.Module) -> set[str]:
    """Whether initial weights, outputs and gradients differ; the latter two with the weights of ``a`` in both.

    With BatchNorms that shift, so that no sign hangs on a rounding.
    """
    found = set()
    weights = [[m.weight for m in network.modules() if isinstance(m, QuantizedConv2d)] for network in (a, b)]
    if not all(torch.equal(mine, theirs) for mine, theirs in zip(*weights, strict=True)):
        found.add("i")
    take_what_fits(b, a)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1])
    outputs, gradients = [], []
    for network, layers in zip((a, b), weights, strict=True):
        logits = network.train()(images)
        outputs.append(logits.detach())
        gradients.append(torch.autograd.grad(F.cross_entropy(logits, labels), layers))
    if not close(*outputs):
        found.add("f")
    if not all(close(x, y) for x, y in zip(*gradients, strict=True)):
        found.add("g")
    return found


def take_what_fits(b: nn.Module, a: nn.Module) -> None:
    """Large latent weights and random shifts for ``a``, and the tensors of equal name and shape for ``b`` too."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for layer in a.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.bias.normal_(0, 0.5, generator=generator)
            elif isinstance(layer, QuantizedConv2d):
                layer.weight.mul_(6)  # so that some are beyond 1, where windows on weights end
    own, other = b.state_dict(), a.state_dict()
    fitting = {key: value for key, value in other.items() if key in own and own[key].shape == value.shape}
    b.load_state_dict(fitting, strict=False)
    reset_scales_(b)


def close(x: Tensor, y: Tensor) -> bool:
    """Equal up to a BatchNorm's eps against the variances of scaled outputs."""
    return bool((x - y).norm() <= 1e-3 * x.norm())


def stepped(network: nn.Module, settings: Settings) -> list[Tensor]:
    """Latent weights after a step that would have made them ten times as large."""
    layers = [m for m in network.modules() if isinstance(m, QuantizedConv2d)]
    before = [layer.weight.detach().clone() for layer in layers]
    with torch.no_grad():
        for layer, weight in zip(layers, before, strict=True):
            layer.weight.copy_(10 * weight)
    clamp_latent_(network, settings.design)
    after = [layer.weight.detach().clone() for layer in layers]
    with torch.no_grad():
        for layer, weight in zip(layers, before, strict=True):
            layer.weight.copy_(weight)
    return after
