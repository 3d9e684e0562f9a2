"""A verdict on each claim wherever a study has the cells of one of its contrasts.

The protocol: each study is fitted once (cells and seed blocks, pooled error); a contrast is judged against its own
margin, at levels that share 5 % among the contrasts of the claim in that study. A verdict speaks about its scope; only
cells with the paper's full-size settings speak about the paper. docs/STATISTICS.md says what each word means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.claims.cells import Match, best_context, find_matches, in_scope
from bnn_ablate.report.claims.counts import SMOKE_TEST, judge_packed, judge_scaling_errors
from bnn_ablate.report.claims.declared import SMALLER, Claim, Claims, Contrast
from bnn_ablate.report.claims.figures import Figures
from bnn_ablate.report.claims.lines import JudgedClaim, Line
from bnn_ablate.report.claims.subjects import Subject, subject_of
from bnn_ablate.report.claims.summary import summed_up
from bnn_ablate.report.claims.words import price, scope_words, state_words, sweep_commands
from bnn_ablate.report.notes import LOST, SEEDS
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.stats.blocks import Fit, NotEstimableError
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.findings import SeedsNeeded, judge, seeds_needed
from bnn_ablate.report.stats.holm import holm
from bnn_ablate.report.tables import Table
from bnn_ablate.study import Study


def judge_claims(
    claims: Claims, tables: Sequence[Table], studies: Mapping[str, Study], figures: Figures
) -> list[JudgedClaim]:
    """Judge every claim of the file, in its order; runs of no study are in no contrast."""
    subjects = [subject_of(table, studies[table.name]) for table in tables if table.name in studies]
    judged = []
    for claim in claims.claims:
        if claim.judged_by == "contrasts":
            lines = _contrast_lines(claims, claim, subjects, figures)
        elif claim.judged_by == "packed":
            lines = judge_packed(tables)
        elif claim.judged_by == "scaling_error":
            lines = judge_scaling_errors(tables)
        else:
            lines = []
        if not lines:
            assert claim.needs is not None
            lines = [
                Line(name=claim.title, scope="any", verdict="not run", why="nothing to judge it by", next=claim.needs)
            ]
        judged.append(summed_up(claims, claim, lines))
    return judged


def _contrast_lines(claims: Claims, claim: Claim, subjects: Sequence[Subject], figures: Figures) -> list[Line]:
    """The lines of a claim: contrast by contrast, and of each the studies, then what no study has."""
    lines: dict[str, list[Line]] = {contrast.name: [] for contrast in claim.contrasts}
    for subject in subjects:
        found = [
            (contrast, match, scope)
            for contrast in claim.contrasts
            for match, scope in _matches(claims, contrast, subject)
        ]
        judged = [one for one in found if one[0].no_verdict is None and subject.has_results(one[1])]
        of_study = [_line(subject, *one, family=len(judged)) for one in found]
        for line in _with_holm(of_study):
            lines[line.name].append(line)
    for contrast in claim.contrasts:
        missing = _not_run(claims, contrast, lines[contrast.name])
        if missing is not None:
            lines[contrast.name].append(missing)
        speaks_for = tuple(figures.change(one) for one in contrast.published_for)
        against = tuple(figures.change(one) for one in contrast.published_against)
        lines[contrast.name] = [
            replace(line, margin=contrast.margin, published_for=speaks_for, published_against=against)
            for line in lines[contrast.name]
        ]
    return [line for of_contrast in lines.values() for line in of_contrast]


def _matches(claims: Claims, contrast: Contrast, subject: Subject) -> list[tuple[Match, str | None]]:
    """Those at the study's baseline, and for each of the paper's scopes those that have its settings."""
    every = find_matches(contrast, claims.always, subject.cells)
    found: dict[Match, str | None] = dict.fromkeys(best_context(every, subject.cells, subject.baseline))
    for name in contrast.sweeps:
        if name != SMALLER:
            there = [match for match in every if in_scope(contrast, match, subject.cells, claims.scopes[name])]
            found |= dict.fromkeys(best_context(there, subject.cells, subject.baseline), name)
    return list(found.items())


def _line(subject: Subject, contrast: Contrast, match: Match, at_scope: str | None, *, family: int) -> Line:
    leaves = [cell.leaves for cell in subject.cells]
    line = Line(
        name=contrast.name,
        scope=scope_words(contrast, match, leaves, subject.baseline),
        study=subject.table.name,
        at_scope=at_scope,
        verdict="not run",
        why="",
    )
    cells = [subject.table.cells[place] for place in match.cells]
    if not subject.has_results(match):
        again = f"the command of {subject.table.name} goes on with it"
        return replace(line, why=state_words(contrast, match, subject.table.cells), next=again)
    try:
        estimate = subject.estimator.estimate(match.by_cell)
    except NotEstimableError:
        why = "its cells share no seeds, so that they cannot be told from them"
        return replace(line, verdict="no verdict", why=why, next="give its cells the same seeds")
    line = replace(
        line,
        estimate=estimate,
        with_images=subject.estimator.with_images(match.by_cell),
        marks=_marks(subject, contrast, match, family),
    )
    if subject.is_smoke_test(match):
        return replace(line, verdict="no verdict", why=SMOKE_TEST)
    if contrast.no_verdict is not None:
        return replace(line, verdict="no verdict", why=contrast.no_verdict)
    if estimate.n == 1:
        missing = max(len({*SEEDS} - {record.seed for record in cell.records}) for cell in cells)
        costs = f"seed={','.join(map(str, SEEDS))} costs about {price(missing, cells)} more"
        return replace(line, verdict="no verdict", why="one run has no interval", next=costs)
    judged = judge(estimate, contrast.expects, contrast.margin, family)
    line = replace(line, verdict=judged.verdict, why=judged.why, family=family)
    if judged.verdict == "undecided":
        return replace(line, next=_more_seeds(subject.estimator.fit, estimate, contrast, match, cells, family))
    return line


def _marks(subject: Subject, contrast: Contrast, match: Match, family: int) -> tuple[str, ...]:
    """What qualifies a verdict: seeds added later, with what the declared ones alone say, uneven and lost runs."""
    marks = list(subject.notes)
    added = subject.added_seeds(match)
    if added:
        seeds = f"{'seed' if len(added) == 1 else 'seeds'} {', '.join(map(str, added))}"
        alone = _declared(subject, contrast, match, family)
        marks.append(f"{seeds} added after those that were declared, which alone say: {alone}")
    counts = [len(subject.table.cells[place].records) for place in match.cells]
    if min(counts) < max(counts):
        marks.append(f"its cells have {min(counts)} to {max(counts)} runs")
    lost = Counter(run.state for place in match.cells for run in subject.table.cells[place].runs)
    marks += [f"{counted(lost[state], 'run')} {state}, in no mean" for state in LOST if lost[state]]
    return tuple(marks)


def _declared(subject: Subject, contrast: Contrast, match: Match, family: int) -> str:
    if subject.declared_alone.fit is None:
        return "nothing"
    try:
        estimate = subject.declared_alone.estimate(match.by_cell)
    except NotEstimableError:
        return "nothing"
    return judge(estimate, contrast.expects, contrast.margin, family).verdict if estimate.n > 1 else "no verdict"


def _more_seeds(
    fitted: Fit | None, estimate: Estimate, contrast: Contrast, match: Match, cells: Sequence[Cell], family: int
) -> str:
    assert fitted is not None  # it is undecided, so there is an interval
    assert fitted.sd is not None
    needed = seeds_needed(
        estimate,
        contrast.expects,
        contrast.margin,
        sd=fitted.sd,
        df=fitted.df,
        cells=len(fitted.cells),
        squared_weights=sum(weight**2 for weight in match.by_cell.values()),
        family=family,
    )
    if needed is None:
        return "no number of seeds would decide it, if the effect is what it seems"
    more = SeedsNeeded(
        low=None if needed.low is None else needed.low - estimate.n,
        high=None if needed.high is None else needed.high - estimate.n,
    )
    ends = list(dict.fromkeys(end for end in (more.low, more.high) if end is not None))
    costs = f" (about {' to '.join(price(end, cells) for end in ends)})" if ends else ""
    return f"{more.text} more seeds would decide it in four of five studies, if the effect is what it seems{costs}"


def _with_holm(lines: Sequence[Line]) -> list[Line]:
    adjusted = holm([line.estimate.p if line.estimate is not None else None for line in lines])
    return [replace(line, p_holm=p) for line, p in zip(lines, adjusted, strict=True)]


def _not_run(claims: Claims, contrast: Contrast, lines: Sequence[Line]) -> Line | None:
    """One line for the scopes that no study has: the paper's, and a smaller one where no verdict could come of any."""
    run = {line.at_scope for line in lines if line.estimate is not None}
    missing = [scope for scope in contrast.sweeps if scope != SMALLER and scope not in run]
    evidence = any(line.verdict in ("holds", "contradicted", "undecided") for line in lines)
    commands = [sweep_commands(claims, contrast, scope) for scope in missing]
    if SMALLER in contrast.sweeps and not evidence:
        commands.append(sweep_commands(claims, contrast, SMALLER))
    if not commands:
        return None
    titles = [claims.scopes[scope].title for scope in missing]
    return Line(
        name=contrast.name,
        scope="; ".join(titles) if titles else "any size",
        verdict="not run",
        why="no study has its cells at this size",
        commands=tuple(commands),
    )
