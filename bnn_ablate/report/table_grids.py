"""A study's table as a grid: the numbers of :func:`bnn_ablate.report.rows.shown`, and behind them full precision."""

from __future__ import annotations

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.grid import Column, Entry, Grid, Tone
from bnn_ablate.report.notes import UNITS
from bnn_ablate.report.rows import TITLES, Measured, shown
from bnn_ablate.report.runs import GONE
from bnn_ablate.report.tables import Table

#: Keys of the measured columns, in the order of TITLES, as the CSV of a study has them.
KEYS = (
    *("top1_percent", "top1_half_width_95", "n", "top5_percent", "packed_top1_percent", "packed_latency_ms"),
    *("size_mib", "macs_combined", "train_seconds", "state"),
)
#: Left out where space is short.
WIDE = ("top5_percent", "packed_latency_ms", "train_seconds")


def study_grid(table: Table) -> Grid:
    """The rows of a study with what it measured; a row's details are its whole configuration."""
    columns = [Column(title=key, key=key, filtered=True) for key in table.labels.columns]
    columns += [
        Column(title=title, key=key, numeric=key != "state", filtered=key == "state", wide=key in WIDE)
        for title, key in zip(TITLES, KEYS, strict=True)
    ]
    return Grid(
        name=table.name,
        title=table.name,
        above=table.shared,
        columns=tuple(columns),
        rows=tuple(
            (*(Entry(text=text, value=_number(text)) for text in label), *_measured(cell, measured))
            for label, cell, measured in zip(table.labels.rows, table.cells, table.measured, strict=True)
        ),
        notes=(*table.notes, UNITS),
        details=tuple(cell.leaves for cell in table.cells),
    )


def _measured(cell: Cell, measured: Measured) -> list[Entry]:
    top1, packed = measured.top1, measured.packed_top1
    values: tuple[float | None, ...] = (
        top1.mean if top1 is not None else None,
        top1.half_width if top1 is not None else None,
        top1.n if top1 is not None else 0,
        measured.top5,
        packed.mean if packed is not None else None,
        _only(tuple(measured.latency_ms.values())),
        _only(measured.size_mib),
        _only(measured.macs),
        measured.train_seconds,
        None,
    )
    lost = any(run.state in GONE for run in cell.runs)
    tones: dict[str, Tone] = {"state": "problem" if lost else ""}
    if top1 is None:
        tones["top1_percent"] = "problem" if lost else "not run"
    return [
        Entry(text=text, value=value, tone=tones.get(key, ""))
        for key, text, value in zip(KEYS, shown(cell, measured), values, strict=True)
    ]


def _only(values: tuple[float, ...]) -> float | None:
    """The number that all runs share; where they differ there is none, and the text has all of them."""
    return values[0] if len(values) == 1 else None


def _number(label: str) -> float | None:
    """So that 0.01 sorts below 0.1, and 8 below 16."""
    try:
        return float(label)
    except ValueError:
        return None
