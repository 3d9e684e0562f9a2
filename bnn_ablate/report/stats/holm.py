"""Several p-values of one family: how small must each be, when any of them may be small by chance?"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values in the order given: calling those below alpha real is wrong about any of them in a share alpha
    of all families at most, however they depend on each other.

    The k-th smallest of m is multiplied by m - k + 1, and none is smaller than the one before it, nor above 1. What has
    no p-value (None) stays so and does not count among the m. Source: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        adjusted[place] = largest
    return adjusted
