"""Which jobs a swept command line asks for: the whole grid, or one factor at a time from a baseline."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product

from hydra.core.override_parser.types import Override

from bnn_ablate.settings import SettingsError

#: One job's overrides.
Overrides = tuple[str, ...]


def grid(overrides: Sequence[Override]) -> list[Overrides]:
    """Every combination of the values of all overrides, the last one varying fastest."""
    return list(product(*_values(overrides).values()))


def one_factor(overrides: Sequence[Override], factors: Collection[str], crossed: Collection[str]) -> list[Overrides]:
    """The baseline, then each other value of each factor alone; all of it for every combination of ``crossed``.

    Factors are the keys in ``factors`` and those with several values; overrides with one value belong to the baseline.
    Raises SettingsError where nothing is varied.
    """
    values = _values(overrides)
    crossing = {key: texts for key, texts in values.items() if key in crossed}
    varied = {key: texts for key, texts in values.items() if key not in crossing and (key in factors or len(texts) > 1)}
    if not varied:
        raise SettingsError(
            "hydra/sweeper=one_factor needs something to vary: give an axis several values, as in scaling=none,channel"
        )
    fixed = [texts[0] for key, texts in values.items() if key not in crossing and key not in varied]
    jobs = []
    for combination in product(*crossing.values()):
        jobs.append((*fixed, *combination))
        jobs += [(*fixed, *combination, text) for texts in varied.values() for text in texts]
    return jobs


def _values(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """The values of each key, as overrides; a later override replaces an earlier one of the same key.

    Raises SettingsError for ranges of real numbers, of which there are no values to list.
    """
    values = {}
    for override in overrides:
        key = override.get_key_element()
        values[key] = [key] if override.is_delete() else [f"{key}={value}" for value in _listed(override)]
    return values


def _listed(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.get_value_element_as_str())]
    if not override.is_discrete_sweep():
        raise SettingsError(f"{override.input_line} has no list of values: use commas, choice() or range()")
    return [str(value) for value in override.sweep_string_iterator()]
