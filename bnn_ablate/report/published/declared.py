"""sweeps/tables/*.yaml: the tables that stand beside published figures, as people declare them.

A file is one of three kinds. ``rows``: published figures beside our runs, a row for each network. ``list``: published
figures alone, for context. ``methods``: costs computed from formulas, beside the published ones. How to write one:
docs/SWEEPS.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bnn_ablate.checked import STRICT, PositiveFloat, PositiveInt

# The same in C, where PyYAML was built with it: a tenth of the time.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: What of our runs a table can show; a table shows ``top1`` where it does not say.
Measure = Literal["top1", "top5", "packed_top1", "packed_latency_ms", "size_mib", "macs"]
Word = Annotated[str, Field(min_length=1)]


class DeclarationError(ValueError):
    """A declared table cannot be used; the message names the file and the field."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Shown:
    """How a column of a published file is shown: its ``title``, and numbers over ``divide`` (not in the CSV)."""

    title: Word
    divide: PositiveFloat | None = None
    #: Only on the page and in the CSV.
    wide: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Source:
    """Rows of a published file (those ``where`` columns hold these texts) and the columns that are shown of them."""

    file: Word
    show: dict[str, Word | Shown]
    where: dict[str, str] = field(default_factory=dict)

    def shown(self) -> dict[str, Shown]:
        """The columns in their order; a text is short for a title."""
        return {key: Shown(title=what) if isinstance(what, str) else what for key, what in self.show.items()}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Beside:
    """The published figure that ours is compared with, by the name of its source and its column."""

    source: Word
    column: Word


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Row:
    """One network. ``options`` add to the table's; null: we have no such network, and ``labels`` say what it is.

    ``published`` picks a line of each source by cells that only this line has. ``unlike`` says why these lines are
    of another network than this row; then they are shown with a mark, and never compared.
    """

    options: dict[str, Any] | None
    published: dict[str, dict[str, str]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    unlike: Word | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RowsTable:
    """Published figures beside ours. ``options`` and those of a row say, as on the command line, which run it is.

    ``columns`` tell rows apart: options, or names that all rows have in ``labels``.
    """

    kind: Literal["rows"]
    title: Word
    question: Word
    options: dict[str, Any]
    columns: dict[str, Word]
    rows: Annotated[list[Row], Field(min_length=1)]
    published: dict[str, Source] = field(default_factory=dict)
    beside: Beside | None = None
    ours: list[Measure] = field(default_factory=lambda: ["top1"])
    notes: list[Word] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            for name in row.published:
                if name not in self.published:
                    raise ValueError(f"rows, number {number}: published.{name} is no source of this table")
        if self.beside is not None:
            source = self.published.get(self.beside.source)
            if source is None or self.beside.column not in source.show:
                raise ValueError(f"beside: {self.beside.source}.{self.beside.column} is not shown by this table")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ListTable:
    """Lines of one published file as they are."""

    kind: Literal["list"]
    title: Word
    question: Word
    published: Source
    notes: list[Word] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Layer:
    """A matrix product of ``n`` output channels, ``m`` output pixels and sums of ``k`` terms."""

    title: Word
    n: PositiveInt
    m: PositiveInt
    k: PositiveInt


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MethodsTable:
    """Costs of a layer under each method of ``file``, from the formulas there."""

    kind: Literal["methods"]
    title: Word
    question: Word
    file: Word
    layers: Annotated[list[Layer], Field(min_length=1)]
    notes: list[Word] = field(default_factory=list)


DeclaredTable = RowsTable | ListTable | MethodsTable
_DECLARED: TypeAdapter[DeclaredTable] = TypeAdapter(Annotated[DeclaredTable, Field(discriminator="kind")])


def read_declared(folder: Path) -> dict[str, DeclaredTable]:
    """The tables of a folder by name, sorted. Raises DeclarationError for the first that cannot be used."""
    return {path.stem: read_table(path) for path in sorted(folder.glob("*.yaml"))}


def read_table(path: Path) -> DeclaredTable:
    """One declared table. Raises DeclarationError with the file, the field and what is wrong with it."""
    if not re.fullmatch(r"[A-Za-z0-9_]+", path.stem):
        raise DeclarationError(f"{path.name}: a table is named by letters, digits and _ alone")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_NoTwins)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DeclarationError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from None
    try:
        return _DECLARED.validate_json(json.dumps(content))  # strict, and lists of JSON are what fields take
    except TypeError as error:
        raise DeclarationError(f"{path.name}: {error}: only texts, numbers, lists and mappings have a place") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"][1:]))
        raise DeclarationError(f"{path.name}: {where}{': ' if where else ''}{first['msg']}") from None


class _NoTwins(Loader):
    """YAML in which a key that stands twice is an error: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Mapping[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)
