"""A table's cells as charts name them and find them."""

from __future__ import annotations

from collections.abc import Mapping

from bnn_ablate.analysis import same_option
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.tables import Table


def cell_names(table: Table, effects: StudyEffects | None) -> tuple[str, ...]:
    """What a legend calls each cell: its options, and in a one-factor study what it changes.

    :func:`naming` says of which axes the options are.
    """
    if effects is None or not effects.one_factor:
        return tuple(", ".join(row) if row else table.name for row in table.labels.rows)
    names = []
    for options in cell_options(table, effects):
        changes = [f"{axis}={option}" for axis, option in options.items() if option != effects.baseline[axis]]
        names.append(", ".join(changes) if changes else "baseline")
    return tuple(names)


def naming(table: Table, effects: StudyEffects | None) -> str:
    """The axes whose options stand in :func:`cell_names`, in their order; empty where the names say it themselves."""
    return "" if effects is not None and effects.one_factor else ", ".join(table.labels.columns)


def cell_options(table: Table, effects: StudyEffects) -> list[dict[str, str]]:
    """For each cell its option on each axis of the study, in the study's spelling: ``1.0`` may be its ``1``."""
    columns = {axis: table.labels.columns.index(axis) for axis in effects.axes}
    return [
        {
            axis: next((option for option in effects.axes[axis] if same_option(option, row[column])), row[column])
            for axis, column in columns.items()
        }
        for row in table.labels.rows
    ]


def find_cell(table: Table, effects: StudyEffects, options: Mapping[str, str]) -> int | None:
    """The first cell with these options, one for each axis; None where there is none."""
    places = [place for place, found in enumerate(cell_options(table, effects)) if found == options]
    return places[0] if places else None


def undrawn(table: Table) -> str:
    """A sentence on the cells that no chart can show; empty where there are none."""
    without = sum(measured.top1 is None for measured in table.measured)
    if not without:
        return ""
    return f" Not drawn, because no run of theirs is done: {without} of {len(table.cells)} cells."
