"""Configurations of many jobs, without composing each of them: Hydra takes a tenth of a second for one.

An option of a config group that has no defaults list of its own is its file's content at the group's place, whatever
is chosen elsewhere. So such a choice can be put into a composed configuration, and Hydra composes each option once in
place of each combination of options. What could break that is looked for: a defaults list, a package, an interpolated
choice, a value that another override sets inside the group, an effect elsewhere. Of those groups all combinations are
composed by Hydra.
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
    """The configuration of each job, what Hydra would compose. ``folders`` hold the groups' options.

    The last job is composed by Hydra as well and compared; where it differs, all of them are composed by Hydra.
    """
    by_hydra = _Hydra(compose)
    if not overrides:
        return []
    contents = _contents(overrides, by_hydra, folders)
    first = {key: text for text in overrides[0] if (key := _key(text)) in contents}
    plains = []
    for one in overrides:
        plain = dict(by_hydra(tuple(first.get(_key(text), text) for text in one)))
        plain |= {key: contents[key][text] for text in one if (key := _key(text)) in contents}
        plains.append(deepcopy(plain))
    if plains[-1] != by_hydra(overrides[-1]):
        return [by_hydra(one) for one in overrides]
    return plains


def _contents(overrides: Sequence[Overrides], by_hydra: _Hydra, folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """For each separable group what each of its options puts in the group's place, found in the first job."""
    contents: dict[str, dict[str, Any]] = {}
    for key in _separable_groups(overrides, folders):
        options = dict.fromkeys(text for one in overrides for text in one if _key(text) == key)
        variants = {
            text: by_hydra(tuple(text if _key(other) == key else other for other in overrides[0])) for text in options
        }
        elsewhere = [
            {place: content for place, content in plain.items() if place != key} for plain in variants.values()
        ]
        if all(other == elsewhere[0] for other in elsewhere):
            contents[key] = {text: plain[key] for text, plain in variants.items()}
    return contents


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
    """Groups of which every option that occurs is its file's content and nothing else, in every job."""
    if any(_INTERPOLATED_CHOICE.search(text) for text in _all_texts(folders)):
        return set()
    texts = {text for one in overrides for text in one}
    keys = {_key(text) for text in texts}
    candidates = {
        key
        for key in keys
        if re.fullmatch("[a-z_]+", key)
        and all(key in {_key(text) for text in one} for one in overrides)
        and not any(re.split(r"[./@]", other.lstrip("+~"))[0] == key for other in keys if other != key)
    }
    return {
        key
        for key in candidates
        if all(_is_plain_option(folders, key, text.partition("=")[2]) for text in texts if _key(text) == key)
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


def _all_texts(folders: Sequence[Path]) -> list[str]:
    """Files with a defaults list."""
    files = [file for folder in folders for file in folder.rglob("*.yaml")]
    return [text for text in (file.read_text() for file in files) if _DEFAULTS.search(text)]
