"""Changes that algebra cancels: scaling=none against channel where a BatchNorm follows each scaled convolution."""

from __future__ import annotations

from collections.abc import Sequence

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.layout import Contrast


def is_identity(contrast: Contrast, cells: Sequence[Cell]) -> bool:
    """Whether algebra says 0, because a BatchNorm cancels alpha in every cell."""
    return _by_alpha(contrast) and all(_normalised(cells[place]) for place in contrast.weights)


def part_identity(contrast: Contrast, cells: Sequence[Cell]) -> list[str]:
    """A clause where alpha is cancelled in some cells of a contrast and not in others."""
    cancelled = {_normalised(cells[place]) for place in contrast.weights} if _by_alpha(contrast) else set()
    return ["in part an identity check"] if len(cancelled) > 1 else []


def _by_alpha(contrast: Contrast) -> bool:
    """Whether a contrast is between no factor and alpha."""
    changes = zip(contrast.axes, contrast.before, contrast.after, strict=True)
    return any(axis == "scaling" and {before, after} == {"none", "channel"} for axis, before, after in changes)


def _normalised(cell: Cell) -> bool:
    """Whether a BatchNorm follows each scaled convolution: order=post, or a dense network's later layers."""
    choices = {**cell.leaves, **cell.overrides}
    return choices.get("order") == "post" or choices.get("model.family") == "binary_densenet"
