"""Flipped signs, saturated activations and gradient norms: right, complete after a resume, and without effect."""

from __future__ import annotations

import csv
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY
from interruptions import train, train_and_die_at_step
from network_factories import make_design
from torch import nn

from bnn_ablate.csv_rows import csv_text
from bnn_ablate.diagnostics import (
    Diagnostic,
    bound,
    by_epoch,
    flipped_signs,
    gradient_norms,
    read_csv,
    saturated_activations,
    sign_bits,
)
from bnn_ablate.layers import quantized_convolution
from bnn_ablate.record import same_result
from bnn_ablate.store import RunFolder, Store

BINARY = ("stages.0.0.body.0", "stages.0.1.body.0", "stages.1.0.body.0", "stages.1.1.body.0")


def layer(**axes: Any) -> nn.Module:
    """A convolution of 1x1 with one input and four output channels."""
    return quantized_convolution(1, 4, 1, stride=1, dilation=1, design=make_design(**axes))


def network(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


def folder_of(runs: Path) -> RunFolder:
    (folder,) = Store(runs).runs()
    return folder


def lines_of(folder: RunFolder) -> list[dict[str, str]]:
    with open(folder.path / "diagnostics.csv") as file:
        return list(csv.DictReader(file))


# --- what is measured, by hand ---


def test_a_flip_is_a_change_of_sign_and_zero_is_positive():
    net = network(layer(), layer())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -1.0, 0.0, -0.5]).view(4, 1, 1, 1))
        net[1].weight.fill_(-2.0)
        before = sign_bits(net)
        # stays, flips, stays (-0.0 and 0 have the sign +1), flips
        net[0].weight.copy_(torch.tensor([0.1, 0.0, -0.0, 3.0]).view(4, 1, 1, 1))
        net[1].weight.copy_(torch.tensor([-1.0, -1.0, -1.0, 1.0]).view(4, 1, 1, 1))
    assert flipped_signs(before, sign_bits(net), net) == {"0": 0.5, "1": 0.25, "all": 0.375}


def test_a_network_without_latent_weights_flips_nothing():
    net = network(layer(weights="float", activations="float", function="relu"), nn.Conv2d(4, 1, 1))
    assert flipped_signs(sign_bits(net), sign_bits(net), net) == {}


@pytest.mark.parametrize(
    ("axes", "share"),
    [
        ({"grad": "ste", "clip": 1.0}, 2 / 5),  # 1.2 and -3; the bound itself is inside
        ({"grad": "ste", "clip": 1.3}, 1 / 5),
        ({"grad": "approxsign", "clip": 0.5}, 3 / 5),
        ({"grad": "swishsign", "clip": None}, 2 / 5),
        ({"grad": "ede", "clip": None}, 2 / 5),
        ({"weights": "float", "activations": "float", "function": "clip"}, 2 / 5),
        ({"weights": "float", "activations": "float", "function": "leaky_clip"}, 2 / 5),
    ],
)
def test_activations_saturate_beyond_the_clip_of_the_estimator_or_beyond_one(axes, share):
    images = torch.tensor([0.0, 1.0, -0.4, 1.2, -3.0]).view(1, 1, 1, 5)
    assert saturated_activations(network(layer(**axes)), images) == {"0": share}


def test_a_relu_keeps_any_value():
    relu = layer(weights="float", activations="float", function="relu")
    assert bound(relu) is None
    assert saturated_activations(network(relu), torch.ones(1, 1, 1, 1)) == {}


def test_gradient_norms_are_euclidean_and_of_convolutions_and_the_classifier():
    net = network(layer(), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1), nn.Flatten(), nn.Linear(1, 2))
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    net[0].weight.grad = torch.tensor([3.0, 0.0, -4.0, 0.0]).view(4, 1, 1, 1)
    assert gradient_norms(net) == {"0": 5.0, "2": 2.0, "4": pytest.approx(2**0.5)}


def test_looking_at_activations_leaves_no_trace():
    net = network(nn.BatchNorm2d(1), layer(), nn.BatchNorm2d(4))
    state = {key: value.clone() for key, value in net.state_dict().items()}
    generator = torch.get_rng_state()
    saturated_activations(net, torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(0)))
    assert net.training
    assert all(part.training for part in net.modules())
    assert not any(part._forward_pre_hooks for part in net.modules())
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


def test_the_file_keeps_every_digit():
    lines = [Diagnostic(0, "a", "gradient_norm", 0.1 + 0.2), Diagnostic(1, 'b,"c"', "flipped_signs", float("inf"))]
    assert read_csv(csv_text(Diagnostic, lines, header=True)) == lines
    assert by_epoch(lines)[0] == {"gradient_norm/a": 0.30000000000000004}


