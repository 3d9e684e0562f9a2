"""The memory that training steps take, measured in a process that does nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

import torch

from bnn_ablate.bench.training.contenders import Contender, Load, Step
from bnn_ablate.bench.training.results import Memory

#: Steps before the peak is read: the second finds the optimizer's state.
STEPS = 2
MEBI = 2**20


def peak_memory(contender: Contender, load: Load) -> Memory:
    """What a contender's steps take in this process, which must not have trained before."""
    torch.set_num_threads(load.threads)
    contender.imports()
    before = resident_peak()
    step = contender.make(load)
    for _ in range(STEPS):
        step()
    resident = resident_peak() - before
    live = live_peak(step)
    return Memory(resident / MEBI, None if live is None else live / MEBI)


def resident_peak() -> int:
    """Most bytes of memory that this process has had so far.

    From /proc and not from getrusage: what that says starts at the peak of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("peak memory is read from VmHWM in /proc/self/status, which this system does not have")


def live_peak(step: Step) -> int | None:
    """Most bytes at a time in the tensors that a step makes, its gradients too; None where it makes none of torch's.

    The profiler does not see the end of what was there before, the gradients of the step before for instance. What the
    kernels of packed layers allocate themselves is no tensor.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as trace:
        step()
    events = [event for event in trace.profiler.kineto_results.events() if event.name() == "[memory]"]
    if not events:
        return None
    return highest(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))


def highest(changes: Iterable[int]) -> int:
    """The highest level above the start that allocations (positive) and frees (negative) in their order reach."""
    return max(accumulate(changes, initial=0))


def as_line(memory: Memory) -> str:
    """Both numbers, ``nan`` for what is unknown."""
    return f"{memory.resident} {math.nan if memory.live is None else memory.live}"


def from_line(line: str) -> Memory:
    resident, live = map(float, line.split())
    return Memory(resident, None if math.isnan(live) else live)
