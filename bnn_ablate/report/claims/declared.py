"""reports/claims.yaml, read strictly: what the paper claims, and which contrast of cells would show it.

The file says at its top what each field means. Settings are leaves of a configuration as tables show them
(:func:`bnn_ablate.report.cells.flatten`): ``scaling``, ``grad.clip``, ``model.family``.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bnn_ablate.checked import STRICT, PositiveFloat, PositiveInt
from bnn_ablate.report.published.figures import Confidence
from bnn_ablate.report.stats.findings import Expectation

#: The key of a contrast's ``sweeps`` beside the full-size scopes: what asks the same at a smaller size.
SMALLER = "smaller"


class ClaimsError(ValueError):
    """claims.yaml cannot be used; the message names the file, the field and what is wrong with it."""


def _leaf(value: Any) -> Any:
    """A value of a configuration as its leaf has it: words as they are, everything else as JSON."""
    return value if isinstance(value, (str, dict)) else json.dumps(value)


Leaf = Annotated[str, BeforeValidator(_leaf)]
Settings = dict[str, Leaf]
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Figure:
    """One published accuracy: the last epoch of a ``log``, or the ``column`` of the one ``row`` of a ``table``."""

    log: str | None = None
    table: str | None = None
    row: dict[str, str] | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        of_table = (self.table, self.row, self.column)
        if (self.log is None) == (None in of_table) or (self.log is not None and of_table != (None, None, None)):
            raise ValueError("give log, or all of table, row and column")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Published:
    """What others found: two figures, or in words where there is no figure."""

    before: Figure | None = None
    after: Figure | None = None
    note: str | None = None
    says: Text | None = None
    source: Text | None = None
    confidence: Confidence | None = None

    def __post_init__(self) -> None:
        words = (self.says, self.source, self.confidence)
        figures = (self.before, self.after)
        if None not in figures and words == (None, None, None):
            return
        if None not in words and figures == (None, None):
            return
        raise ValueError("give before and after, or says, source and confidence")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Contrast:
    """Two cells (four with ``compared_at``) that differ in what the contrast names and in nothing else."""

    name: Text
    expects: Expectation
    before: Settings = field(default_factory=dict)
    after: Settings = field(default_factory=dict)
    at: Settings = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    free: list[str] = field(default_factory=list)
    ratio: dict[str, PositiveFloat | PositiveInt] = field(default_factory=dict)
    #: Epochs of fine-tuning and of the float network before it, taken together, are as many in both.
    equal_epochs: bool = False
    #: Which cell has the settings of a scope, where a ratio or equal epochs let them have different ones.
    full_size: Literal["before", "after"] = "before"
    matched: Literal["size", "macs"] | None = None
    compared_at: list[Settings] = field(default_factory=list)
    margin: PositiveFloat = 0.5
    no_verdict: Text | None = None
    sweeps: dict[str, Annotated[list[str], Field(min_length=1)]]
    published_for: list[Published] = field(default_factory=list)
    published_against: list[Published] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.ratio and self.before == self.after:
            raise ValueError("before and after are the same: name what changes, or a ratio")
        if self.full_size == "after" and not self.resized:
            raise ValueError("full_size says something of a ratio or of equal_epochs alone")
        if len(self.compared_at) not in (0, 2):
            raise ValueError(f"compared_at holds {len(self.compared_at)} settings: an interaction compares two")

    @property
    def resized(self) -> tuple[str, ...]:
        """The settings that follow from the other cell's: by a ratio, or so that epochs are equal."""
        return (*self.ratio, *(("recipe.epochs",) if self.equal_epochs else ()))

    @property
    def changed(self) -> tuple[str, ...]:
        """The settings in which its cells may differ, groups and single values."""
        keys = dict.fromkeys((*self.before, *self.after))
        differing = [key for key in keys if self.before.get(key) != self.after.get(key)]
        moderators = [key for one in self.compared_at for key in one]
        return tuple(dict.fromkeys((*differing, *self.free, *self.resized, *moderators)))


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Said:
    """Where the paper says it, and how sure that is."""

    where: Text
    confidence: Confidence


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Claim:
    """One claim; ``needs`` says what a claim that is not judged by contrasts is waiting for."""

    number: PositiveInt
    title: Text
    statement: Text
    said: Said
    judged_by: Literal["contrasts", "packed", "scaling_error", "nothing"] = "contrasts"
    needs: Text | None = None
    notes: list[Text] = field(default_factory=list)
    contrasts: list[Contrast] = field(default_factory=list)

    def __post_init__(self) -> None:
        if (self.judged_by == "contrasts") != bool(self.contrasts):
            raise ValueError(f"judged_by is {self.judged_by}, and there are {len(self.contrasts)} contrasts")
        if (self.judged_by == "contrasts") != (self.needs is None):
            raise ValueError("needs stands where judged_by is not contrasts, and only there")
        _once(f"claim {self.number}: contrast", [contrast.name for contrast in self.contrasts])


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Images:
    """How many images a data set has, which tells it from a part of it and from another one of its format."""

    train: PositiveInt
    test: PositiveInt


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Scope:
    """Options at which the paper made its claims, as on the command line: all of them have the values of conf/.

    ``varied`` are those of which the paper's runs had several.
    """

    title: Text
    settings: Settings
    varied: dict[str, list[Leaf] | Literal["any"]] = field(default_factory=dict)
    images: Images | None = None
    #: What the command of a sweep needs beside its name.
    options: Text | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Claims:
    """The whole file."""

    always: Settings
    scopes: dict[str, Scope]
    claims: list[Claim]
    left_out: list[Text]

    def __post_init__(self) -> None:
        _once("claim", [str(claim.number) for claim in self.claims])
        known = [*self.scopes, SMALLER]
        for claim in self.claims:
            for contrast in claim.contrasts:
                for scope in contrast.sweeps:
                    if scope not in known:
                        where = f"claim {claim.number}, {contrast.name}: sweeps.{scope}"
                        raise ValueError(f"{where} is no scope: choose {', '.join(known)}")


def _once(what: str, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what} {twice[0]} is there twice")


_CLAIMS: TypeAdapter[Claims] = TypeAdapter(Claims)
#: What stands below each field, for a message that names the choices.
_KINDS: dict[str, Any] = {
    "claims": Claim,
    "said": Said,
    "contrasts": Contrast,
    "scopes": Scope,
    "images": Images,
    **dict.fromkeys(("published_for", "published_against"), Published),
    **dict.fromkeys(("before", "after"), Figure),
}


def read_claims(path: Path) -> Claims:
    """Read claims.yaml. Raises ClaimsError with the file, the field, what is wrong, and the choices there are."""
    import yaml  # the terminal table of a sweep reads no claims

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ClaimsError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClaimsError(f"{path}: this is no YAML: {' '.join(str(error).split())}") from None
    try:
        # As JSON, whose objects make dataclasses in strict mode too.
        return _CLAIMS.validate_json(json.dumps(content))
    except TypeError as error:
        raise ClaimsError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        if first["type"] == "unexpected_keyword_argument":
            reason = f"there is no such field: choose {', '.join(_fields_above(first['loc']))}"
        raise ClaimsError(f"{path}: {where}{': ' if where else ''}{reason}") from None


def _fields_above(loc: tuple[int | str, ...]) -> list[str]:
    """The fields of what holds the last step of ``loc``."""
    kind: Any = Claims
    for step in loc[:-1]:
        kind = _KINDS.get(step, kind) if isinstance(step, str) else kind
    return list(kind.__dataclass_fields__)
