"""The steps of the training benchmark: who trains what, in which turn, and the memory that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from bnn_ablate.bench.__main__ import main
from bnn_ablate.bench.peers import UnavailableError
from bnn_ablate.bench.training import peers as training_peers
from bnn_ablate.bench.training.contenders import CONTENDERS, Contender, Load, torch_step
from bnn_ablate.bench.training.measure import interleaved, measured, profile
from bnn_ablate.bench.training.memory import as_line, from_line, highest, live_peak
from bnn_ablate.bench.training.networks import binary_network, float_resnet, separate_resnet
from bnn_ablate.bench.training.results import Memory
from bnn_ablate.layers import BinaryConv2d

LOAD = Load(batch=8, features=16, threads=1)


@pytest.fixture(autouse=True)
def _threads_of_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


# --- measuring ---


def tiny(features: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 2, 3, stride=8), nn.Flatten(), nn.Linear(32, 10))


def contender(make: Callable[[Load], Any]) -> Contender:
    return Contender("a title", True, make, lambda: None)


def on_torch() -> Contender:
    return contender(lambda load: torch_step(tiny, "eager", load))


def test_every_contender_takes_one_step_a_round_in_changing_order() -> None:
    turns: list[str] = []
    steps = {name: (lambda name=name: turns.append(name)) for name in "abc"}
    found = interleaved(steps, 6)
    assert all(list(taken) == [0, 1, 2, 3, 4, 5] for taken in found.values())
    rounds = ["".join(turns[i : i + 3]) for i in range(0, len(turns), 3)]
    assert len(rounds) == 7  # one of them before the first
    assert all(sorted(turn) == list("abc") for turn in rounds)
    assert len(set(rounds)) > 1


def test_the_reference_comes_first_and_missing_and_failing_contenders_say_why() -> None:
    def absent(load: Load) -> Any:
        raise UnavailableError("not installed")

    def breaks(load: Load) -> Any:
        def step() -> None:
            raise RuntimeError("no such operator\nand more")

        return step

    contenders = {
        "absent": contender(absent),
        "breaks": contender(breaks),
        "float": on_torch(),
        "ours": on_torch(),
    }
    found = measured(contenders, LOAD, 2)
    assert [(row.name, row.note, len(row.samples)) for row in found.rows] == [
        ("float", "", 2),
        ("absent", "not installed", 0),
        ("breaks", "fails: RuntimeError: no such operator", 0),
        ("ours", "", 2),
    ]
    reference = {**contenders, "float": contender(breaks)}
    with pytest.raises(RuntimeError, match="no such operator"):
        measured(reference, LOAD, 2)


@pytest.mark.parametrize("how", ["eager", "bf16"])
def test_a_step_trains(how: Any) -> None:
    made: list[nn.Module] = []

    def network(features: int) -> nn.Module:
        made.append(tiny(features))
        return made[0]

    step = torch_step(network, how, LOAD)
    weight = made[0][0].weight
    before = weight.detach().clone()
    assert weight.is_contiguous(memory_format=torch.channels_last)
    step()
    assert weight.grad is not None
    assert not torch.equal(weight, before)


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UnavailableError, match=r"needs a C\+\+ compiler, and there is no no-such-compiler"):
        torch_step(tiny, "compiled", LOAD)


def test_a_profile_names_the_operations() -> None:
    assert "aten::conv2d" in profile(lambda: torch.conv2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 1, 1)))


# --- networks ---


def test_width_is_that_of_all_networks() -> None:
    ours, floats = binary_network("resnet_e18", 16, "packed"), float_resnet(16)
    convolutions = [layer for layer in ours.modules() if isinstance(layer, BinaryConv2d)]
    expected = [features for features in (16, 32, 64, 128) for _ in range(4)]
    assert [layer.out_channels for layer in convolutions] == expected
    threes = [layer for layer in floats.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)]
    assert [layer.out_channels for layer in threes] == [16, *expected]
    dense = binary_network("binary_densenet28", 16, "packed")
    assert {layer.out_channels for layer in dense.modules() if isinstance(layer, BinaryConv2d)} == {16}


def test_contenders_of_ours_differ_in_how_they_compute() -> None:
    for forward in ("packed", "float"):
        network = binary_network("resnet_e18", 16, forward)
        assert {layer.binary_forward for layer in network.modules() if isinstance(layer, BinaryConv2d)} == {forward}
    assert not any(isinstance(layer, BinaryConv2d) for layer in separate_resnet(16).modules())


def test_separate_operations_compute_what_ours_does() -> None:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    outputs, gradients = [], []
    for make in (separate_resnet, lambda features: binary_network("resnet_e18", features, "float")):
        torch.manual_seed(0)
        network = make(16)
        logits = network(images)
        logits.square().sum().backward()
        outputs.append(logits.detach())
        gradients.append([parameter.grad for parameter in network.parameters() if parameter.grad is not None])
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
    assert len(gradients[0]) == len(gradients[1]) > 50


def test_peers_that_are_not_installed_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_peers, "find_spec", lambda package: None)
    chosen = {"float": on_torch(), "bitorch": CONTENDERS["bitorch"], "larq": CONTENDERS["larq"]}
    rows = measured(chosen, LOAD, 1).rows
    assert [(row.name, row.note) for row in rows[1:]] == [("bitorch", "not installed"), ("larq", "not installed")]


# --- memory ---


def test_a_peak_is_the_highest_level_that_allocations_reach() -> None:
    assert highest([100, 50, -100, 70, -20, -100]) == 150
    assert highest([-100, 50]) == 0  # freed before anything was made


def test_live_bytes_are_those_of_tensors_at_one_time() -> None:
    before = [torch.ones(10**6)]

    def step() -> None:
        before.clear()  # not the step's own
        first = torch.ones(1024)
        second = torch.ones(2048)
        del first
        third = torch.ones(512)
        del second, third

    assert live_peak(step) == 4 * (1024 + 2048)
    assert live_peak(lambda: None) is None


def test_memory_travels_as_two_numbers() -> None:
    for memory in (Memory(600.25, 250.5), Memory(900.0, None)):
        assert from_line(as_line(memory)) == memory
    assert as_line(Memory(600.25, 250.5)) == "600.25 250.5"


def test_memory_is_asked_for_as_two_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    load = ["--batch", "2", "--width", "16", "--threads", "1", "--allocator", "as-it-comes"]
    assert main(["memory", *load, "--contender", "packed"]) == 0
    resident, live = map(float, capsys.readouterr().out.split())
    assert resident >= 0  # this process has had more before
    assert live > 2  # the gradients of 0.7 million latent weights
