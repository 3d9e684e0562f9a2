"""Settings in which the cells of a contrast differ besides: what an effect may come from as well as from its axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bnn_ablate.analysis import same_option
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.layout import Contrast, Weights
from bnn_ablate.report.published.options import GROUPS, PLACES, OptionsError, options_of

#: What the report adds to a configuration from its record: cells that differ there are not compared at all.
OF_RECORDS = ("data.checksum", "results_version")
#: Names of sizes and training decide nothing: the values beside them do.
LABELS = ("model", "recipe")
#: Settings that are named in a remark; of more their number.
NAMED = 3
#: Sums of weights that are 0 but for rounding.
NOTHING = 1e-9


class Besides:
    """The settings in which some of the cells differ; what options bring along is read in ``conf``."""

    def __init__(self, cells: Sequence[Cell], conf: Path) -> None:
        self._conf = conf
        leaves = {place: cell.leaves for place, cell in enumerate(cells) if cell.records}
        keys = dict.fromkeys(key for row in leaves.values() for key in row)
        self._options: dict[str, dict[int, int]] = {}
        for key in keys:
            numbers = _numbered({row.get(key): None for row in leaves.values()})
            if key not in (*OF_RECORDS, *LABELS, *PLACES) and len(set(numbers.values())) > 1:
                self._options[key] = {place: numbers[row.get(key)] for place, row in leaves.items()}

    def of(self, contrast: Contrast) -> list[str]:
        """A clause where the cells differ in more than the contrast's axes and what their options bring along."""
        own = [axis.rpartition("@")[2] for axis in contrast.axes]
        differing = [
            key
            for key, options in self._options.items()
            if not any(key == axis or key.startswith(f"{axis}.") for axis in own)
            and _unbalanced(contrast.weights, options)
        ]
        if differing:
            brought = _brought(contrast, self._conf)
            differing = [key for key in differing if key not in brought]
        if not differing:
            return []
        named, more = differing[:NAMED], len(differing) - NAMED
        return [f"also differs in {', '.join(named)}" + (f" and {more} more" if more > 0 else "")]


def _numbered(texts: Iterable[str | None]) -> dict[str | None, int]:
    """One number for all texts that name one option; None where a configuration has no such setting."""
    numbers: dict[str | None, int] = {}
    for text in texts:
        alike = (other for other in numbers if text is not None and other is not None and same_option(text, other))
        first = next(alike, None)
        numbers[text] = len(numbers) if first is None else numbers[first]
    return numbers


def _unbalanced(weights: Weights, options: Mapping[int, int]) -> bool:
    """Whether an option of a setting has another share in the cells after a change than in those before it."""
    sums: dict[int, float] = {}
    for place, weight in weights.items():
        sums[options[place]] = sums.get(options[place], 0.0) + weight
    return any(abs(total) > NOTHING for total in sums.values())


def _brought(contrast: Contrast, conf: Path) -> set[str]:
    """The settings that follow from the options of the contrast, as activations=float brings borders of zeros."""
    found: set[str] = set()
    for axis, *options in zip(contrast.axes, contrast.before, contrast.after, strict=True):
        if axis in GROUPS:
            try:
                before, after = (options_of(conf).leaves({axis: option}) for option in options)
            except OptionsError:  # an option that somebody has removed since: what it brought along, nobody knows
                continue
            found |= {key for key in {**before, **after} if before.get(key) != after.get(key)}
    return found
