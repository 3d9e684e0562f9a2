"""Configurations of many jobs, without composing each of them: Hydra takes a tenth of a second for one.

An option of a config group that has no defaults list and no package of its own is its file's content at the group's
place, whatever is chosen in other such groups. So jobs that differ in such choices only need each option composed once
in place of each combination of options. What could break that is looked for: a defaults list, a package, an
interpolated choice, an override that names the group in another way, an effect elsewhere. And of all jobs that share
the remaining overrides the last one is composed by Hydra as well and compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from bnn_ablate.sweep.expand import Overrides

#: Composes one job's configuration, Hydra's own part included, from its overrides.
Compose = Callable[[Sequence[str]], DictConfig]

#: A configuration without Hydra's part, as plain containers in which interpolations stay as they are written.
Plain = dict[str, Any]

_DEFAULTS = re.compile(r"^defaults\s*:", re.MULTILINE)
_PACKAGE = re.compile(r"^#\s*@package", re.MULTILINE)
_INTERPOLATED_CHOICE = re.compile(r"^\s*-.*:.*\$\{", re.MULTILINE)


def composed(overrides: Sequence[Overrides], compose: Compose, folders: Sequence[Path]) -> list[Plain]:
    """The configuration of each job, what Hydra would compose. ``folders`` hold the groups' options."""
    by_hydra = _Hydra(compose)
    groups = _separable_groups(overrides, folders)
    families: dict[Overrides, list[Overrides]] = {}
    for one in overrides:
        families.setdefault(_rest(one, groups), []).append(one)
    found: dict[Overrides, Plain] = {}
    for family in families.values():
        found |= dict(zip(family, _family(family, groups, by_hydra), strict=True))
    return [deepcopy(found[one]) for one in overrides]


def _rest(one: Overrides, groups: set[str]) -> Overrides:
    """A job's overrides with the options of separable groups left open."""
    return tuple(f"{key}=" if (key := _key(text)) in groups else text for text in one)


def _family(family: Sequence[Overrides], groups: set[str], by_hydra: _Hydra) -> list[Plain]:
    """Jobs that differ in separable groups only: put together from the first one and one variant for each option."""
    first = family[0]
    options = {
        place: dict.fromkeys(one[place] for one in family)
        for place, text in enumerate(first)
        if _key(text) in groups and len({one[place] for one in family}) > 1
    }
    if len(family) <= 2 + sum(len(texts) - 1 for texts in options.values()):
        return [by_hydra(one) for one in family]
    base = by_hydra(first)
    contents: dict[str, Any] = {}
    for place, texts in options.items():
        key = _key(first[place])
        for text in texts:
            variant = by_hydra((*first[:place], text, *first[place + 1 :]))
            if {**variant, key: None} != {**base, key: None}:
                return [by_hydra(one) for one in family]  # the choice has an effect elsewhere
            contents[text] = variant[key]
    plains = [{**base, **{_key(one[place]): contents[one[place]] for place in options}} for one in family]
    if plains[-1] != by_hydra(family[-1]):
        return [by_hydra(one) for one in family]
    return plains


class _Hydra:
    """Composes jobs whole, each once."""

    def __init__(self, compose: Compose) -> None:
        self.compose = compose
        self.found: dict[Overrides, Plain] = {}

    def __call__(self, overrides: Overrides) -> Plain:
        if overrides not in self.found:
            config = self.compose(overrides)
            with open_dict(config):
                del config["hydra"]
            plain: Any = OmegaConf.to_container(config, resolve=False)
            self.found[overrides] = plain
        return self.found[overrides]


def _separable_groups(overrides: Sequence[Overrides], folders: Sequence[Path]) -> set[str]:
    """Groups of which every option that occurs is its file's content and nothing else."""
    if any(_INTERPOLATED_CHOICE.search(text) for text in _texts_with_defaults(folders)):
        return set()
    texts = {text for one in overrides for text in one}
    named = [re.split(r"[./@:]", _key(text).lstrip("+~")) for text in texts]
    candidates = {_key(text) for text in texts if re.fullmatch("[a-z_]+", _key(text))}
    return {
        key
        for key in candidates
        if all(names == [key] or key not in names for names in named)
        and all(_is_plain_option(folders, key, text.partition("=")[2]) for text in texts if _key(text) == key)
        and all(sum(_key(text) == key for text in one) <= 1 for one in overrides)
    }


def _key(override: str) -> str:
    return override.partition("=")[0]


def _is_plain_option(folders: Sequence[Path], group: str, option: str) -> bool:
    """Whether the option is one file of ours without a defaults list and a package."""
    files = [folder / group / f"{option}.yaml" for folder in folders]
    found = [file for file in files if re.fullmatch("[A-Za-z0-9_]+", option) and file.is_file()]
    if len(found) != 1:
        return False
    text = found[0].read_text()
    return not _DEFAULTS.search(text) and not _PACKAGE.search(text)


def _texts_with_defaults(folders: Sequence[Path]) -> list[str]:
    """The files of options that have a defaults list."""
    files = [file for folder in folders for file in folder.rglob("*.yaml")]
    return [text for text in (file.read_text() for file in files) if _DEFAULTS.search(text)]
