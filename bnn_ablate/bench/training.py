"""What a training step costs: a binary network against the float network of the same shape.

``python -m bnn_ablate.bench training --batch 64 128 --threads 1`` prints one table a batch size: ResNetE18 (32x32,
CIFAR stem), the same network of separate operations, and a plain float ResNet18, all channels_last, one step of each
after the other so that whatever else the machine does meets all three. ``--profile`` adds where the time goes.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.composing import network_settings
from bnn_ablate.layers import BinaryConv2d
from bnn_ablate.models import build_network
from bnn_ablate.models.resnet import float_resnet18

IMAGE = (3, 32, 32)
CLASSES = 10

#: ``memory`` is what ``training`` starts for each contender in a process of its own.
MODES = ("training", "memory")


def binary_resnet() -> nn.Module:
    """The baseline of conf/: ResNetE18 with the CIFAR stem."""
    settings = network_settings([])
    shapes = {"in_channels": IMAGE[0], "num_classes": CLASSES, "image_size": IMAGE[1]}
    return build_network(settings.model, settings.design, **shapes)


def float_resnet() -> nn.Module:
    return float_resnet18(stem="cifar", in_channels=IMAGE[0], num_classes=CLASSES)


def plain_resnet() -> nn.Module:
    """ResNetE18 as papers' code usually writes it; same function, same gradients."""
    network = binary_resnet()
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, BinaryConv2d):
                setattr(parent, name, PlainBinaryConv2d(layer))
    return network


CONTENDERS: dict[str, Callable[[], nn.Module]] = {
    "float ResNet18": float_resnet,
    "ResNetE18": binary_resnet,
    "ResNetE18, separate operations": plain_resnet,
}


class PlainBinaryConv2d(nn.Module):
    """A binary convolution of separate operations, each of which keeps its own float tensors for the backward."""

    def __init__(self, layer: BinaryConv2d) -> None:
        super().__init__()
        self.weight = layer.weight
        self.stride, self.padding, self.clip = layer.stride, layer.padding, layer.design.grad.clip

    def forward(self, x: Tensor) -> Tensor:
        x_b = _PlainSign.apply(x, self.clip)  # type: ignore[no-untyped-call]
        w_b = _PlainSign.apply(self.weight, torch.inf)  # type: ignore[no-untyped-call]
        return F.conv2d(F.pad(x_b, [self.padding] * 4, value=-1.0), w_b, stride=self.stride)


class _PlainSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.clip = clip
        return torch.where(x < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= ctx.clip), None


class Training:
    """One contender with its optimizer and one fixed batch; every call of :meth:`step` is a whole training step."""

    def __init__(self, make: Callable[[], nn.Module], batch: int) -> None:
        torch.manual_seed(0)
        self.network = make().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images = torch.randn(batch, *IMAGE).contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(CLASSES, (batch,))
        self.optimizer = torch.optim.Adam([p for p in self.network.parameters() if p.requires_grad], fused=True)

    def step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(F.cross_entropy(self.network(self.images), self.labels))
        self.optimizer.step()

    def seconds(self) -> tuple[float, float]:
        """Wall-clock and processor time of one step."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.step()
        return time.perf_counter() - wall, time.process_time() - cpu


def peak_mebibytes(name: str, batch: int, threads: int) -> float:
    """Memory that two steps of one contender add at their peak to a process that has loaded torch."""
    command = [sys.executable, "-m", "bnn_ablate.bench", "memory", "--contender", name]
    command += ["--batch", str(batch), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(batch: int, rounds: int, threads: int, peaks: dict[str, float]) -> None:
    """Print median times of a step, and the median, least and largest ratio to the float step of the same round."""
    trainings = {name: Training(make, batch) for name, make in CONTENDERS.items()}
    for training in trainings.values():
        training.step()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in trainings}
    for _ in range(rounds):
        for name, training in trainings.items():
            times[name].append(training.seconds())
    reference = times["float ResNet18"]
    print(f"\nbatch {batch}, {threads} thread(s), {rounds} interleaved steps")
    print(f"{'':32}{'wall ms':>9}{'ratio':>17}{'cpu ms':>9}{'ratio':>17}{'peak MiB':>10}")
    for name, taken in times.items():
        cells = ""
        for clock in (0, 1):
            ratios = [mine[clock] / theirs[clock] for mine, theirs in zip(taken, reference, strict=True)]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            cells += f"{statistics.median(step[clock] for step in taken) * 1e3:9.0f}{spread:>17}"
        print(f"{name:32}{cells}{peaks[name]:10.0f}")


def profile(batch: int) -> None:
    for name, make in CONTENDERS.items():
        training = Training(make, batch)
        training.step()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as trace:
            training.step()
        print(f"\n{name}, batch {batch}\n{trace.key_averages().table(sort_by='self_cpu_time_total', row_limit=14)}")


def main(arguments: Sequence[str]) -> int:
    """``training`` or ``memory`` with its options. Exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m bnn_ablate.bench", description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    training = modes.add_parser("training", help="a training step of each contender, interleaved")
    training.add_argument("--batch", type=int, nargs="+", default=[64, 128])
    training.add_argument("--rounds", type=int, default=9)
    training.add_argument("--threads", type=int, default=1)
    training.add_argument("--profile", action="store_true", help="also show where the time of one step goes")
    memory = modes.add_parser("memory", help="peak resident memory in MiB of two steps of one contender")
    memory.add_argument("--contender", choices=list(CONTENDERS), required=True)
    memory.add_argument("--batch", type=int, required=True)
    memory.add_argument("--threads", type=int, required=True)
    options = parser.parse_args(list(arguments))

    torch.set_num_threads(options.threads)
    if options.mode == "memory":
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        contender = Training(CONTENDERS[options.contender], options.batch)
        contender.step()
        contender.step()
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
        return 0
    # All before the first network: a child's peak starts at what its parent has had.
    peaks = {
        batch: {name: peak_mebibytes(name, batch, options.threads) for name in CONTENDERS} for batch in options.batch
    }
    for batch in options.batch:
        compare(batch, options.rounds, options.threads, peaks[batch])
        if options.profile:
            profile(batch)
    return 0
