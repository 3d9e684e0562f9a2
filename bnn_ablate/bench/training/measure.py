"""One group of the training benchmark: every contender set up, then one step of each in every round."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Mapping

import torch

from bnn_ablate.bench.machine import Others
from bnn_ablate.bench.measure import Sample, Samples
from bnn_ablate.bench.peers import UnavailableError
from bnn_ablate.bench.training.contenders import REFERENCE, Contender, Load, Step
from bnn_ablate.bench.training.results import Group, Row

#: Operations that a profile lists, the costliest first.
PROFILED = 14


def measured(contenders: Mapping[str, Contender], load: Load, rounds: int, *, profiles: bool = False) -> Group:
    """Measure ``contenders``, of which one is the reference, and say of those that cannot run here why.

    Raises what the reference raises: without it there is no ratio.
    """
    torch.set_num_threads(load.threads)
    reference = contenders[REFERENCE]
    ordered = {REFERENCE: reference, **contenders}
    steps: dict[str, Step] = {}
    notes = {}
    for name, contender in ordered.items():
        try:
            step = contender.make(load)
            step()  # compiles, and finds out what fails
            steps[name], notes[name] = step, ""
        except UnavailableError as error:
            notes[name] = str(error)
        except Exception as error:  # another's library, whose failure must not end the benchmark
            if contender is reference:
                raise
            notes[name] = f"fails: {type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
    others = Others()
    samples = interleaved(steps, rounds)
    used = others.processors()
    rows = [
        Row(
            name,
            contender.title,
            contender.ours,
            notes[name],
            samples.get(name, {}),
            profile=profile(steps[name]) if profiles and name in steps else None,
        )
        for name, contender in ordered.items()
    ]
    return Group(load, tuple(rows), used)


def interleaved(steps: Mapping[str, Step], rounds: int) -> dict[str, Samples]:
    """Times of one step of each in every round, in each round in another order.

    Before the first round is one that is not timed: the optimizers' state and the caches come into being.
    """
    samples: dict[str, Samples] = {name: {} for name in steps}
    for step in steps.values():
        step()
    gc.collect()
    gc.disable()
    try:
        for i in range(rounds):
            turn = list(steps)
            random.Random(i).shuffle(turn)
            for name in turn:
                samples[name][i] = timed(steps[name])
    finally:
        gc.enable()
    return samples


def timed(step: Step) -> Sample:
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return Sample(time.perf_counter() - wall, time.process_time() - cpu)


def profile(step: Step) -> str:
    """Torch's operations in one step by their own processor time."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as trace:
        step()
    text: str = trace.key_averages().table(sort_by="self_cpu_time_total", row_limit=PROFILED)
    return text
