"""Where a packed network spends its time, step by step, against what a core can do at most."""

from __future__ import annotations

from collections.abc import Sequence

from bnn_ablate.bench.results import Layers
from bnn_ablate.evaluations import LayerTime
from bnn_ablate.layer_profile import profile
from bnn_ablate.packed import PackedNetwork
from bnn_ablate.packed.graph import BinaryConv
from bnn_ablate.packed.library import popcount_peak


def layers(title: str, network: PackedNetwork) -> Layers:
    """Medians of each step of a ``network`` of one thread, for one image."""
    steps = profile(network)
    large = {
        node.name for node in network.graph.nodes if isinstance(node, BinaryConv) and min(node.signs.shape[2:]) >= 3
    }
    binary = [step for step in steps if large & set(step.names) and step.kind != "fill"]
    return Layers(
        network=title,
        kernel=network.kernel,
        size=network.image_shape[1],
        steps=tuple(without_fills(steps)),
        popcount_peak=popcount_peak(network.kernel),
        binary_macs=sum(step.macs for step in binary),
        binary_seconds=sum(step.seconds for step in binary),
        weight_bytes=network.weight_bytes,
        work_bytes=network.work_bytes,
    )


def without_fills(steps: Sequence[LayerTime]) -> list[LayerTime]:
    """Steps with all that fill the borders of signs, of which there are many and short ones, as one at the end."""
    fills = [step for step in steps if step.kind == "fill"]
    others = [step for step in steps if step.kind != "fill"]
    if not fills:
        return others
    seconds = sum(step.seconds for step in fills)
    names = ["borders of signs"]
    return [*others, LayerTime(kind="fill", names=names, seconds=seconds, macs=0, share_of_peak=None)]
