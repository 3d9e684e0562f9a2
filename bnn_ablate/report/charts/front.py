"""Cells as points of cost and accuracy, and those among them that no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from bnn_ablate.report.stats.student import Mean


@dataclass(frozen=True, kw_only=True)
class Point:
    """A cell at its cost; ``group`` is the place of its option among those that are told apart."""

    name: str
    cost: float
    top1: Mean
    group: int


def front(points: Sequence[Point]) -> list[int]:
    """The places of the points that no other point beats: none is as cheap and better, or as good and cheaper.

    From the cheapest to the best; points that are equal in both are all on it.
    """
    order = sorted(range(len(points)), key=lambda place: (points[place].cost, -points[place].top1.mean))
    kept: list[int] = []
    best, best_cost = -inf, -inf
    for place in order:
        point = points[place]
        if point.top1.mean > best:
            best, best_cost = point.top1.mean, point.cost
            kept.append(place)
        elif point.top1.mean == best and point.cost == best_cost:
            kept.append(place)
    return kept


def interval_ends(point: Point) -> tuple[float, float]:
    """Both ends of its interval, its mean twice where it has none."""
    half = point.top1.half_width if point.top1.half_width is not None else 0.0
    return point.top1.mean - half, point.top1.mean + half