# --- in a run ---


def train_without_diagnostics(settings) -> None:
    """As the program trained before there were any: neither the file nor a state in the checkpoint."""
    from bnn_ablate.diagnostics import Diagnostics

    for name in ("on_train_start", "on_train_epoch_end", "on_before_optimizer_step", "state_dict"):
        delattr(Diagnostics, name)
    train(settings)


def train_without_diagnostics_and_stop_at_step(settings, step: int) -> None:
    from bnn_ablate.diagnostics import Diagnostics

    for name in ("on_train_start", "on_train_epoch_end", "on_before_optimizer_step", "state_dict"):
        delattr(Diagnostics, name)
    train_and_die_at_step(settings, step, signal.SIGTERM)


@pytest.fixture(scope="module")
def whole(make_settings, forked, tmp_path_factory) -> RunFolder:
    """The folder of the run that nobody disturbed."""
    runs = tmp_path_factory.mktemp("whole")
    assert forked(train, make_settings(*TINY, f"runs={runs}")) == 0
    return folder_of(runs)


def test_each_epoch_has_every_quantity_of_every_layer(whole):
    lines = lines_of(whole)
    assert list(lines[0]) == ["epoch", "layer", "quantity", "value"]
    counts = Counter((line["epoch"], line["quantity"]) for line in lines)
    layers = {"flipped_signs": 5, "saturated_activations": 4, "gradient_norm": 7}
    assert counts == {(str(epoch), name): count for epoch in range(3) for name, count in layers.items()}
    assert {line["layer"] for line in lines if line["quantity"] == "flipped_signs"} == {*BINARY, "all"}
    assert all(float(line["value"]) > 0 for line in lines)
    shares = [float(line["value"]) for line in lines if line["quantity"] != "gradient_norm"]
    assert max(shares) < 1


def test_the_first_epochs_flips_are_those_since_the_initial_weights(make_settings, forked, tmp_path):
    from bnn_ablate.trained import load_trained, new_network

    settings = make_settings(*TINY, "recipe.epochs=1", "recipe.schedule.warmup_epochs=0", f"runs={tmp_path}")
    assert forked(train, settings) == 0
    folder = folder_of(tmp_path)
    start, end = (
        {name: net.get_submodule(name).weight for name in BINARY}
        for net in (new_network(settings), load_trained(settings, folder).network)
    )
    found = {line["layer"]: float(line["value"]) for line in lines_of(folder) if line["quantity"] == "flipped_signs"}
    flips = {name: ((start[name] < 0) != (end[name] < 0)).sum().item() for name in BINARY}
    assert found == {
        **{name: flips[name] / start[name].numel() for name in BINARY},
        "all": sum(flips.values()) / sum(weight.numel() for weight in start.values()),
    }


def test_diagnostics_change_nothing_of_the_result(whole, make_settings, forked, tmp_path):
    assert forked(train_without_diagnostics, make_settings(*TINY, f"runs={tmp_path}")) == 0
    folder = folder_of(tmp_path)
    assert not (folder.path / "diagnostics.csv").exists()
    assert same_result(folder.record(), whole.record())


@pytest.mark.parametrize(("step", "number", "code"), [(8, signal.SIGTERM, 130), (13, signal.SIGKILL, -9)])
def test_a_resumed_run_has_the_file_of_one_that_nobody_disturbed(
    step, number, code, whole, make_settings, forked, tmp_path
):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_and_die_at_step, settings, step, number) == code
    assert forked(train, settings) == 0
    assert (folder_of(tmp_path).path / "diagnostics.csv").read_bytes() == (whole.path / "diagnostics.csv").read_bytes()


def test_a_checkpoint_of_before_there_were_diagnostics_is_resumed(whole, make_settings, forked, tmp_path):
    settings = make_settings(*TINY, f"runs={tmp_path}")
    assert forked(train_without_diagnostics_and_stop_at_step, settings, 8) == 130  # in the second of three epochs
    assert forked(train, settings) == 0
    folder = folder_of(tmp_path)
    assert same_result(folder.record(), whole.record())
    # whose signs at the first epoch's end nobody knows: the second has no flips, the third has all
    known = [line for line in lines_of(whole) if line["epoch"] != "0"]
    assert lines_of(folder) == [line for line in known if (line["epoch"], line["quantity"]) != ("1", "flipped_signs")]
