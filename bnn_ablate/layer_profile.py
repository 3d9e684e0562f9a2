"""A packed network step by step: how long each takes, and how near it comes to what the processor can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bnn_ablate import latency
from bnn_ablate.evaluations import LayerTime
from bnn_ablate.packed import PackedNetwork
from bnn_ablate.packed.library import popcount_peak

#: Passes of one image, of whose times the median counts, after as many for warming up as WARM_UP.
PASSES, WARM_UP = 30, 5


def profile(packed: PackedNetwork) -> list[LayerTime]:
    """The steps of a network on one image of noise, in order."""
    image = np.random.default_rng(0).standard_normal((1, *packed.image_shape), np.float32)
    times = [packed.profile(image) for _ in range(WARM_UP + PASSES)][WARM_UP:]
    peak = packed.threads * popcount_peak(packed.kernel)
    return [
        LayerTime(
            kind=line.kind,
            names=list(line.names),
            seconds=float(seconds),
            macs=line.macs,
            share_of_peak=float(line.macs / seconds / peak) if line.kind == "bconv" and seconds > 0 else None,
        )
        for line, seconds in zip(packed.lines, np.median(times, axis=0), strict=True)
    ]


def measure_with_steps(packed: PackedNetwork, *, samples: int, batch: int) -> tuple[latency.Timing, list[LayerTime]]:
    """Time the whole network and then its steps: busy, where other work ran during either."""
    before = latency.usage()
    timing = latency.measure(packed, samples=samples, batch=batch)
    layers = profile(packed)
    busy = timing.busy or latency.was_busy(before, latency.usage(), packed.threads)
    return replace(timing, busy=busy), layers


def profile_text(layers: Sequence[LayerTime]) -> str:
    """The steps as a table for a terminal, with their sum."""
    total = sum(layer.seconds for layer in layers)
    head = ("ms", "share", "GMAC/s", "of peak", "step", "layers")
    rows = [
        (
            f"{1000 * layer.seconds:.4f}",
            f"{100 * layer.seconds / total:.1f} %" if total > 0 else "—",
            f"{layer.macs / layer.seconds / 1e9:.1f}" if layer.macs and layer.seconds > 0 else "—",
            f"{100 * layer.share_of_peak:.0f} %" if layer.share_of_peak is not None else "—",
            layer.kind,
            " + ".join(layer.names),
        )
        for layer in layers
    ]
    rows.append((f"{1000 * total:.4f}", "100.0 %" if total > 0 else "—", "", "", "", "all steps"))
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if column < 4 else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, tuple("-" * width for width in widths), *rows)
    )
