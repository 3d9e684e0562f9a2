"""Numbers and texts as a reader sees them."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

MIB = 8 * 2**20  # bits


def percent(value: float) -> str:
    """Percentage points with two decimals: the third lies below one image of 10,000."""
    return f"{value:.2f}"


def significant(value: float, digits: int = 3) -> str:
    """At least ``digits`` significant digits and no exponent: 0.0712, 1.25, 1234."""
    if value == 0:
        return "0"
    return f"{value:.{max(0, digits - 1 - floor(log10(abs(value))))}f}"


def duration(seconds: float) -> str:
    """Seconds below two minutes, minutes below two hours, hours beyond."""
    if seconds < 120:
        return f"{significant(seconds, 2)} s"
    if seconds < 7200:
        return f"{significant(seconds / 60, 2)} min"
    return f"{significant(seconds / 3600, 2)} h"


def one_line(text: str) -> str:
    """Text without line breaks and control characters, which would break a table or colour a terminal."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, also inside a table."""
    escaped = one_line(text)
    for sign in ("\\", "|", "*", "`", "[", "]", "<"):
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped


def counted(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def joined(values: Sequence[str]) -> str:
    """Different values of one thing, each once, in the order of appearance."""
    return " / ".join(dict.fromkeys(values))
