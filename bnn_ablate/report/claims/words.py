"""Scopes, states, commands and prices in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.claims.cells import Leaves, Match, is_free
from bnn_ablate.report.claims.declared import SMALLER, Claims, Contrast
from bnn_ablate.report.numbers import duration
from bnn_ablate.report.rows import state_of

#: Settings that the first words of a scope say.
HEAD = ("data", "model", "model.family", "model.width", "recipe", "recipe.epochs")
#: Names as their publishers write them.
DATA: Mapping[str, str] = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "fashion_mnist": "Fashion-MNIST"}


def scope_words(contrast: Contrast, match: Match, leaves: Sequence[Leaves], axes: Collection[str]) -> str:
    """``CIFAR-10, resnet_e18 of width 0.25, 6 epochs of cifar_2018, order=post``: what the cells of a match share.

    The order is always told. ``axes`` are what the study varies: of these, every one that the contrast leaves alone is
    named, and of what the contrast changes by a ratio, both values.
    """
    first, last = leaves[match.cells[0]], leaves[match.last]

    def told(key: str) -> str:
        before, after = first.get(key, "?"), last.get(key, "?")
        return before if before == after else f"{before} to {after}"

    words = [
        DATA.get(first.get("data", "?"), first.get("data", "?")),
        f"{told('model')} of width {told('model.width')}",
        f"{told('recipe.epochs')} epochs of {first.get('recipe', '?')}",
    ]
    settings = dict.fromkeys(("order", *contrast.at, *(axis for axis in axes if not is_free(axis, contrast))))
    return ", ".join([*words, *(f"{key}={last[key]}" for key in settings if key in last and key not in HEAD)])


def state_words(contrast: Contrast, match: Match, cells: Sequence[Cell]) -> str:
    """Which of a match's cells have no result, and what became of them."""
    told = []
    for (place, _), name in zip(match.weights, side_names(contrast), strict=True):
        if not cells[place].records:
            told.append(f"{name}: {state_of(cells[place])}")
    return "no result of " + "; ".join(told)


def side_names(contrast: Contrast) -> list[str]:
    """The cells of a match in its order, in the words of the command line."""
    if not contrast.compared_at:
        return [_settings(contrast.before, "before"), _settings(contrast.after, "after")]
    sides = (
        ((contrast.before, at) for at in contrast.compared_at),
        ((contrast.after, at) for at in contrast.compared_at),
    )
    (b1, b2), (a1, a2) = ([_settings({**side, **at}, "") for side, at in one] for one in sides)
    return [b1, a1, b2, a2]


def sweep_commands(claims: Claims, contrast: Contrast, scope: str) -> str:
    """What runs the contrast at a scope; sweeps after the first add their cells to its study."""
    options = claims.scopes[scope].options if scope != SMALLER else None
    first = contrast.sweeps[scope][0]
    words = []
    for name in contrast.sweeps[scope]:
        joined = [] if name == first else [f"study={first}"]
        words.append(" ".join(["python -m bnn_ablate", f"+sweeps={name}", *joined, *([options] if options else [])]))
    return " && ".join(words)


def price(seeds: int, cells: Sequence[Cell]) -> str:
    """What ``seeds`` more of each cell cost, by the training times of its runs."""
    seconds = 0.0
    for cell in cells:
        times = [record.provenance.train_seconds for record in cell.records]
        seconds += seeds * sum(times) / len(times)
    return duration(seconds)


def _settings(settings: Mapping[str, str], otherwise: str) -> str:
    return " ".join(f"{key}={option}" for key, option in settings.items()) if settings else otherwise
