"""What a layer costs under each method: products of its sizes, as formulas that are data.

A layer is the matrix product of weights (n x k) and inputs (k x m): n output channels, m output pixels, sums of k =
kh kw c_in terms. The formulas are those of the paper's table of methods, whose figures are known from memory alone
(reports/published/method_characteristics.csv).

The cost model: an instruction does one real operation or 64 binary ones. A MAC is two operations, a product and a sum;
where a method's weights leave nothing to multiply ("sign, add"), it is one. The speedup is the time of the real layer,
2 n m k, over that of the method.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

#: Binary operations of one instruction.
WORD = 64
#: Sizes that are tried to see where a published speedup comes out; convolutions of the paper's networks lie within.
TRIED = range(1, 8 * 9 * 512 + 1)


@dataclass(frozen=True, kw_only=True)
class Gemm:
    """Sizes of one layer's product; see above."""

    n: int
    m: int
    k: int


@dataclass(frozen=True, kw_only=True)
class MethodCost:
    """Formulas of one method: MACs, binary operations, and the operations that it is said to need."""

    macs: str
    binary_ops: str
    operations: str

    def __post_init__(self) -> None:
        for formula in (self.macs, self.binary_ops):
            factors(formula)

    def speedup(self, size: Gemm) -> float:
        """How many times as fast as the real layer, by the cost model of this module."""
        only_sums = self.binary_ops == "0" and "mul" not in self.operations
        real = evaluated(self.macs, size) * (1 if only_sums else 2)
        return 2 * size.n * size.m * size.k / (real + evaluated(self.binary_ops, size) / WORD)


def factors(formula: str) -> tuple[str, ...]:
    """The factors of ``8*n*m*k`` or ``0``; ValueError for anything that is no product of whole numbers, n, m and k."""
    found = tuple(formula.split("*"))
    for factor in found:
        if not re.fullmatch(r"[0-9]+|[nmk]", factor):
            raise ValueError(f"{formula} is no product of whole numbers and the letters n, m, k")
    return found


def evaluated(formula: str, size: Gemm) -> int:
    """The product for one layer."""
    product = 1
    for factor in factors(formula):
        product *= {"n": size.n, "m": size.m, "k": size.k}[factor] if factor in "nmk" else int(factor)
    return product


def sizes_with(speedup: int, method: MethodCost, size: Gemm) -> tuple[str, int, int] | None:
    """Where the model gives a ``speedup``, rounded to a whole number: the size it grows with, its first and last value.

    None where no tried value gives it, or where the model's speedup grows with no size.
    """
    letter = next((letter for letter in "mk" if _grows(method, size, letter)), None)
    if letter is None:
        return None

    def at(value: int) -> float:
        return method.speedup(_with(size, letter, value))

    first = bisect_left(TRIED, speedup - 0.5, key=at)
    behind = bisect_left(TRIED, speedup + 0.5, key=at)
    return (letter, TRIED[first], TRIED[behind - 1]) if first < behind else None


def _grows(method: MethodCost, size: Gemm, letter: str) -> bool:
    return method.speedup(size) < method.speedup(_with(size, letter, 2 * getattr(size, letter)))


def _with(size: Gemm, letter: str, value: int) -> Gemm:
    sizes: Mapping[str, int] = {"n": size.n, "m": size.m, "k": size.k, letter: value}
    return Gemm(**sizes)
