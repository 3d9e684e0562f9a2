"""The training curve: an epoch's figures, and the epochs of a run in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import fields
from math import isnan, nan
from operator import attrgetter
from typing import Annotated, Any, overload

from pydantic import Field, GetCoreSchemaHandler
from pydantic.dataclasses import dataclass
from pydantic_core import core_schema

from bnn_ablate.checked import STRICT

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=STRICT, slots=True)
class Epoch:
    """One row of the training curve. ``lr`` is the rate of the epoch's last step."""

    epoch: Count
    lr: Annotated[float, Field(ge=0)]
    train_loss: float
    train_top1: Share
    test_loss: float
    test_top1: Share
    test_top5: Share
    holdout_top1: Share | None
    #: Share of latent weights whose gradient is 0; null where no window on weights freezes them.
    frozen_weights: Share | None
    seconds: Annotated[float, Field(ge=0)]


_NAMES = tuple(part.name for part in fields(Epoch))
_OPTIONAL = ("holdout_top1", "frozen_weights")
_COLUMNS = [(attrgetter(name), name in _OPTIONAL) for name in _NAMES]


class Curve(Sequence[Epoch]):
    """The epochs of a run, kept as columns of 8-byte numbers and made when they are asked for.

    A report holds ten thousand curves of 150 epochs at once: 120 MB, and four times as much as epochs.
    """

    __slots__ = ("_columns",)

    def __init__(self, epochs: Iterable[Epoch]) -> None:
        rows = epochs if isinstance(epochs, list) else list(epochs)
        # no figure of an epoch is NaN, so it can stand for what was not measured
        self._columns = tuple(
            array("d", [nan if (value := of(row)) is None else value for row in rows] if optional else map(of, rows))
            for of, optional in _COLUMNS
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """In files and elsewhere a list of epochs; a curve stays the one it is."""
        checked = core_schema.no_info_after_validator_function(cls, handler.generate_schema(list[Epoch]))
        either = core_schema.union_schema([core_schema.is_instance_schema(cls), checked], mode="left_to_right")
        return core_schema.json_or_python_schema(json_schema=checked, python_schema=either)

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, index: int) -> Epoch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Epoch]: ...
    def __getitem__(self, index: int | slice) -> Epoch | list[Epoch]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        epoch, *values = (column[index] for column in self._columns)
        named = dict(zip(_NAMES[1:], (None if isnan(value) else value for value in values), strict=True))
        return Epoch(epoch=int(epoch), **named)  # type: ignore[arg-type]  # the optional ones alone may be None

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Curve | list | tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(map(bytes, self._columns)))

    def __repr__(self) -> str:
        return repr(list(self))
