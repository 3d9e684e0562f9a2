"""A chart inside the page: as an image, so that its ids, styles and whatever its labels hold stay in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from bnn_ablate.report.grid import Chart

_VIEW_BOX = re.compile(rb"<svg\b[^>]*\bviewBox=[\"']\s*[-\d.]+\s+[-\d.]+\s+([\d.]+)\s+([\d.]+)\s*[\"']")
#: A width in points, as matplotlib says it: 4/3 of a CSS pixel each.
_POINTS = re.compile(rb"<svg\b[^>]*\bwidth=[\"'][\d.]+pt[\"']")
#: Charts broader than this (CSS pixels) have a line of their own, with their caption beside them.
BROAD = 480


@dataclass(frozen=True, kw_only=True)
class Picture:
    """``source`` is the SVG as a data URL; the size in CSS pixels keeps the place while the page loads.

    ``how`` is the id of the part of the page that says how such figures are read, where there is one.
    """

    chart: Chart
    id: str
    source: str
    width: int | None
    height: int | None
    broad: bool
    how: str | None


def picture(chart: Chart, element: str, how: str | None) -> Picture:
    """The chart with the id ``element``; ``how`` is said under :class:`Picture`."""
    # what a URL may hold stays readable and compresses well; base64 would be longer
    source = "data:image/svg+xml," + quote(chart.svg, safe=" !$'()*+,-./:;=?@_~|")
    box = _VIEW_BOX.search(chart.svg)
    if box is None:
        return Picture(chart=chart, id=element, source=source, width=None, height=None, broad=False, how=how)
    scale = 4 / 3 if _POINTS.search(chart.svg) is not None else 1.0
    width, height = (round(scale * float(side)) for side in box.groups())
    return Picture(chart=chart, id=element, source=source, width=width, height=height, broad=width > BROAD, how=how)
