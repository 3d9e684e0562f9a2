"""A contrast of cell means as it was estimated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """``value`` points with the standard error ``se`` on ``df`` degrees of freedom.

    ``n`` is the number of runs in the thinnest of its cells. ``se`` and ``df`` are None where nothing repeats, so that chance cannot be told from effect.
    """

    value: float
    se: float | None
    df: float | None
    n: int
