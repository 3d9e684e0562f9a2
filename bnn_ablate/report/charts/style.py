"""How every chart looks and is written: sizes, colours, texts as they are, and the same bytes for the same figure.

Lengths are millimetres on paper, places are counted from the upper left corner. Texts come from records: nothing in
them is interpreted, and what is too long for its place is cut in its middle, where names differ least.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from bnn_ablate.report.effects.signed import points as signed_points
from bnn_ablate.report.grid import Chart, ChartKind
from bnn_ablate.report.numbers import one_line

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")

#: A page's text is this wide; a single panel of an interaction is half of it.
WIDTH = 170.0
#: A chart on a page of its own is at most this high.
HEIGHT = 230.0
#: Points; nothing is smaller. The family comes with matplotlib: the same widths on every machine.
FONT, FAMILY = 8, "DejaVu Sans"
_LETTERS = FontProperties(family=FAMILY, size=FONT)
INCH = 25.4
POINT = INCH / 72
#: From one line of text to the next.
LINE = 4.0
#: Steps of an axis at most, unless a chart says what stands on it.
TICKS = 5

#: Okabe and Ito's colours without their yellow, which is too light on white, and grey: a dark one and a light one take
#: turns, and each has a marker and a dash pattern of its own, so that they differ in grey too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#000000", "#CC79A7", "#56B4E9", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.2, 1.2, 1.2)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (2.5, 2.5)),
    (0, (7, 1.5, 2.5, 1.5)),
)
BLUE, VERMILION, BLACK, GREY, BAND, FAINT = "#0072B2", "#D55E00", "#000000", "#595959", "#E3E3E3", "#E8E8E8"

#: Everything a person's matplotlibrc could change is at matplotlib's default but for these.
_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": [FAMILY],
    "font.size": FONT,
    "axes.labelsize": FONT,
    "axes.titlesize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "legend.title_fontsize": FONT,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "legend.borderpad": 0.1,
    "axes.linewidth": 0.6,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "text.parse_math": False,  # a $ in a name is a $
    "svg.fonttype": "none",  # found by a search and read aloud
    "pdf.fonttype": 3,  # embedded and searchable too; TrueType subsets take two seconds a chart
}


@contextmanager
def drawing(salt: str = "") -> Iterator[None]:
    """Matplotlib as every chart has it; ``salt`` tells the ids in one SVG from those in another of the same page."""
    with matplotlib.style.context({**_SETTINGS, "svg.hashsalt": salt}, after_reset=True), warnings.catch_warnings():
        # The font has no Chinese: a browser takes another font, paper shows the code point in a box.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


def drawn(build: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """A function that builds a figure, or measures a text, with the settings of :func:`drawing`."""

    @wraps(build)
    def with_settings(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        with drawing():
            return build(*args, **kwargs)

    return with_settings


def sheet(width: float, height: float) -> Figure:
    """An empty white figure; white on dark pages too, because its colours are chosen for paper."""
    return Figure((width / INCH, height / INCH), dpi=72, facecolor="white")


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose frame has its upper left corner at (``left``, ``top``)."""
    whole_width, whole_height = (float(inches) * INCH for inches in figure.get_size_inches())
    axes = figure.add_axes(
        (left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height)
    )
    # each tick is four artists, and they cost more than all that is drawn between them
    axes.locator_params(nbins=TICKS)
    return axes


@lru_cache(maxsize=2**12)
def text_width(text: str) -> float:
    """Millimetres that ``text`` takes; it is asked of the same texts again and again, and shaping them takes long."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, _LETTERS, ismath=False)
    return float(width) * POINT


def fitted(text: str, room: float) -> str:
    """``text`` on one line, with an ellipsis in its middle where it would need more than ``room`` millimetres."""
    text = one_line(text)
    # Measuring costs by the letter, and no letter worth reading is narrower than this.
    most = int(room)
    if len(text) <= 2 or (len(text) <= most and text_width(text) <= room):
        return text
    # the more letters, the wider: halves of what is between one that fits and one that does not
    fits, too_many = 2, max(3, min(most, len(text) - 1) + 1)
    while too_many - fits > 1:
        kept = (fits + too_many) // 2
        if text_width(_cut(text, kept)) <= room:
            fits = kept
        else:
            too_many = kept
    return _cut(text, fits)


def _cut(text: str, kept: int) -> str:
    return f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"


def signed(points: float) -> str:
    """As the tables have it, with a minus as long as those of the axes."""
    return signed_points(points).replace("-", "\N{MINUS SIGN}")


def make_chart(figure: Figure, *, name: str, title: str, kind: ChartKind, caption: str) -> Chart:
    """The figure as whole SVG and PDF files, without dates, versions or names of machines in them."""
    with drawing(salt=name):
        svg, pdf = io.BytesIO(), io.BytesIO()
        for canvas, file, ending, keys in (
            (FigureCanvasSVG(figure), svg, "svg", ("Creator", "Date", "Format", "Type")),
            (FigureCanvasPdf(figure), pdf, "pdf", ("Creator", "CreationDate", "Producer")),
        ):
            canvas.print_figure(file, format=ending, metadata=dict.fromkeys(keys))
    return Chart(name=name, title=title, kind=kind, caption=caption, svg=_plain(svg.getvalue()), pdf=pdf.getvalue())


def _plain(svg: bytes) -> bytes:
    """Without the ids of groups, which nothing refers to and which every chart of a page would repeat.

    Verdana, where DejaVu Sans is not installed, has nearly its widths. A ``<`` of a text is escaped, so that neither
    pattern is found in one.
    """
    svg = re.sub(rb'<g id="[^"]*"', b"<g", svg)
    return re.sub(rb"(<text style=\"[^\"]*'DejaVu Sans')", rb"\1, Verdana", svg)
