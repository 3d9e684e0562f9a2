"""Which cells of a study a contrast compares: cells that have its settings, and differ in nothing that it leaves alone.

Cells are known by the leaves of their configurations (``Cell.leaves``), not by the words
of a command line, so that a setting asked for and the same one left at its default are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isclose

from bnn_ablate.analysis import same_option
from bnn_ablate.report.claims.declared import Contrast

#: Only cells with a record say these: where one says nothing they are no difference.
OF_RECORDS = ("data.checksum", "results_version")
#: How far two networks may be apart in size or MACs to be called equal.
MATCHED = 0.02

Leaves = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A cell as contrasts see it. ``leaves`` is empty where nobody knows.

    Size (bits), combined MACs and the numbers of training and test ``images`` are a record's.
    """

    leaves: Leaves
    size: float | None = None
    macs: float | None = None
    images: tuple[int, int] | None = None


@dataclass(frozen=True)
class Match:
    """Places of cells with their weights: after less before, and for an interaction that difference twice.

    ``context`` holds the settings that all of them share and the contrast leaves alone.
    """

    weights: tuple[tuple[int, int], ...]
    context: tuple[tuple[str, str], ...]

    @property
    def cells(self) -> tuple[int, ...]:
        return tuple(place for place, _ in self.weights)

    @property
    def by_cell(self) -> dict[int, float]:
        return {place: float(weight) for place, weight in self.weights}

    @property
    def last(self) -> int:
        """The cell that everything is changed in."""
        return self.weights[-1][0]


def find_matches(contrast: Contrast, always: Leaves, cells: Sequence[Candidate]) -> list[Match]:
    """Every set of cells of the contrast, in the order of the cells."""
    asked = {**always, **contrast.at}
    possible = [place for place, cell in enumerate(cells) if cell.leaves and _has(cell.leaves, asked)]
    before, after = (
        {place for place in possible if _has(cells[place].leaves, side)} for side in (contrast.before, contrast.after)
    )
    if not before or not after:
        return []
    places = sorted(before | after)
    # Which settings count is found once for all cells: a report has thousands of them.
    keys = sorted({key for place in places for key in cells[place].leaves})
    kept = [key for key in keys if key not in OF_RECORDS and not is_free(key, contrast)]
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for place in places:
        groups.setdefault(tuple(map(cells[place].leaves.get, kept)), []).append(place)
    found = []
    for options, members in groups.items():
        context = tuple((key, option) for key, option in zip(kept, options, strict=True) if option is not None)
        for weights in _sets(contrast, cells, members):
            matched = [cells[place] for place, _ in weights]
            if _one_origin(matched) and _matched(contrast, matched):
                found.append(Match(weights, context))
    return found


def best_context(matches: Sequence[Match], cells: Sequence[Candidate], baseline: Leaves) -> list[Match]:
    """The matches whose other settings are nearest to the ``baseline``; the first of equally near ones."""
    if not matches:
        return []

    def distance(match: Match) -> int:
        context = dict(match.context)
        return sum(not same_option(context[key], option) for key, option in baseline.items() if key in context)

    nearest = min(matches, key=distance)
    return [match for match in matches if match.context == nearest.context]


def sides(contrast: Contrast) -> list[dict[str, str]]:
    """What each cell of a match has of the contrast's own settings, in the match's order."""
    if not contrast.compared_at:
        return [dict(contrast.before), dict(contrast.after)]
    return [{**side, **at} for at in contrast.compared_at for side in (contrast.before, contrast.after)]


def is_free(key: str, contrast: Contrast) -> bool:
    """Whether the cells of a contrast may differ in this setting.

    A group frees all its values, and a value its group's name: an option of other values has another name.
    """
    if key in contrast.same:
        return False
    return any(key == free or key.startswith(f"{free}.") or key == free.rpartition(".")[0] for free in contrast.changed)


def _sets(
    contrast: Contrast, cells: Sequence[Candidate], places: Sequence[int]
) -> Iterator[tuple[tuple[int, int], ...]]:
    """Pairs, or two pairs for an interaction, as (cell, weight); the cell with everything changed is the last."""

    def pairs(at: Leaves) -> list[tuple[int, int]]:
        having = [place for place in places if _has(cells[place].leaves, at)]
        before = [place for place in having if _has(cells[place].leaves, contrast.before)]
        after = [place for place in having if _has(cells[place].leaves, contrast.after)]
        return [(b, a) for b, a in product(before, after) if b != a and _resized(contrast, cells[b], cells[a])]

    if not contrast.compared_at:
        yield from (((before, -1), (after, 1)) for before, after in pairs({}))
        return
    first, second = (pairs(at) for at in contrast.compared_at)
    for (b1, a1), (b2, a2) in product(first, second):
        yield ((b1, 1), (a1, -1), (b2, -1), (a2, 1))


def _has(leaves: Leaves, asked: Leaves) -> bool:
    return all(key in leaves and same_option(leaves[key], option) for key, option in asked.items())


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _resized(contrast: Contrast, before: Candidate, after: Candidate) -> bool:
    for key, ratio in contrast.ratio.items():
        first, second = number(before.leaves.get(key, "")), number(after.leaves.get(key, ""))
        if first is None or second is None or not isclose(second, ratio * first):
            return False
    if contrast.equal_epochs:
        whole = epochs_in_all(before.leaves)
        return whole is not None and whole == epochs_in_all(after.leaves)
    return True


def epochs_in_all(leaves: Leaves) -> float | None:
    """Those of the run and of the float network that it trained first; None where a checkpoint was given."""
    own = number(leaves.get("recipe.epochs", ""))
    if own is None or leaves.get("pretrain") == "none":
        return own
    if leaves.get("pretrain") == "file" or leaves.get("pretrain.from", "null") != "null":
        return None
    # null, or nothing, stands for the run's own recipe
    first = number(leaves["pretrain.recipe.epochs"]) if "pretrain.recipe.epochs" in leaves else own
    return None if first is None else own + first


def _one_origin(members: Iterable[Candidate]) -> bool:
    return all(len({cell.leaves[key] for cell in members if key in cell.leaves}) < 2 for key in OF_RECORDS)


def _matched(contrast: Contrast, members: Sequence[Candidate]) -> bool:
    """Equal within 2 % as counted in their records; cells without one are taken at their word."""
    if contrast.matched is None:
        return True
    sizes = [cell.size if contrast.matched == "size" else cell.macs for cell in members]
    known = [size for size in sizes if size is not None]
    return not known or max(known) <= (1 + MATCHED) * min(known)
