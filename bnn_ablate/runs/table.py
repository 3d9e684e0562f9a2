"""The list of runs, as a table that fits a terminal and as plain values for scripts."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bnn_ablate.report.labels import NOT_THERE, UNKNOWN, varying_leaves
from bnn_ablate.report.numbers import counted, duration, one_line, percent
from bnn_ablate.report.rows import DASH, error_of
from bnn_ablate.runs.entries import STATES, Entry, Listing

#: Columns of every run, around those of the settings that differ.
FIRST = ("run", "state")
LAST = ("seed", "top-1 %", "packed %", "epochs", "time", "age", "study")
#: States that a sentence explains below the table.
EXPLAINED = ("failed", "diverged", "broken")


def list_text(entries: Sequence[Entry], listing: Listing, studies: Sequence[str], now: datetime, width: int) -> str:
    """A line a run with what differs among them, as many columns as ``width`` characters hold, and what went wrong.

    ``studies`` are those that were asked for: of their planned runs is told how many have left nothing.
    """
    lines: list[str] = []
    if entries:
        leaves = [entry.differing for entry in entries]
        columns = varying_leaves(leaves)
        fixed = [(_first(entry), _last(entry, now)) for entry in entries]
        labels = [[_label(leaf, key) for key in columns] for leaf in leaves]
        lines, left_out = _fitted(columns, labels, fixed, width)
        for entry in entries:
            if entry.state in EXPLAINED:
                lines += _clipped(f"{entry.id} {entry.state}: {error_of(entry.run)}", width)
        if left_out:
            said = f"not shown, for want of width: {', '.join(left_out)} (a wider terminal or --json has them)"
            lines += textwrap.wrap(said, width)
        lines.append("")
    lines += textwrap.wrap(_summary(entries, listing), width)
    for name in studies:
        jobs = listing.studies[name].jobs if name in listing.studies else []
        planned = {job.run_id for job in jobs if job.run_id is not None}  # None: a combination that makes no sense
        missing = planned - {entry.id for entry in listing.entries}
        if missing:
            lines.append(f"study {name}: {len(missing)} of {counted(len(planned), 'planned run')} left nothing yet")
    return "\n".join(lines)


def _first(entry: Entry) -> list[str]:
    return [entry.id, state_text(entry)]


def _last(entry: Entry, now: datetime) -> list[str]:
    top1 = None if entry.record is None else entry.record.accuracy.top1
    packed = None if entry.run.packed is None else entry.run.packed.top1
    planned = "?" if entry.epochs is None else str(entry.epochs)
    return [
        DASH if entry.run.seed is None else str(entry.run.seed),
        DASH if top1 is None else percent(100 * top1),
        DASH if packed is None else percent(100 * packed),
        f"{len(entry.curve)}/{planned}",
        DASH if entry.train_seconds is None else duration(entry.train_seconds),
        age((now - entry.updated).total_seconds()),
        one_line(", ".join(entry.studies)) if entry.studies else DASH,
    ]


def state_text(entry: Entry) -> str:
    """The state, and where that says that somebody is at it and nobody is: ``running (gone)``."""
    gone = entry.state in ("running", "begun") and entry.holder is None
    return f"{entry.state} (gone)" if gone else entry.state


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits; two clocks may differ, so nothing is in the future."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def _label(leaves: Mapping[str, str], column: str) -> str:
    return one_line(leaves[column]) if column in leaves else NOT_THERE if leaves else UNKNOWN


def _fitted(
    columns: Sequence[str],
    labels: Sequence[Sequence[str]],
    fixed: Sequence[tuple[Sequence[str], Sequence[str]]],
    width: int,
) -> tuple[list[str], list[str]]:
    """Aligned lines with as many of ``columns`` as fit, in their order, and the columns that do not."""
    shown = len(columns)
    while True:
        titles = [*FIRST, *columns[:shown], *LAST]
        rows = [[*first, *label[:shown], *last] for label, (first, last) in zip(labels, fixed, strict=True)]
        widths = [max(len(row[place]) for row in (titles, *rows)) for place in range(len(titles))]
        if shown == 0 or sum(widths) + 2 * (len(widths) - 1) <= width:
            break
        shown -= 1
    names = len(FIRST) + shown
    right = range(names, names + len(LAST) - 1)  # numbers
    lines = []
    for row in (titles, ["-" * each for each in widths], *rows):
        cells = [text.rjust(widths[i]) if i in right else text.ljust(widths[i]) for i, text in enumerate(row)]
        lines += _clipped("  ".join(cells).rstrip(), width)
    return lines, list(columns[shown:])


def _clipped(line: str, width: int) -> list[str]:
    return [line if len(line) <= width else line[: width - 1] + "…"]


def _summary(entries: Sequence[Entry], listing: Listing) -> str:
    """How many there are, by state."""
    if not listing.entries:
        return f"there are no runs in {listing.root}"
    states = Counter(entry.state for entry in entries)
    told = ", ".join(f"{states[state]} {state}" for state in reversed(STATES) if states[state])
    of_all = "" if len(entries) == len(listing.entries) else f" of {len(listing.entries)} in {listing.root}"
    return f"{counted(len(entries), 'run')}{of_all}" + (f": {told}" if told else "")


def entry_json(entry: Entry) -> dict[str, Any]:
    """One run as plain values; accuracies are fractions as in records, what is not known is null."""
    record, packed, status = entry.record, entry.run.packed, entry.status
    return {
        "run_id": entry.id,
        "cell_id": entry.run.cell_id,
        "seed": entry.run.seed,
        "state": entry.state,
        "worked_on_by": None if entry.holder is None else entry.holder.holder,
        "studies": list(entry.studies),
        "folder": str(entry.folder.path),
        "top1": None if record is None else record.accuracy.top1,
        "packed_top1": None if packed is None else packed.top1,
        "epochs_done": len(entry.curve),
        "epochs": entry.epochs,
        "train_seconds": entry.train_seconds,
        "updated": entry.updated.isoformat(timespec="seconds"),
        "host": record.provenance.host if record is not None else None if status is None else status.host,
        "error": entry.run.error,
        "problem": entry.run.problem,
        "config": entry.run.config,
    }
