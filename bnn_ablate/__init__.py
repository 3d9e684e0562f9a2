"""Ablation studies of binary neural networks.

``from bnn_ablate import load_run, pack, PackedNetwork, count_cost``: loaded when they are asked for, since torch takes
seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnn_ablate.cost import count_cost
    from bnn_ablate.packed import PackedNetwork, pack
    from bnn_ablate.trained import load_run

__all__ = ["PackedNetwork", "count_cost", "load_run", "pack"]


def __getattr__(name: str) -> Any:
    if name in ("PackedNetwork", "pack"):
        from bnn_ablate import packed

        return getattr(packed, name)
    if name == "count_cost":
        from bnn_ablate import cost

        return cost.count_cost
    if name == "load_run":
        from bnn_ablate import trained

        return trained.load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
