"""The settings of cells that are planned and have left nothing yet: those of a neighbour, with the options changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from bnn_ablate.analysis import same_option
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.claims.cells import OF_RECORDS, Leaves
from bnn_ablate.report.published.options import GROUPS, Options, OptionsError


def leaves_of(cells: Sequence[Cell], options: Options) -> list[Leaves]:
    """The settings of each cell; of one without any files, those of a known cell whose overrides are nearest.

    Overrides say what a study varies and not what its file of sweeps/ says, so that a neighbour is needed. Empty where
    there is none, or where an override is no option of conf/.
    """
    known = [cell for cell in cells if cell.leaves]
    return [cell.leaves if cell.leaves else _assumed(cell, known, options) for cell in cells]


def _assumed(cell: Cell, known: Sequence[Cell], options: Options) -> Leaves:
    neighbours = [one for one in known if set(one.overrides) <= set(cell.overrides)]
    if not cell.overrides or not neighbours:
        return {}
    nearest = max(neighbours, key=lambda one: sum(cell.overrides[key] == text for key, text in one.overrides.items()))
    leaves = {key: text for key, text in nearest.leaves.items() if key not in OF_RECORDS}
    changed = {key: text for key, text in cell.overrides.items() if nearest.overrides.get(key) != text}
    try:
        for key in sorted(changed, key=lambda one: one.count(".")):
            if key in GROUPS:
                leaves = _with_option(leaves, key, changed[key], options)
            elif key in leaves:
                leaves[key] = _spelt(changed[key], [one.leaves[key] for one in known if key in one.leaves])
            else:
                return {}
    except OptionsError:
        return {}
    return leaves


def _with_option(leaves: Mapping[str, str], group: str, option: str, options: Options) -> dict[str, str]:
    """Another option of a group: what differs between the two in conf/ changes, what else the study sets stays."""
    before = options.leaves({group: leaves[group]}) if group in leaves else {}
    after = options.leaves({group: option})
    changed = dict(leaves)
    for key in dict.fromkeys((*before, *after)):
        of_group = key == group or key.startswith(f"{group}.")
        if before.get(key) != after.get(key) and (of_group or leaves.get(key) == before.get(key)):
            changed.pop(key, None)
            if key in after:
                changed[key] = after[key]
    return changed


def _spelt(text: str, others: Sequence[str]) -> str:
    """A value as the records of other cells spell it: ``[2,2]`` as ``[2, 2]``, and ``1`` as ``1.0`` beside ``0.5``."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, int) and not isinstance(value, bool) and any("." in other for other in others):
        value = float(value)
    return next((other for other in others if same_option(other, text)), json.dumps(value))
