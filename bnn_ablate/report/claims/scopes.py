"""Whether cells have the paper's full-size settings, and in which settings they differ from what conf/ has.

Every leaf counts: one that neither the scope nor the contrast names stands at the value that conf/ gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from bnn_ablate.analysis import same_option
from bnn_ablate.report.claims.cells import OF_RECORDS, Candidate, Leaves, Match, sides
from bnn_ablate.report.claims.declared import Claims, ClaimsError, Contrast, Scope
from bnn_ablate.report.published.options import GROUPS, Options, OptionsError

#: Names of options whose leaves say all that they decide.
LABELS = ("model", "recipe", "downsample")


def in_scope(contrast: Contrast, match: Match, cells: Sequence[Candidate], scope: Scope, options: Options) -> bool:
    """Whether all cells have the settings of the scope, and else what the contrast asks of each of them.

    Where one cell's value follows from the other's (a ratio, equal epochs), the one that ``full_size`` names has the
    scope's, and the other may differ in that and in what is free.
    """
    for step, (place, side) in enumerate(zip(match.cells, sides(contrast), strict=True)):
        follows = bool(contrast.resized) and (step % 2 == 0) != (contrast.full_size == "before")
        free = [*(contrast.resized if follows else ()), *(contrast.free if follows or not contrast.resized else ())]
        if not _has_all(cells[place], scope, {**contrast.at, **side}, free, options):
            return False
    return True


def check_scopes(claims: Claims, options: Options) -> None:
    """Raises ClaimsError for a scope whose settings conf/ does not have."""
    for name, scope in claims.scopes.items():
        try:
            options.leaves(scope.settings)
        except OptionsError as error:
            raise ClaimsError(f"scopes.{name}.settings: {error}") from None


def unlike_options(leaves: Leaves, options: Options) -> dict[str, str]:
    """What stands otherwise than with the cell's model, data and recipe alone: options of axes, and values of options.

    A value that a record does not have did not exist when its run was made, and is not told.
    """
    chosen = {group: leaves[group] for group in GROUPS if group in leaves and _there(options, group, leaves[group])}
    plain = _composed(options, {group: chosen[group] for group in ("model", "data", "recipe") if group in chosen})
    own = _composed(options, chosen)
    told = {}
    for key, value in settled(leaves).items():
        expected = plain if key in GROUPS else own
        if key not in ("model", "data", "recipe") and not _alike(value, expected.get(key)):
            told[key] = value
    return told


def settled(leaves: Leaves) -> dict[str, str]:
    """Without what decides nothing: labels of records, a float network's recipe that is the run's, idle numbers."""
    kept = {key: value for key, value in leaves.items() if key not in OF_RECORDS}
    first = {key: value for key, value in kept.items() if key.startswith("pretrain.recipe.")}
    if first and all(_alike(value, kept.get(key.removeprefix("pretrain."))) for key, value in first.items()):
        kept = {key: value for key, value in kept.items() if not key.startswith("pretrain.recipe")}
    if kept.get("recipe.normalize") == "false":
        kept.pop("data.mean", None)
        kept.pop("data.std", None)
    if kept.get("data.holdout") == "0":
        kept.pop("data.seed", None)
    return kept


def _has_all(cell: Candidate, scope: Scope, asked: Leaves, free: Sequence[str], options: Options) -> bool:
    if scope.images is not None and cell.images not in (None, (scope.images.train, scope.images.test)):
        return False
    ignored = (*free, *(key for key, values in scope.varied.items() if values == "any"))
    varied = {
        key: there
        for key, values in scope.varied.items()
        if (there := cell.leaves.get(key)) is not None
        and values != "any"
        and any(same_option(there, value) for value in values)
    }
    wanted = {**scope.settings, **varied, **asked}

    def counts(key: str) -> bool:
        return key not in LABELS and not any(key == one or key.startswith(f"{one}.") for one in ignored)

    # First what needs no composing, since most cells fall here.
    if not all(key in cell.leaves and _alike(cell.leaves[key], wanted[key]) for key in wanted if counts(key)):
        return False
    try:
        expected = _composed(options, wanted)
    except OptionsError:  # a setting that conf/ no longer has
        return False
    return all(_alike(value, expected.get(key)) for key, value in settled(cell.leaves).items() if counts(key))


def _composed(options: Options, asked: Leaves) -> Leaves:
    return _composed_once(options, tuple(asked.items()))


# A report asks the same of hundreds of cells.
@cache
def _composed_once(options: Options, asked: tuple[tuple[str, str], ...]) -> Leaves:
    return options.leaves(dict(asked))


@cache
def _there(options: Options, group: str, option: str) -> bool:
    try:
        options.leaves({group: option})
    except OptionsError:
        return False
    return True


def _alike(value: str, other: str | None) -> bool:
    return other is not None and same_option(value, other)
