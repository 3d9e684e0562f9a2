"""What checked values have in common: strict types, and marks that say how a field enters the identity of a run."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

from pydantic import ConfigDict, Field

#: Values are checked strictly: the text "1" is no number, an unknown field is an error, NaN is no value.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
#: From 0 to just below 1.
Fraction = Annotated[float, Field(ge=0, lt=1)]


def hashed_from(value: Any) -> Any:
    """A field added after runs exist: ``value`` is what those runs had, and it stays out of the run id.

    Where that depends on the other fields, ``value`` is a function of the whole dataclass.
    """
    return field(metadata={"older_runs_had": value if callable(value) else lambda _: value})


def hashed_as(name: str) -> Any:
    """A field that stands in the run id under the ``name`` of the field that said the same to older runs."""
    return field(metadata={"hashed_as": name})


def not_hashed(reason: str) -> Any:
    """A field that cannot change a result (a place on disk, a display option): it stays out of the run id."""
    return field(metadata={"not_hashed": reason})
