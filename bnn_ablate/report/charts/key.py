"""What tells lines and points apart, and the key that says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnn_ablate.report.charts.style import COLOURS, DASHES, GREY, INCH, LINE, MARKERS, fitted

#: Millimetres from the left edge of a key to its texts.
SAMPLE = 11.0


def look(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of the ``index``-th line; they repeat after eight."""
    at = index % len(COLOURS)
    return {"color": COLOURS[at], "linestyle": DASHES[at], "marker": MARKERS[at]}


def draw_key(
    figure: Figure,
    entries: Sequence[str],
    *,
    left: float,
    top: float,
    room: float,
    heading: str = "",
    looks: Sequence[dict[str, Any]] = (),
    columns: int = 1,
) -> None:
    """A heading, then a sample and a text for each entry, a line each, down the columns that share the ``room``.

    The samples are those of :func:`look` unless ``looks`` are given.
    """
    width, height = (float(inches) * INCH for inches in figure.get_size_inches())
    if heading:
        figure.text(left / width, 1 - (top + LINE / 2) / height, fitted(heading, room), va="center", color=GREY)
        top += LINE
    rows = -(-len(entries) // columns)
    for index, entry in enumerate(entries):
        style = looks[index] if looks else look(index)
        column, row = divmod(index, rows)
        x, y = left + column * room / columns, 1 - (top + (row + 0.5) * LINE) / height
        ends = [x / width, (x + SAMPLE - 2) / width]
        plain = {key: value for key, value in style.items() if key != "marker"}
        figure.add_artist(Line2D(ends, [y, y], **plain))
        figure.add_artist(Line2D([sum(ends) / 2], [y], **{**style, "linestyle": "none"}))
        figure.text((x + SAMPLE) / width, y, fitted(entry, room / columns - SAMPLE), va="center")
