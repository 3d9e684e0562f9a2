"""Ablation studies of binary neural networks.

``from bnn_ablate import pack, PackedNetwork, count_cost``: loaded when they are asked for, since torch takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnn_ablate.cost import count_cost
    from bnn_ablate.packed import PackedNetwork, pack

__all__ = ["PackedNetwork", "count_cost", "pack"]


def __getattr__(name: str) -> Any:
    if name in ("PackedNetwork", "pack"):
        from bnn_ablate import packed

        return getattr(packed, name)
    if name == "count_cost":
        from bnn_ablate import cost

        return cost.count_cost
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
