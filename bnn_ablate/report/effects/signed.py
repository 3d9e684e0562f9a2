"""Differences as a reader sees them: each with its sign, also where it is +, so that none is taken for a level."""

from __future__ import annotations

from bnn_ablate.report.grid import Column, Entry
from bnn_ablate.report.numbers import significant
from bnn_ablate.report.rows import DASH

NO_CHANGE = "no change"


def points(value: float) -> str:
    """Percentage points with two decimals: ``+1.20``, ``-0.05``; what rounds to nothing is ``0.00``."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text


def signed(value: float, digits: int = 3) -> str:
    """At least ``digits`` significant digits: ``+0.0712``, ``-1234``, ``0``."""
    return f"+{significant(value, digits)}" if value > 0 else significant(value, digits)


def interval_columns(title: str, key: str, *, wide: bool = False) -> tuple[Column, ...]:
    """One column for people, and for programs one for each end: ``KEY_low`` and ``KEY_high``."""
    return (
        Column(title=title, key=key, wide=wide, only="people"),
        Column(title=f"{title}, low", key=f"{key}_low", numeric=True, only="csv"),
        Column(title=f"{title}, high", key=f"{key}_high", numeric=True, only="csv"),
    )


def interval(ends: tuple[float, float] | None) -> tuple[Entry, Entry, Entry]:
    """The entries of :func:`interval_columns`: ``-0.31 to +0.72``, by whose lower end a page sorts, and both ends."""
    if ends is None:
        return (Entry(text=DASH),) * 3
    low, high = (Entry(text=points(end), value=end) for end in ends)
    return Entry(text=f"{low.text} to {high.text}", value=low.value), low, high


def p_value(p: float | None) -> Entry:
    """``0.012``; below a thousandth only that is said."""
    if p is None:
        return Entry(text=DASH)
    return Entry(text=f"{p:.3f}" if p >= 0.001 else "< 0.001", value=p)


def change(value: float | None, unit: float = 1.0) -> Entry:
    """A cost's change in its unit; a dash where it is not known."""
    if value is None:
        return Entry(text=DASH)
    return Entry(text=signed(value / unit) if value else NO_CHANGE, value=value / unit)


def rate(effect: float, cost: float | None, unit: float = 1.0) -> Entry:
    """Points a unit of a cost; there is none where the cost does not change or is not known."""
    if cost is None:
        return Entry(text=DASH)
    return Entry(text=signed(effect / (cost / unit)), value=effect / (cost / unit)) if cost else Entry(text=NO_CHANGE)
