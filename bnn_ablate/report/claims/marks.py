"""What qualifies a verdict, each a clause that stands beside it."""

from __future__ import annotations

from collections import Counter

from bnn_ablate.report.claims.cells import Match
from bnn_ablate.report.claims.declared import Contrast
from bnn_ablate.report.claims.subjects import Subject
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.runs import GONE
from bnn_ablate.report.stats.blocks import NotEstimableError
from bnn_ablate.report.stats.findings import judge


def marks_of_match(subject: Subject, contrast: Contrast, match: Match, family: int) -> tuple[str, ...]:
    """Seeds added later, with what the declared ones alone say; uneven spread, uneven, lost and missing runs."""
    cells = [subject.table.cells[place] for place in match.cells]
    marks = [*subject.notes, *subject.uneven(match)]
    added = subject.added_seeds(match)
    if added:
        seeds = f"{'seed' if len(added) == 1 else 'seeds'} {', '.join(map(str, added))}"
        alone = _declared(subject, contrast, match, family)
        marks.append(f"{seeds} added after those that were declared, which alone say: {alone}")
    counts = [len(cell.records) for cell in cells]
    if min(counts) < max(counts):
        marks.append(f"its cells have {min(counts)} to {max(counts)} runs")
    states = Counter(run.state for cell in cells for run in cell.runs)
    marks += [f"{counted(states[state], 'run')} {state}, in no mean" for state in GONE if states[state]]
    to_come = sum(count for state, count in states.items() if state not in ("done", *GONE))
    if to_come:
        marks.append(f"{to_come} of {counted(states.total(), 'planned run')} still to come")
    images = {record.data.checksum for cell in cells for record in cell.records}
    if len(images) > 1:
        marks.append(f"its runs are on {len(images)} different sets of images")
    return tuple(marks)


def _declared(subject: Subject, contrast: Contrast, match: Match, family: int) -> str:
    try:
        estimate = subject.declared_alone.estimate(match.by_cell)
    except NotEstimableError:
        return "nothing"
    return judge(estimate, contrast.expects, contrast.margin, family).verdict if estimate.n > 1 else "no verdict"
