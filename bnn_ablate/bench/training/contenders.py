"""Who takes part in the training benchmark, and what one step of each is.

A step is forward, cross-entropy, backward and Adam on one fixed batch of noise: the data and its augmentation have a
benchmark of their own (``python -m bnn_ablate.data.bench``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.bench.peers import UnavailableError
from bnn_ablate.bench.training.networks import CLASSES, IMAGE, binary_network, float_resnet, separate_resnet
from bnn_ablate.bench.training.peers import bitorch_resnet, larq_step, load_bitorch, load_larq

Step = Callable[[], None]
#: How torch runs a network: as it is, through torch.compile, or under autocast to bfloat16.
How = Literal["eager", "compiled", "bf16"]


@dataclass(frozen=True)
class Load:
    """What a group of contenders trains on: images a step, features of the first stage, threads."""

    batch: int
    features: int
    threads: int

    @property
    def title(self) -> str:
        """The load in words."""
        return f"batch {self.batch}, width {self.features}, {self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True)
class Contender:
    """``make`` sets a network up, of random weights, and gives its training step; it raises UnavailableError.

    ``imports`` loads what would else be loaded with the first step, and is no memory of the step.
    """

    title: str
    ours: bool
    make: Callable[[Load], Step]
    imports: Callable[[], object]


def torch_step(network_of: Callable[[int], nn.Module], how: How, load: Load) -> Step:
    """A training step in channels_last, the memory format that suits CPUs, on as many threads as torch has.

    Raises UnavailableError where torch.compile finds no C++ compiler.
    """
    compiler = os.environ.get("CXX", "g++")  # torch's own choice
    if how == "compiled" and shutil.which(compiler) is None:
        raise UnavailableError(f"torch.compile needs a C++ compiler, and there is no {compiler}")
    torch.manual_seed(0)
    network = network_of(load.features).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    images = torch.randn(load.batch, *IMAGE).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (load.batch,))
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], fused=True)
    called: Callable[[Tensor], Tensor] = torch.compile(network) if how == "compiled" else network

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=how == "bf16"):
            loss = F.cross_entropy(called(images), labels)
        torch.autograd.backward(loss)
        optimizer.step()

    return step


def load_optimizers() -> None:
    """Import what torch's optimizers import when the first is made: 70 MiB of modules."""
    import_module("torch._dynamo")


def _on_torch(
    title: str,
    network_of: Callable[[int], nn.Module],
    how: How = "eager",
    *,
    ours: bool,
    imports: Callable[[], object] = load_optimizers,
) -> Contender:
    return Contender(title, ours, partial(torch_step, network_of, how), imports)


def _load_bitorch() -> None:
    load_optimizers()
    load_bitorch()


def _larq(load: Load) -> Step:
    return larq_step(load.features, load.batch, load.threads)


#: The contender that all ratios are to, which is always measured.
REFERENCE = "float"
COMPILED = "float-compiled"

_RESNET, _DENSENET = partial(binary_network, "resnet_e18"), partial(binary_network, "binary_densenet28")

#: By the names of --contenders.
CONTENDERS: dict[str, Contender] = {
    REFERENCE: _on_torch("float ResNet18", float_resnet, ours=False),
    COMPILED: _on_torch("float ResNet18, torch.compile", float_resnet, "compiled", ours=False),
    "float-bf16": _on_torch("float ResNet18, bf16 autocast", float_resnet, "bf16", ours=False),
    "packed": _on_torch("ResNetE18, packed", partial(_RESNET, forward="packed"), ours=True),
    "float-path": _on_torch("ResNetE18, float path", partial(_RESNET, forward="float"), ours=True),
    "separate": _on_torch("ResNetE18, separate operations", separate_resnet, ours=False),
    "densenet28": _on_torch("BinaryDenseNet28, packed", partial(_DENSENET, forward="packed"), ours=True),
    "bitorch": _on_torch("ResNetE18, bitorch", bitorch_resnet, ours=False, imports=_load_bitorch),
    "larq": Contender("ResNetE18, larq", False, _larq, load_larq),
}
