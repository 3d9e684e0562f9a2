"""What the report will ask of a study, said before its first run: later, the answer could choose the question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, field
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from bnn_ablate.checked import STRICT, PositiveFloat

#: Points of a study of before margins were declared, and of runs that no study planned: conf/config.yaml's.
UNDECLARED_MARGIN = 0.5


def option_texts(value: Any) -> Any:
    """Options as text, by axis as on the command line: recipe: {epochs: 10} is recipe.epochs: "10"."""
    return dict(_texts(value)) if isinstance(value, Mapping) else value


def _texts(options: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in options.items():
        axis = f"{prefix}{key}".replace("/", ".")
        if isinstance(value, Mapping):
            yield from _texts(value, f"{axis}.")
        else:
            yield axis, value if isinstance(value, str) else json.dumps(value)


def same_option(one: str, other: str) -> bool:
    """Whether two texts name one option: ``0.30`` and ``0.3`` do, ``[3,4]`` and ``[3, 4]`` too."""
    return one == other or _value(one) == _value(other)


@cache  # a report compares the same few texts thousands of times
def _value(text: str) -> Any:
    """What a text stands for; true and false stay words, which are 1 and 0 in Python."""
    if text in ("true", "false"):
        return text
    for read in (float, json.loads):
        try:
            return read(text)
        except ValueError:
            continue
    return text


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Analysis:
    """The group ``analysis`` of the configuration; never part of a run's identity."""

    #: Points of top-1 within which two cells count as equally good.
    margin: PositiveFloat
    #: The option of an axis that effects start from, by axis as on the command line; of others the first one asked for.
    #: Not in the hash of settings, because a dict has none; it is in their equality.
    baseline: Annotated[dict[str, str], BeforeValidator(option_texts)] = field(hash=False)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Declaration:
    """An analysis with the seeds that were planned, and how many of the study's runs were done at that ``time``."""

    margin: PositiveFloat
    baseline: dict[str, str]
    seeds: list[Annotated[int, Field(ge=0)]]
    #: UTC, ISO 8601.
    time: str
    done: Annotated[int, Field(ge=0)]

    @property
    def digest(self) -> str:
        """Twelve hex digits of the SHA-256 over what was declared, its time aside."""
        declared = {key: value for key, value in asdict(self).items() if key not in ("time", "done")}
        return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()[:12]
