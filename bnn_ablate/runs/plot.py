"""A curve as text: dots of braille characters, two across and four down a character."""

from __future__ import annotations

from collections.abc import Sequence

#: Bits of a braille character's dots, rows from the top, left and right.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
BLANK = 0x2800
#: Characters that three digits and an exponent may take.
MARGIN = 8


def braille(values: Sequence[float], width: int, height: int, low: float, high: float) -> list[str]:
    """``height`` lines of ``width`` characters with a line through ``values``, from ``low`` at the bottom to ``high``.

    The values lie evenly from the left edge to the right one; a single one is a dot at the left. Neighbouring dots are
    joined, so that a jump is a vertical line. Values beyond the two limits lie at the edge.
    """
    columns, rows = 2 * width, 4 * height
    cells = [[BLANK] * width for _ in range(height)]
    previous: int | None = None
    last = len(values) - 1
    for column in range(columns if last > 0 else min(1, len(values))):
        row = _row(_between(values, last * column / (columns - 1)), rows, low, high)
        # A jump is drawn from the row beside the previous one, so that each column has one dot where the curve is flat.
        start = row if previous is None or previous == row else previous + (1 if row > previous else -1)
        for dot in range(min(start, row), max(start, row) + 1):
            cells[dot // 4][column // 2] |= DOTS[dot % 4][column % 2]
        previous = row
    return ["".join(map(chr, line)) for line in cells]


def _between(values: Sequence[float], place: float) -> float:
    """Linear between two neighbours."""
    left = min(int(place), len(values) - 1)
    right = min(left + 1, len(values) - 1)
    return values[left] + (place - left) * (values[right] - values[left])


def _row(value: float, rows: int, low: float, high: float) -> int:
    share = (value - low) / (high - low) if high > low else 0.5
    return round((1 - min(1.0, max(0.0, share))) * (rows - 1))


def panel(title: str, values: Sequence[float], width: int, height: int, limits: tuple[float, float]) -> list[str]:
    """A titled plot with its limits at the left: ``height + 1`` lines, of ``width`` characters or fewer."""
    low, high = limits
    texts = [f"{high:.4g}", *[""] * (height - 2), f"{low:.4g}"]
    margin = max(map(len, texts))
    plotted = braille(values, max(1, width - margin - 1), height, low, high)
    return [
        " " * (margin + 1) + title,
        *(f"{text:>{margin}} {line}" for text, line in zip(texts, plotted, strict=True)),
    ]


def beside(left: Sequence[str], right: Sequence[str], width: int) -> list[str]:
    """Two panels in one row; ``width`` is the left one's."""
    return [f"{one.ljust(width)}  {other}".rstrip() for one, other in zip(left, right, strict=True)]
