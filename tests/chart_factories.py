"""Effects made by hand, and what a chart shows, for tests of the report's charts."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from effect_factories import cell_of
from factories import make_record
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnn_ablate.record import Epoch, Record
from bnn_ablate.report.effects.values import Effect, Kind, StudyEffects
from bnn_ablate.report.grid import Chart
from bnn_ablate.report.stats.estimate import Estimate

#: A name as nobody should give one to a run.
HOSTILE = "<script>alert('$x_1^2$')</script>&\"\x00\u202e\\alpha{} 漢字 " + "w" * 200


def effect(
    change: str,
    value: float,
    *,
    kind: Kind = "simple",
    se: float | None = 0.5,
    df: float | None = 12,
    n: int = 3,
    finding: str = "undecided",
    remarks: tuple[str, ...] = (),
) -> Effect:
    """``scaling=none>xnor``, two of them with a space between for an interaction; of 0.5 points' standard error."""
    changes = [re.split("[=>]", part) for part in change.split(" ")]
    return Effect(
        kind=kind,
        axes=tuple(axis for axis, _, _ in changes),
        before=tuple(before for _, before, _ in changes),
        after=tuple(after for _, _, after in changes),
        at={},
        estimate=Estimate(value=value, se=se, df=None if se is None else df, n=n),
        with_images=None,
        p=None,
        p_holm=None,
        finding=finding,
        remarks=remarks,
    )


def study_of_effects(axes: Mapping[str, Sequence[str]], effects: Sequence[Effect] = (), **changes: Any) -> StudyEffects:
    """The baseline is the first option of each axis; a run's spread is 1 point on 12 degrees of freedom."""
    values: dict[str, Any] = {
        "study": "s",
        "axes": {axis: tuple(options) for axis, options in axes.items()},
        "baseline": {axis: options[0] for axis, options in axes.items()},
        "margin": 0.5,
        "declared": None,
        "planned": None,
        "sd": 1.0,
        "df": 12,
        "one_factor": False,
        "notes": (),
    }
    for field, kind in (("simple", "simple"), ("main", "main"), ("interactions", "interaction")):
        values[field] = tuple(one for one in effects if one.kind == kind)
    return StudyEffects(**{**values, **changes})


def with_curve(record: Record, top1: Sequence[float]) -> Record:
    """The same run with these accuracies after its epochs."""
    row = record.curve[0]
    return replace(record, curve=[_epoch(row, number, value) for number, value in enumerate(top1)])


def _epoch(row: Epoch, number: int, top1: float) -> Epoch:
    return replace(row, epoch=number, test_top1=top1)


def curves_cell(words: str, curves: Sequence[Sequence[float]], **settings: Any) -> Any:
    """The cell that ``words`` ask for, a run a curve."""
    overrides = dict(word.split("=", 1) for word in words.split())
    records = [
        with_curve(make_record(seed=seed, correct=9, **{**settings, **overrides}), curve)
        for seed, curve in enumerate(curves)
    ]
    return cell_of(words, records, **settings)


def svg_texts(chart: Chart) -> list[str]:
    """All texts of a chart, as a reader sees them; fails unless the file is well-formed."""
    root = ElementTree.parse(io.BytesIO(chart.svg)).getroot()
    return [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text")]


def texts(part: Figure | Axes) -> list[str]:
    return [text.get_text() for text in part.texts]


def lines_of(axes: Axes, **looks: Any) -> list[list[tuple[float, float]]]:
    """The points of each line that has these properties (``linewidth=1.0``)."""
    found = []
    for line in axes.lines:
        if all(getattr(line, f"get_{name}")() == value for name, value in looks.items()):
            found.append([(round(float(x), 6), round(float(y), 6)) for x, y in zip(*line.get_data(), strict=True)])
    return found
