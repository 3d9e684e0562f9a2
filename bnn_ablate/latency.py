"""How long a packed network takes, and whether the machine was quiet meanwhile."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from bnn_ablate.packed import PackedNetwork

#: Calls before the first sample: caches, threads and the processor's clock settle.
WARM_UP = 10
#: Samples of batch 1; a slow network has fewer, once they have taken MOST_SECONDS, and never less than FEWEST.
SAMPLES, FEWEST, MOST_SECONDS = 50, 10, 2.0
#: Images a call, and calls at least, where throughput is measured.
BATCH, BATCHES = 32, 3
#: Seconds that a measurement takes at least: /proc/stat counts in hundredths.
WINDOW = 0.1
#: Processors that other work may use meanwhile; below lies what a quiet desktop does, and the clock ticks' own error.
OTHERS = 0.25
#: Share of the time that the one thread of a measurement may have waited for a processor.
WAITING = 0.1


@dataclass(frozen=True)
class Timing:
    """``latency_ms`` are all samples of batch 1 after ``warmup`` calls; ``images_per_second`` is that of the median
    call with ``throughput_batch`` images. ``busy``: the machine had other work to do, so that these are no results."""

    latency_ms: list[float]
    warmup: int
    images_per_second: float
    throughput_batch: int
    busy: bool


def measure(packed: PackedNetwork, *, samples: int = SAMPLES, batch: int = BATCH) -> Timing:
    """Time a network on images of noise: what the kernels do does not depend on the values."""
    images = np.random.default_rng(0).standard_normal((batch, *packed.image_shape), np.float32)
    one = images[:1]
    for _ in range(WARM_UP):
        packed(one)
    packed(images)
    before = usage()
    latencies: list[float] = []
    while len(latencies) < FEWEST or (len(latencies) < samples and time.perf_counter() < before.wall + MOST_SECONDS):
        latencies.append(_seconds(packed, one))
    calls: list[float] = []
    while len(calls) < BATCHES or time.perf_counter() < before.wall + WINDOW:
        calls.append(_seconds(packed, images))
    return Timing(
        latency_ms=[round(1000 * seconds, 6) for seconds in latencies],
        warmup=WARM_UP,
        images_per_second=batch / median(calls),
        throughput_batch=batch,
        busy=was_busy(before, usage(), packed.threads),
    )


def _seconds(packed: PackedNetwork, images: np.ndarray) -> float:
    start = time.perf_counter()
    packed(images)
    return time.perf_counter() - start


@dataclass(frozen=True)
class Usage:
    """Seconds since some moment: on the clock, of processors by this process, by this thread, and by the machine.

    ``machine`` is None where the system does not tell.
    """

    wall: float
    process: float
    thread: float
    machine: float | None


def usage() -> Usage:
    """What was used until now."""
    stat = Path("/proc/stat")
    machine = machine_seconds(stat.read_text()) if stat.exists() else None
    return Usage(time.perf_counter(), time.process_time(), time.thread_time(), machine)


def machine_seconds(stat: str) -> float:
    """Processor seconds of all work, and of other virtual machines' (steal), in /proc/stat. Source: man 5 proc_stat."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.splitlines()[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def was_busy(before: Usage, after: Usage, threads: int) -> bool:
    """Whether other work ran on the machine between two moments.

    Other processes on other processors count too: they share the clock's boost, the last cache and the memory. A single
    thread must have had its processor all the time besides, which shows what /proc/stat of a container hides. A system
    that does not tell counts as busy.
    """
    if before.machine is None or after.machine is None:
        return True
    wall = after.wall - before.wall
    others = (after.machine - before.machine) - (after.process - before.process)
    waited = wall - (after.thread - before.thread)
    return others > OTHERS * wall or (threads == 1 and waited > WAITING * wall)
