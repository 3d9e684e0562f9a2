"""What the report will ask of a study, said before its first run: later, the answer could choose the question."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from bnn_ablate.checked import STRICT, PositiveFloat


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Analysis:
    """The group ``analysis`` of the configuration; never part of a run's identity."""

    #: Points of top-1 within which two cells count as equally good.
    margin: PositiveFloat
    #: The option of an axis that effects start from, by axis as on the command line; of others the first one asked for.
    baseline: dict[str, str]


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
