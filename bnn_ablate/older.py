"""Configurations of runs that were made before an axis or a field existed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from bnn_ablate.analysis import UNDECLARED_MARGIN
from bnn_ablate.design import Design


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` of a record with the axes and fields that were added since, each at the value that its run had.

    So a table can put runs of before and after beside each other. What ``config`` has stays as it is.
    """
    whole = dict(config)
    if isinstance(config.get("trainer"), Mapping):
        whole["trainer"] = {"binary_forward": "float", **config["trainer"]}
        whole.setdefault("analysis", {"margin": UNDECLARED_MARGIN, "baseline": {}})
    kinds = _kinds_of_axes()
    for axis in fields(Design):
        if axis.name not in config:
            if "older_runs_had" in axis.metadata:
                older = axis.metadata["older_runs_had"](None)
                whole[axis.name] = TypeAdapter(type(older)).dump_python(older, mode="json", by_alias=True)
        elif is_dataclass(kinds[axis.name]) and isinstance(config[axis.name], Mapping):
            whole[axis.name] = _completed_axis(kinds[axis.name], config[axis.name])
    return whole


@cache
def _kinds_of_axes() -> dict[str, Any]:
    """The class of each axis: found once, since a report completes thousands of configurations."""
    return get_type_hints(Design)


def _completed_axis(kind: Any, choice: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(choice)
    for field in fields(kind):
        if field.name not in whole and "hashed_as" in field.metadata:
            whole[field.name] = whole[field.metadata["hashed_as"]]
        elif field.name not in whole and "older_runs_had" in field.metadata:
            whole[field.name] = field.metadata["older_runs_had"](SimpleNamespace(**whole))
    return whole
