"""A plan for people: a line a run, or a line a cell where there are many, and what it comes to."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from bnn_ablate.report.numbers import counted, duration
from bnn_ablate.study_axes import cell_of
from bnn_ablate.sweep.planning import Plan, PlannedRun
from bnn_ablate.sweep.standing import StandingState

#: Columns of a terminal that tables are made for.
WIDTH = 118
#: More runs than this are shown by cell.
MANY = 24
#: States are broken into lines of this width.
STATE_WIDTH = 24
LEAST_LABEL = 24
GAP = "  "
#: How a table marks where an estimate comes from, and in words.
MARKS = {"same cell": "a", "like runs": "b", "calibrated": "c"}
ORIGINS = {
    "same cell": "from finished runs of the same cell on this machine's processor",
    "like runs": "from finished runs like it on this machine's processor, scaled by images, parameters and MACs",
    "calibrated": "from a few steps timed just now, scaled by images, parameters and MACs",
}
STATES: tuple[StandingState, ...] = ("done", "running", "trained", "stopped", "failed", "diverged", "broken", "new")

#: One line of the table: label, seeds, run ids, state, time a run, time left, bytes left.
Row = tuple[str, str, str, str, str, str, str]
TITLES: Row = ("cell", "seed", "run", "state", "a run", "left", "disk")


def to_text(plan: Plan) -> str:
    """The table and the sums below it."""
    cells: dict[str, list[PlannedRun]] = {}
    for run in plan.runs:
        cells.setdefault(run.job.ids.cell_id, []).append(run)
    many = len(plan.runs) > MANY
    rows = []
    for runs in cells.values():
        if many:
            rows.append(_cell_row(runs))
        else:
            rows += [_run_row(run, label=run is runs[0]) for run in runs]
    head = f"{plan.study}: {counted(len(plan.runs), 'run')} in {counted(len(cells), 'cell')}, in {plan.root}"
    return "\n".join([head, "", *_table(rows), "", *_sums(plan)])


def _run_row(run: PlannedRun, *, label: bool) -> Row:
    standing, epochs = run.standing, run.job.settings.recipe.epochs
    reached = f" at epoch {standing.epochs} of {epochs}" if standing.state not in ("done", "new", "trained") else ""
    return (
        cell_of(run.job.label) if label else "",
        str(run.job.settings.seed),
        run.job.run_id,
        f"{standing.state}{reached}",
        _time([run]),
        "?" if run.standing.to_do and run.left is None else _left([run]),
        _size([run]),
    )


def _cell_row(runs: Sequence[PlannedRun]) -> Row:
    states = Counter(run.standing.state for run in runs)
    return (
        cell_of(runs[0].job.label),
        seeds_text([run.job.settings.seed for run in runs]),
        runs[0].job.run_id + (f" +{len(runs) - 1}" if len(runs) > 1 else ""),
        ", ".join(f"{states[state]} {state}" for state in STATES if states[state]),
        _time(runs),
        _left(runs),
        _size(runs),
    )


def seeds_text(seeds: Sequence[int]) -> str:
    """``0-4``, or ``0,2,7``."""
    ordered = sorted(seeds)
    consecutive = ordered == list(range(ordered[0], ordered[0] + len(ordered)))
    if consecutive and len(ordered) > 2:
        return f"{ordered[0]}-{ordered[-1]}"
    return ",".join(map(str, ordered))


def _time(runs: Sequence[PlannedRun]) -> str:
    whole = [run.whole for run in runs if run.whole is not None]
    if not whole:
        return ""
    marks = "".join(sorted({MARKS[estimate.source] for estimate in whole}))
    return f"{duration(fmean(estimate.seconds for estimate in whole))} {marks}"


def _left(runs: Sequence[PlannedRun]) -> str:
    left = [run.left.seconds for run in runs if run.left is not None]
    unknown = any(run.standing.to_do and run.left is None for run in runs)
    return (f"> {duration(sum(left))}" if unknown else duration(sum(left))) if left else "?" if unknown else ""


def _size(runs: Sequence[PlannedRun]) -> str:
    sizes = [run.bytes_left for run in runs if run.bytes_left is not None]
    return bytes_text(sum(sizes)) if sizes else ""


def bytes_text(size: int) -> str:
    """In powers of ten, as disks are sold: kB, MB, GB, TB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _table(rows: Sequence[Row]) -> list[str]:
    """Columns as wide as they need to be; labels take the rest of the width, on several lines where they must."""
    wrapped: list[list[tuple[str, ...]]] = [[(cell,) for cell in TITLES]]
    wrapped += [[tuple(_wrapped(cell, STATE_WIDTH)) if i == 3 else (cell,) for i, cell in enumerate(r)] for r in rows]
    widths = [max((len(line) for row in wrapped for line in row[i]), default=0) for i in range(len(TITLES))]
    widths[0] = min(widths[0], max(LEAST_LABEL, WIDTH - sum(widths[1:]) - len(GAP) * (len(TITLES) - 1)))
    lines = []
    for row in wrapped:
        row[0] = tuple(_wrapped(row[0][0], widths[0]))
        for number in range(max(len(cell) for cell in row)):
            texts = [cell[number] if number < len(cell) else "" for cell in row]
            aligned = [
                text.rjust(width) if i > 3 else text.ljust(width)
                for i, (text, width) in enumerate(zip(texts, widths, strict=True))
            ]
            lines.append(GAP.join(aligned).rstrip())
    return lines


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines broken between words only, so that paths and overrides can be copied."""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _sums(plan: Plan) -> list[str]:
    states = Counter(run.standing.state for run in plan.runs)
    counts = [f"{states[state]} {state}" for state in STATES if states[state]]
    if plan.refused:
        counts.append(f"{counted(len(plan.refused), 'combination')} refused")
    if plan.repeated:
        counts.append(f"{counted(plan.repeated, 'combination')} the same as another one")
    lines = [", ".join(counts)]
    lines += [f"  refused: {job.label}: {job.reason}" for job in plan.refused]
    lines += _remarks(plan)
    if any(run.left is not None for run in plan.runs):
        lines.append(f"time left: {_time_left(plan)}")
        used = {run.left.source for run in plan.runs if run.left is not None}
        lines += [f"  {mark}  {ORIGINS[source]}" for source, mark in MARKS.items() if source in used]
    if any(run.bytes_left is not None for run in plan.runs):
        lines.append(
            f"disk: {bytes_text(plan.bytes_left)} more; {bytes_text(plan.bytes_free)} are free where {plan.root} is"
        )
        if plan.bytes_left > plan.bytes_free:
            lines.append("  warning: that is more than there is: make room, or give runs=FOLDER on another disk")
    if plan.unreadable:
        lines.append(f"{counted(plan.unreadable, 'record')} of other runs cannot be read and told nothing")
    return [part for line in lines for part in _wrapped(line, WIDTH, indent="    ")]


def _remarks(plan: Plan) -> list[str]:
    """Each reason once, with the runs that have it."""
    by_remark: dict[str, list[PlannedRun]] = {}
    for run in plan.runs:
        if run.remark is not None:
            by_remark.setdefault(f"{run.standing.state}: {run.remark.splitlines()[0]}", []).append(run)
    lines = []
    for remark, runs in by_remark.items():
        state, _, reason = remark.partition(": ")
        named = runs[0].job.run_id if len(runs) == 1 else f"{runs[0].job.run_id} and {len(runs) - 1} more"
        lines.append(f"  {state}: {named}: {reason}")
    return lines


def _time_left(plan: Plan) -> str:
    text = duration(plan.seconds_left)
    if plan.unknown:
        text += f" and {counted(len(plan.unknown), 'run')} of unknown time"
    if any(run.standing.state == "running" for run in plan.runs):
        text += ", without what other processes train"
    if plan.wall_seconds is not None and plan.at_a_time is not None and plan.at_a_time > 1:
        text += (
            f"; {duration(plan.wall_seconds)} with {plan.at_a_time} at a time (hydra.launcher.n_jobs), each as fast as "
            "alone"
        )
    return text
