"""What tells the rows of a table apart, and what all of them share, in the words of the command line.

A leaf ``X.name`` of a configuration is the choice ``X``: ``scaling.name`` is shown as ``scaling``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bnn_ablate.report.cells import Cell

#: What a reader asks first, shown above the table where all rows share it.
HEADLINE = (
    "model",
    "model.width",
    "data",
    "data.image_size",
    "recipe",
    "recipe.epochs",
    "recipe.batch_size",
    "recipe.optimizer",
    "recipe.optimizer.lr",
    "scaling",
    "output",
    "grad",
    "grad.clip",
    "latent",
    "init",
    "downsample",
    "shortcut",
    "order",
    "padding",
    "stem",
)
UNKNOWN = "unknown"  # no file says it
NOT_THERE = "—"  # the configuration has no such setting


@dataclass(frozen=True)
class Labels:
    """``columns`` tell the rows apart, ``rows`` holds their values for each cell, ``shared`` is true of all cells.

    ``alike`` is set where overrides alone did not tell rows of a study apart: a setting changed behind them.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shared: Mapping[str, str]
    alike: bool


def label_cells(cells: Sequence[Cell]) -> Labels:
    """Label the rows by their overrides where they have some, and by what differs in their configurations elsewhere."""
    leaves = [cell.leaves for cell in cells]
    overrides = _differing(cells, leaves, dict.fromkeys(key for cell in cells for key in cell.overrides))
    rows = [tuple(_label(cell, leaf, key) for key in overrides) for cell, leaf in zip(cells, leaves, strict=True)]
    is_study = any(cell.overrides for cell in cells)
    alike = is_study and len(set(rows)) < len(rows)
    columns = overrides
    if alike or not is_study:
        others = _differing(cells, leaves, [key for key in varying_leaves(leaves) if key not in overrides])
        columns = (*overrides, *others)
    shared = {}
    for key in dict.fromkeys((*HEADLINE, *(key for cell in cells for key in cell.overrides))):
        values = {_label(cell, leaf, key) for cell, leaf in zip(cells, leaves, strict=True)} - {UNKNOWN, NOT_THERE}
        if key not in columns and len(values) == 1:
            shared[key] = values.pop()
    return Labels(
        columns=columns,
        rows=tuple(tuple(_label(cell, leaf, key) for key in columns) for cell, leaf in zip(cells, leaves, strict=True)),
        shared=shared,
        alike=alike,
    )


def sorted_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Cells that nobody planned in an order, sorted by their labels; numbers by value."""
    rows = zip(label_cells(cells).rows, cells, strict=True)
    return [cell for _, cell in sorted(rows, key=lambda row: [_rank(label) for label in row[0]])]


def _rank(label: str) -> tuple[bool, float, str]:
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label


def varying_leaves(leaves: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns in which configurations differ, without those that follow from the choice they belong to.

    ``grad.clip`` follows ``grad`` where every option of grad has one clip; then the option says it. A choice never
    follows another group's: rows that differ in two axes at once must show both.
    """
    columns = dict.fromkeys((*HEADLINE, *(key for row in leaves for key in row)))
    varying = [key for key in columns if len({row[key] for row in leaves if key in row}) > 1]
    return [key for key in varying if not any(_follows(key, choice, leaves) for choice in _choices_above(key))]


def _choices_above(column: str) -> list[str]:
    steps = column.split(".")
    return [".".join(steps[:length]) for length in range(1, len(steps))]


def _follows(column: str, choice: str, leaves: Sequence[Mapping[str, str]]) -> bool:
    """Whether rows of one choice have one value of ``column``; rows that do not say both are no evidence."""
    pairs = {(row[choice], row[column]) for row in leaves if choice in row and column in row}
    return bool(pairs) and len(pairs) == len({option for option, _ in pairs})


def _differing(cells: Sequence[Cell], leaves: Sequence[Mapping[str, str]], columns: Iterable[str]) -> tuple[str, ...]:
    pairs = list(zip(cells, leaves, strict=True))
    return tuple(key for key in columns if len({_label(cell, leaf, key) for cell, leaf in pairs}) > 1)


def _label(cell: Cell, leaves: Mapping[str, str], column: str) -> str:
    if column in cell.overrides:
        return cell.overrides[column]
    if column in leaves:
        return leaves[column]
    return NOT_THERE if leaves else UNKNOWN
