"""The words that choose runs: ids, ``axis=option`` filters, and the folder of runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnn_ablate.report.runs import OTHER_RUNS
from bnn_ablate.runs.entries import STATES, Entry, Listing, RunsError

#: What filters name beside the settings of a run.
FACTS = ("state", "study", "seed")
#: Digits that an abbreviated id must have: fewer are more likely a slip than a name.
SHORTEST = 4


@dataclass(frozen=True)
class Words:
    """What was asked for: ``ids`` may be abbreviated, ``filters`` are pairs of a key and the values it may have."""

    root: Path
    ids: tuple[str, ...]
    filters: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def states(self) -> tuple[str, ...]:
        """The states that the filters name; none where they name none."""
        return next((values for key, values in self.filters if key == "state"), ())

    @property
    def chooses(self) -> bool:
        """Whether anything was named, or all runs are meant."""
        return bool(self.ids or self.filters)


def read_words(texts: Sequence[str]) -> Words:
    """Raises RunsError with one sentence about the first word that is wrong."""
    given: dict[str, str] = {}
    ids = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            if not re.fullmatch(f"[0-9a-f]{{{SHORTEST},12}}", text):
                raise RunsError(
                    f"{text} is no id of a run and no filter: give {SHORTEST} to 12 hex digits or axis=option"
                )
            ids.append(text)
        elif key in given:
            raise RunsError(f"{key}= can be given once: several values have commas between them")
        elif not key or not value.strip(","):
            raise RunsError(f"{text} is no filter: give axis=option")
        else:
            given[key] = value
    root = Path(given.pop("runs", "runs"))
    filters = tuple((key.replace("/", "."), tuple(_options(value))) for key, value in given.items())
    if ids and filters:
        raise RunsError(f"{ids[0]} names a run and {filters[0][0]}= filters runs: give one or the other")
    return Words(root, tuple(ids), filters)


def _options(value: str) -> list[str]:
    """``a,b`` as two values; a list such as ``[8,16]`` is one."""
    parts = re.split(r",(?![^\[]*\])", value)
    return [part for part in parts if part]


def chosen(words: Words, listing: Listing) -> list[Entry]:
    """The runs that the words choose, in the listing's order; all where they name nothing.

    Raises RunsError for an id, a setting or a value that no run of the store has. A state that no run is in is none.
    """
    if words.ids:
        found = {entry_named(text, listing).id for text in words.ids}
        return [entry for entry in listing.entries if entry.id in found]
    entries = list(listing.entries)
    for key, values in words.filters:
        wanted = {_canonical(text) for text in values}
        _check(key, values, listing)
        entries = [entry for entry in entries if wanted & set(_values(entry, key))]
    return entries


def entry_named(text: str, listing: Listing) -> Entry:
    """The run whose id begins with ``text``. Raises RunsError where there is none, or more than one."""
    found = [entry for entry in listing.entries if entry.id.startswith(text)]
    if not found:
        raise RunsError(f"{text} is no run in {listing.root}")
    if len(found) > 1:
        raise RunsError(f"{text} is the beginning of {len(found)} ids: {_told(entry.id for entry in found)}")
    return found[0]


def _values(entry: Entry, key: str) -> list[Any]:
    """What the run has under that key, comparable; nothing where it has no such setting."""
    return [_canonical(text) for text in _texts(entry, key)]


def _texts(entry: Entry, key: str) -> list[str]:
    if key == "state":
        return [entry.state]
    if key == "study":
        return list(entry.studies) if entry.studies else [OTHER_RUNS]
    return [entry.leaves[key]] if key in entry.leaves else []


def _check(key: str, values: Sequence[str], listing: Listing) -> None:
    """Refuse what no run has, with what there is."""
    occurring = dict.fromkeys(text for entry in listing.entries for text in _texts(entry, key))
    if key == "state":
        occurring = dict.fromkeys(STATES)
    if key == "study":
        occurring |= dict.fromkeys(listing.studies)
    if not occurring:
        if not listing.entries:
            return  # in an empty store nothing can be told from a slip
        raise RunsError(
            f"{key}= is no setting of any run in {listing.root}: choose one of {_told(_keys(key, listing))}"
        )
    known = {_canonical(text) for text in occurring}
    for text in values:
        if _canonical(text) not in known:
            what = "there is no such state, the states are" if key == "state" else "no run has it, they have"
            raise RunsError(f"{key}={text}: {what} {_told(occurring)}")


def _keys(key: str, listing: Listing) -> list[str]:
    """The settings that may have been meant: those of the same group, or else the groups."""
    leaves = dict.fromkeys(name for entry in listing.entries for name in entry.leaves)
    group = key.partition(".")[0]
    alike = [name for name in leaves if "." in key and name.partition(".")[0] == group]
    return alike if alike else [*FACTS, *(name for name in leaves if "." not in name and name not in FACTS)]


def _told(texts: Iterable[str]) -> str:
    """Numbers by value, then names."""

    def place(text: str) -> tuple[bool, float, str]:
        value = value_of(text)
        number = isinstance(value, int | float)
        return not number, float(value) if number else 0.0, text

    return ", ".join(sorted(texts, key=place))


def _canonical(text: str) -> Any:
    """Equal for spellings of one value: 0.001 and 1e-3, [8,16] and [8, 16]; true is not 1."""
    value = value_of(text)
    return json.dumps(value) if isinstance(value, list | dict | bool) else value


def value_of(text: str) -> Any:
    """A setting as the command line writes it, as the value it is; what is no number, list, truth or null is a name."""
    try:
        return json.loads(text, parse_constant=str)  # NaN is a name
    except ValueError:
        return text
