"""The columns of a published table that our runs fill: one scope after the other, the published one first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.grid import Column, Entry, Tone
from bnn_ablate.report.numbers import counted, joined, percent, significant
from bnn_ablate.report.published.declared import Measure
from bnn_ablate.report.published.scopes import (
    PUBLISHED_SCOPE,
    OurCell,
    Scope,
    every_leaf,
    row_key,
    scope_of,
    scope_titles,
)
from bnn_ablate.report.rows import Measured, measure, state_word
from bnn_ablate.report.runs import GONE
from bnn_ablate.report.smoke import is_cut

#: Scopes beside the published one that a page of print has room for; the others are in the CSV and on the page.
PRINTED_SCOPES = 2
#: Scopes beside the published one that a table has at all: a search over learning rates has a scope for each.
MOST_SCOPES = 8

TITLES: Mapping[Measure, str] = {
    "top1": "top-1 %",
    "top5": "top-5 %",
    "packed_top1": "packed %",
    "packed_latency_ms": "packed ms",
    "size_mib": "MiB",
    "macs": "MACs (M)",
}
NOT_RUN = Entry(text="not run", tone="not run")


@dataclass
class OurCells:
    """For each row of a table, by its number, our cells by scope."""

    rows: list[dict[Scope, Cell]]
    studies: dict[tuple[int, Scope], tuple[str, ...]] = field(default_factory=dict)

    @property
    def scopes(self) -> list[Scope]:
        """The published scope, then the others that the table has: those first that fill most rows."""
        return [PUBLISHED_SCOPE, *self._others()[:MOST_SCOPES]]

    @property
    def left_out(self) -> int:
        """How many scopes the table has no room for."""
        return max(0, len(self._others()) - MOST_SCOPES)

    def _others(self) -> list[Scope]:
        counts = Counter(scope for row in self.rows for scope in row if scope)
        return sorted(counts, key=lambda scope: (-counts[scope], scope))


def find_cells(rows: Sequence[Mapping[str, str] | None], ours: Sequence[OurCell]) -> OurCells:
    """Our cells of each row; a row without leaves has none.

    Images under one name with different checksums, or results of different versions, are never averaged: where a table
    has several of them, they are told apart as scopes are.
    """
    by_key: dict[frozenset[tuple[str, str]], list[OurCell]] = {}
    for one in ours:
        if not is_cut(one.leaves):
            by_key.setdefault(one.key, []).append(one)
    matching = [by_key.get(row_key(leaves), []) if leaves is not None else [] for leaves in rows]
    apart = [
        key
        for key in ("data.checksum", "results_version")
        if len({one.leaves[key] for row in matching for one in row if key in one.leaves}) > 1
    ]
    found = OurCells([{} for _ in rows])
    for number, (leaves, members) in enumerate(zip(rows, matching, strict=True)):
        for one in members:
            assert leaves is not None  # it has members
            scope = (*scope_of(leaves, one.leaves), *((key, one.leaves[key]) for key in apart if key in one.leaves))
            known = found.rows[number].get(scope)
            runs = one.cell.runs if known is None else (*known.runs, *one.cell.runs)
            found.rows[number][scope] = Cell({}, runs)
            found.studies[number, scope] = (*found.studies.get((number, scope), ()), *one.studies)
    return found


def our_columns(cells: OurCells, measures: Sequence[Measure]) -> list[Column]:
    """A column for each measure and scope; behind top-1 three that only the page and the CSV have."""
    titles = scope_titles(cells.scopes[1:])
    columns = []
    for number, scope in enumerate(cells.scopes):
        title = f"ours, {titles[scope]}" if scope else "ours, full size"
        key = f"ours_{_slug(titles[scope])}" if scope else "ours_full"
        filled = any(scope in row for row in cells.rows)
        for one in measures:
            shown = title if len(measures) == 1 else f"{title}: {TITLES[one]}"
            # Of a scope without a run one column says so, where no other has runs, and else a note.
            wide = number > PRINTED_SCOPES or (not filled and (one != measures[0] or len(cells.scopes) > 1))
            columns.append(Column(title=shown, key=f"{key}_{one}", numeric=True, wide=wide))
            if one == "top1":
                for more, words in (("half_width_95", "± 95 %"), ("n", "n"), ("planned", "planned")):
                    columns.append(Column(title=f"{title}: {words}", key=f"{key}_{more}", numeric=True, wide=True))
    return columns


def our_entries(cells: OurCells, row: int, measures: Sequence[Measure], links: Mapping[str, str]) -> list[Entry]:
    """The entries of one row under :func:`our_columns`."""
    entries = []
    for scope in cells.scopes:
        cell = cells.rows[row].get(scope)
        measured = measure(cell) if cell is not None else None
        studies = tuple(dict.fromkeys(cells.studies.get((row, scope), ())))
        link = next((links[name] for name in studies if name in links), None)
        for one in measures:
            entries.append(_entry(one, cell, measured, studies, link))
            if one == "top1":
                entries += _beside_top1(cell, measured)
    return entries


def full_size_top1(cells: OurCells, row: int) -> float | None:
    """Our mean at the published scope, in percent; None where no run there is done."""
    cell = cells.rows[row].get(PUBLISHED_SCOPE)
    measured = measure(cell) if cell is not None else None
    return measured.top1.mean if measured is not None and measured.top1 is not None else None


def scope_notes(cells: OurCells, rows: Sequence[Mapping[str, str] | None]) -> list[str]:
    """What each scope of ours is, in full, and what it is not."""
    scopes = cells.scopes
    titles = scope_titles(scopes[1:])
    notes = []
    if any(PUBLISHED_SCOPE in row for row in cells.rows) or len(scopes) > 1:
        notes.append("Ours: mean ± half-width of the 95 % Student-t interval over seeds (runs done of runs planned).")
    if len(scopes) > 1 and not any(PUBLISHED_SCOPE in row for row in cells.rows):
        notes.append("Ours at full size: not run in any row.")
    for scope in scopes[1:]:
        published = [
            f"{key} {joined([row[key] for row in rows if row is not None and key in row])}"
            for key, _ in scope
            if any(row is not None and key in row for row in rows)
        ]
        notes.append(
            f"Ours, {titles[scope]}: not the published scope, and rankings may differ there. It has "
            f"{every_leaf(scope)}; published: {', '.join(published)}."
        )
    if len(scopes) > 1 + PRINTED_SCOPES:
        notes.append(
            f"{counted(len(scopes) - 1 - PRINTED_SCOPES, 'further scope')} of ours: on the page and in the CSV."
        )
    if cells.left_out:
        scopes_left = counted(cells.left_out, "scope")
        notes.append(f"{scopes_left} of ours with the fewest rows left out: the tables of their studies have them.")
    return notes


def _entry(
    one: Measure, cell: Cell | None, measured: Measured | None, studies: Sequence[str], link: str | None
) -> Entry:
    if cell is None or measured is None:
        return NOT_RUN
    n = f"{len(cell.records)} of {measured.planned}"
    more = f"{measured.state}; {', '.join(studies)}; runs {', '.join(str(run.run_id) for run in cell.runs)}"
    tone: Tone = "problem" if any(run.state in GONE for run in cell.runs) else ""
    if measured.top1 is None:
        return Entry(text=f"{state_word(cell)} ({n})", tone=tone, link=link, more=more)
    value, text = _value(one, measured)
    if value is None:
        return Entry(text=text, tone=tone, link=link, more=more)
    shown = f"{text} ({n})" if one == "top1" else text
    return Entry(text=shown, value=value, tone=tone, link=link, more=more)


def _value(one: Measure, measured: Measured) -> tuple[float | None, str]:
    """The number and its text; of properties that runs of one cell do not share, all texts and no number."""
    top1, packed = measured.top1, measured.packed_top1
    if one == "top1":
        assert top1 is not None  # there are records
        half = f" ± {percent(top1.half_width)}" if top1.half_width is not None else ""
        return top1.mean, percent(top1.mean) + half
    if one == "top5":
        return measured.top5, percent(measured.top5) if measured.top5 is not None else "not measured"
    if one == "packed_top1":
        return (packed.mean, percent(packed.mean)) if packed is not None else (None, "not packed")
    values = {
        "packed_latency_ms": tuple(measured.latency_ms.values()),
        "size_mib": measured.size_mib,
        "macs": measured.macs,
    }[one]
    if not values:
        return None, "not measured"
    divide = 1e6 if one == "macs" else 1
    return values[0] if len(values) == 1 else None, joined([significant(value / divide, 4) for value in values])


def _beside_top1(cell: Cell | None, measured: Measured | None) -> list[Entry]:
    if cell is None or measured is None:
        return [NOT_RUN] * 3
    half = measured.top1.half_width if measured.top1 is not None else None
    return [
        Entry(text=percent(half), value=half) if half is not None else Entry(text="no interval"),
        Entry(text=str(len(cell.records)), value=len(cell.records)),
        Entry(text=str(measured.planned), value=measured.planned),
    ]


def _slug(title: str) -> str:
    return "_".join("".join(letter if letter.isalnum() and letter.isascii() else " " for letter in title).split())
