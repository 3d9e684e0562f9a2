"""What options on a command line stand for: the leaves of the configuration that conf/ makes of them.

The report must say which runs are the same as a published one without composing a configuration for each row of each
table. conf/ needs little of what Hydra can do, and that little is read here; tests hold it to Hydra's own answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from bnn_ablate.design import AXES
from bnn_ablate.report.cells import flatten

# The same in C, where PyYAML was built with it: a tenth of the time.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: The groups of a configuration that can decide a result.
GROUPS = (*AXES, "model", "data", "recipe")
#: Where a run found its images, which decides nothing.
PLACES = ("data.root", "data.download")


class OptionsError(ValueError):
    """Options that conf/ does not have; the message is one sentence without the file that asks for them."""


class Options:
    """The options of conf/, each file read once."""

    def __init__(self, conf: Path) -> None:
        self._conf = conf
        self._files: dict[str, dict[str, Any]] = {}
        self._defaults = {
            group: option
            for entry in self._file("config")["defaults"]
            if isinstance(entry, Mapping)
            for group, option in entry.items()
        }

    def leaves(self, asked: Mapping[str, Any]) -> dict[str, str]:
        """The leaves, spelt as in a table, of what ``asked`` says: ``{"grad": "ste", "grad.clip": 1.3}``.

        What is not asked for stands at the default of conf/config.yaml, or at what an option asked for brings along
        (``recipe=larq`` brings ``latent=clamped``). Raises OptionsError for a group, an option or a leaf that is not
        there.
        """
        choices = {group: str(self._defaults[group]) for group in GROUPS}
        named = {key: value for key, value in asked.items() if key in GROUPS}
        # As in Hydra: an option brings others along, and what is asked for itself wins over both.
        for group, option in named.items():
            choices |= self._brought(group, str(option))
        for group, option in named.items():
            choices[group] = str(option)
        leaves: dict[str, str] = {}
        for group, option in choices.items():
            leaves |= dict(flatten(self._option(group, option), f"{group}."))
        for place in PLACES:
            leaves.pop(place, None)
        for key, value in asked.items():
            if key not in named:
                if key not in leaves:
                    raise OptionsError(f"{key}={value}: there is no such setting in conf/")
                leaves[key] = value if isinstance(value, str) else json.dumps(value)
        return leaves

    def _brought(self, group: str, option: str) -> dict[str, str]:
        brought = {}
        for entry in self._group_file(group, option).get("defaults", []):
            for key, value in entry.items() if isinstance(entry, Mapping) else ():
                found = re.fullmatch(r"override /(\w+)@_global_\.\1", key)
                if found:
                    brought[found[1]] = str(value)
        return brought

    def _option(self, group: str, option: str) -> dict[str, Any]:
        """The block that ``option`` puts at ``group``: the options of its own groups, and over them what it says."""
        content = dict(self._group_file(group, option))
        block: dict[str, Any] = {}
        for entry in content.pop("defaults", []):
            for key, value in entry.items() if isinstance(entry, Mapping) else ():
                if not key.startswith("override "):
                    block[key] = self._option(f"{group}/{key}", str(value))
        return _laid_over(block, content)

    def _group_file(self, group: str, option: str) -> dict[str, Any]:
        if not (self._conf / group / f"{option}.yaml").is_file():
            known = ", ".join(sorted(path.stem for path in (self._conf / group).glob("*.yaml")))
            raise OptionsError(f"{group}={option} is no option: choose {known}")
        return self._file(f"{group}/{option}")

    def _file(self, name: str) -> dict[str, Any]:
        if name not in self._files:
            self._files[name] = yaml.load((self._conf / f"{name}.yaml").read_text(encoding="utf-8"), Loader=Loader)
        return self._files[name]


@cache
def options_of(conf: Path) -> Options:
    """The options of the folder ``conf``, shared by all who ask in one process."""
    return Options(conf)


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _laid_over(merged[key], value) if both else value
    return merged
