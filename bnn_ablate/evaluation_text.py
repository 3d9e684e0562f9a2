"""An evaluation in words, for a terminal."""

from __future__ import annotations

from statistics import median, quantiles

from bnn_ablate.evaluation import Evaluation
from bnn_ablate.latency import Timing
from bnn_ablate.packed import PackedNetwork
from bnn_ablate.record import Packed


def line(name: str, result: Evaluation) -> str:
    """The result of a network in one line."""
    count, _, hits, top5 = result.sums
    return f"{name}: test top-1 {100 * hits / count:.2f} %, top-5 {100 * top5 / count:.2f} % of {count:.0f} images"


def packed_line(packed: Packed) -> str:
    """The packed network beside the float one."""
    assert packed.top1 is not None
    assert packed.top5 is not None
    signs = (
        f"{packed.flipped_sign_bits:,} of {packed.sign_bits:,} sign bits of {packed.sign_images:,} images flipped"
        if packed.sign_bits
        else "no binary convolution"
    )
    return (
        f"  packed      top-1 {100 * packed.top1:.2f} %, top-5 {100 * packed.top5:.2f} %; "
        f"{packed.disagreeing_predictions} predictions differ; {signs}"
    )


def timing_lines(timing: Timing, packed: PackedNetwork, file_bytes: int) -> str:
    """Latency with its spread, throughput and bytes, and whether the times are results."""
    samples = timing.latency_ms
    low, *_, high = quantiles(samples, n=20)  # the cuts at 5 % and 95 %
    threads = "1 thread" if packed.threads == 1 else f"{packed.threads} threads"
    lines = [
        f"  latency     {median(samples):.4f} ms (5 % to 95 %: {low:.4f} to {high:.4f}), median of {len(samples)} "
        f"after {timing.warmup} calls; kernel={packed.kernel}, {threads}",
        f"  throughput  {timing.images_per_second:,.1f} images/s in batches of {timing.throughput_batch}",
        f"  bytes       file {file_bytes:,}, weights in memory {packed.weight_bytes:,}, values {packed.work_bytes:,}",
    ]
    if timing.busy:
        lines.append("  busy        other work ran on this machine: these times are no results, measure again")
    return "\n".join(lines)
