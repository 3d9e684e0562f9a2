"""The mean of a cell's runs and how far chance may have moved it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from statistics import fmean, stdev

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of ``n`` values and the half-width of its interval, in their unit; one value has no interval."""

    n: int
    mean: float
    half_width: float | None


def student_mean(values: Sequence[float], level: float = LEVEL) -> Mean:
    """Mean and two-sided Student-t interval of independent, equally spread values; their order does not matter.

    The half-width is t(n - 1, (1 + level) / 2) s / sqrt(n), with s of n - 1 degrees of freedom. Source: Student 1908.
    Raises ValueError where there is no value: a mean of nothing is not 0.
    """
    n = len(values)
    if n == 0:
        raise ValueError("there is no mean of no values")
    if n == 1:
        return Mean(n=1, mean=values[0], half_width=None)
    return Mean(n=n, mean=fmean(values), half_width=t_quantile(n - 1, (1 + level) / 2) * stdev(values) / sqrt(n))


@cache
def t_quantile(degrees_of_freedom: float, probability: float) -> float:
    """The value below which a Student-t variable lies with ``probability``."""
    # Imported where it is used: scipy takes half a second, and a table of single runs needs no quantile.
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, probability))
