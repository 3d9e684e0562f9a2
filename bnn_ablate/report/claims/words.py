"""Scopes, states, commands and prices in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.claims.cells import Leaves, Match, is_free, sides
from bnn_ablate.report.claims.declared import SMALLER, Claims, Contrast
from bnn_ablate.report.claims.scopes import unlike_options
from bnn_ablate.report.numbers import duration
from bnn_ablate.report.published.options import Options
from bnn_ablate.report.rows import state_of

#: Settings that the first words of a scope say.
HEAD = ("data", "model", "model.family", "model.width", "recipe", "recipe.epochs")
#: Names as their publishers write them.
DATA: Mapping[str, str] = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "fashion_mnist": "Fashion-MNIST"}
MODELS: Mapping[str, str] = {
    "resnet18": "ResNet18",
    "resnet_e18": "ResNetE18",
    "resnet_e34": "ResNetE34",
    "binary_densenet28": "BinaryDenseNet28",
    "binary_densenet37": "BinaryDenseNet37",
    "binary_densenet37_dilated": "BinaryDenseNet37 (dilated)",
    "binary_densenet45": "BinaryDenseNet45",
}


def scope_words(
    contrast: Contrast, match: Match, leaves: Sequence[Leaves], axes: Collection[str], options: Options
) -> str:
    """``CIFAR-10, ResNetE18 of width 0.25, 6 epochs of cifar_2018, order=post``: what the cells of a match have.

    The order is always told, and so are those of ``axes``, which the study varies, that the contrast leaves alone.
    Then comes whatever else differs from what conf/ has for this model, these data and this recipe: two scopes of the
    same words are the same. What the cells have in two values stands as ``0.25 to 0.5``.
    """
    cells = [leaves[place] for place in match.cells]

    def told(key: str, names: Mapping[str, str] | None = None) -> str:
        values = dict.fromkeys(one.get(key, "?") for one in cells)
        return " to ".join(value if names is None else names.get(value, value) for value in values)

    words = [
        told("data", DATA),
        f"{told('model', MODELS)} of width {told('model.width')}",
        f"{told('recipe.epochs')} epochs of {told('recipe')}",
    ]
    kept = (axis for axis in axes if not is_free(axis, contrast))
    keys = dict.fromkeys(key for key in ("order", *contrast.at, *kept) if any(key in one for one in cells))
    for side, one in zip(sides(contrast), cells, strict=True):
        keys |= dict.fromkeys(key for key in unlike_options(one, options) if key not in side)
    words += [f"{key}={told(key)}" for key in keys if key not in HEAD]
    images = {
        one["data.checksum"] for one in leaves if one.get("data") == cells[0].get("data") and "data.checksum" in one
    }
    versions = {one["results_version"] for one in leaves if "results_version" in one}
    words += [f"images {told('data.checksum')}"] if len(images) > 1 else []
    words += [f"results version {told('results_version')}"] if len(versions) > 1 else []
    return ", ".join(words)


def state_words(contrast: Contrast, match: Match, cells: Sequence[Cell]) -> str:
    """Which of a match's cells have no result, and what became of them."""
    told = []
    for (place, _), name in zip(match.weights, side_names(contrast), strict=True):
        if not cells[place].records:
            told.append(f"{name}: {state_of(cells[place])}")
    return "no result of " + "; ".join(told)


def side_names(contrast: Contrast) -> list[str]:
    """The cells of a match in its order, in the words of the command line."""
    otherwise = ("before", "after") if not contrast.compared_at else ("",) * 4
    return [_settings(side, name) for side, name in zip(sides(contrast), otherwise, strict=True)]


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
