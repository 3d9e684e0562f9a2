"""A run's curve as text: small plots, and the numbers of a few epochs."""

from __future__ import annotations

from collections.abc import Sequence

from bnn_ablate.record import Epoch
from bnn_ablate.report.numbers import duration, percent
from bnn_ablate.runs.plot import beside, panel

#: Epochs whose numbers stand below the plots.
EPOCHS = 6
#: Lines of a plot.
HEIGHT = 5


def curve_lines(curve: Sequence[Epoch], width: int) -> list[str]:
    """Four small plots, train beside test on one scale, and the numbers of a few epochs, counted from 1."""
    half = (width - 2) // 2
    lines: list[str] = []
    plotted = (("top1", "top-1 %", 100.0), ("loss", "loss", 1.0))
    for what, title, scale in plotted if len(curve) > 1 else ():
        train = [scale * getattr(row, f"train_{what}") for row in curve]
        test = [scale * getattr(row, f"test_{what}") for row in curve]
        limits = (min(train + test), max(train + test))
        left, right = (
            panel(f"{name} {title}", values, half, HEIGHT, limits)
            for name, values in (("train", train), ("test", test))
        )
        lines += beside(left, right, half)
    lines.append(f"{'epoch':>7}{'lr':>11}{'train loss':>12}{'train %':>10}{'test loss':>12}{'test %':>10}{'time':>9}")
    for row in some(curve, EPOCHS):
        lines.append(
            f"{row.epoch + 1:>7}{row.lr:>11.3g}{row.train_loss:>12.4f}{percent(100 * row.train_top1):>10}"
            f"{row.test_loss:>12.4f}{percent(100 * row.test_top1):>10}{duration(row.seconds):>9}"
        )
    return lines


def some(curve: Sequence[Epoch], most: int) -> list[Epoch]:
    """At most that many epochs, evenly, the first and the last among them."""
    if len(curve) <= most:
        return list(curve)
    return [curve[round(number * (len(curve) - 1) / (most - 1))] for number in range(most)]
