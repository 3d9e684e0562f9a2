"""A verdict on each claim wherever a study has the cells of one of its contrasts.

The protocol: each study is fitted once (cells and seed blocks, pooled error), float networks and other images apart; a
contrast is judged against its own margin, at levels that share 5 % among the contrasts of the claim that the study
planned, and not before all declared seeds are done or lost. A verdict speaks about its scope; only cells with the
paper's full-size settings speak about the paper. docs/STATISTICS.md says what each word means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.claims.cells import Match, best_context, find_matches
from bnn_ablate.report.claims.counts import SMOKE_TEST, judge_packed, judge_scaling_errors
from bnn_ablate.report.claims.declared import SMALLER, Claim, Claims, Contrast
from bnn_ablate.report.claims.figures import Figures
from bnn_ablate.report.claims.lines import JUDGED, JudgedClaim, Line
from bnn_ablate.report.claims.marks import marks_of_match
from bnn_ablate.report.claims.scopes import check_scopes, in_scope
from bnn_ablate.report.claims.subjects import Subject, subject_of
from bnn_ablate.report.claims.summary import summed_up
from bnn_ablate.report.claims.words import price, scope_words, state_words, sweep_commands
from bnn_ablate.report.effects.estimates import Estimator, FittedApartError
from bnn_ablate.report.notes import SEEDS
from bnn_ablate.report.published.options import Options, options_of
from bnn_ablate.report.stats.blocks import Fit, NotEstimableError
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.findings import SeedsNeeded, judge, seeds_needed
from bnn_ablate.report.stats.holm import holm
from bnn_ablate.report.tables import Table
from bnn_ablate.study import Study


def judge_claims(
    claims: Claims,
    tables: Sequence[Table],
    studies: Mapping[str, Study],
    figures: Figures,
    conf: Path,
    estimators: Mapping[str, Estimator],
) -> list[JudgedClaim]:
    """Judge every claim of the file, in its order; runs of no study are in no contrast.

    ``conf`` says what an option stands for; ``estimators`` hold the fits of each table's cells, by its name. Raises
    ClaimsError for a scope whose settings ``conf`` does not have.
    """
    options = options_of(conf)
    check_scopes(claims, options)
    subjects = [
        subject_of(table, studies[table.name], options, estimators[table.name])
        for table in tables
        if table.name in studies
    ]
    judged = []
    for claim in claims.claims:
        if claim.judged_by == "contrasts":
            lines = _contrast_lines(claims, claim, subjects, figures, options)
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


def _contrast_lines(
    claims: Claims, claim: Claim, subjects: Sequence[Subject], figures: Figures, options: Options
) -> list[Line]:
    """The lines of a claim: contrast by contrast, and of each the studies, then what no study has."""
    lines: dict[str, list[Line]] = {contrast.name: [] for contrast in claim.contrasts}
    for subject in subjects:
        found = [
            (contrast, match, scope)
            for contrast in claim.contrasts
            for match, scope in _matches(claims, contrast, subject, options)
        ]
        # Contrasts that are still to come, or are lost, were asked too.
        asked = [one for one in found if one[0].no_verdict is None and subject.can_be_judged(one[1])]
        of_study = [_line(subject, *one, family=max(1, len(asked)), options=options) for one in found]
        for line in _with_holm(of_study):
            lines[line.name].append(line)
    lines = {name: _told_once(of_contrast) for name, of_contrast in lines.items()}
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


def _matches(claims: Claims, contrast: Contrast, subject: Subject, options: Options) -> list[tuple[Match, str | None]]:
    """Those at the study's baseline, and for each of the paper's scopes those that have its settings."""
    every = find_matches(contrast, claims.always, subject.cells)
    found: dict[Match, str | None] = dict.fromkeys(best_context(every, subject.cells, subject.baseline))
    for name in contrast.sweeps:
        if name != SMALLER:
            scope = claims.scopes[name]
            there = [match for match in every if in_scope(contrast, match, subject.cells, scope, options)]
            found |= dict.fromkeys(best_context(there, subject.cells, subject.baseline), name)
    return list(found.items())


def _line(
    subject: Subject, contrast: Contrast, match: Match, at_scope: str | None, *, family: int, options: Options
) -> Line:
    cells = [subject.table.cells[place] for place in match.cells]
    line = Line(
        name=contrast.name,
        scope=scope_words(contrast, match, [cell.leaves for cell in subject.cells], subject.baseline, options),
        study=subject.table.name,
        at_scope=at_scope,
        runs=frozenset(record.run_id for cell in cells for record in cell.records),
        verdict="not run",
        why="",
    )
    again = f"the command of {subject.table.name} goes on with it"
    if not subject.has_results(match):
        return replace(line, why=state_words(contrast, match, subject.table.cells), next=again)
    try:
        estimate = subject.estimator.estimate(match.by_cell)
    except FittedApartError as error:
        return replace(line, verdict="no verdict", why=str(error))
    except NotEstimableError:
        why = "its cells share no seeds, so that they cannot be told from them"
        return replace(line, verdict="no verdict", why=why, next="give its cells the same seeds")
    line = replace(
        line,
        estimate=estimate,
        with_images=subject.estimator.with_images(match.by_cell),
        marks=marks_of_match(subject, contrast, match, family),
    )
    if subject.is_smoke_test(match):
        return replace(line, verdict="no verdict", why=SMOKE_TEST)
    if contrast.no_verdict is not None:
        return replace(line, verdict="no verdict", why=contrast.no_verdict)
    interim = subject.interim(match)
    if interim is not None:
        why = f"an interim look: {interim[0]} of {interim[1]} declared seeds are done"
        return replace(line, verdict="no verdict", why=why, next=again)
    if estimate.n == 1:
        missing = max(len({*SEEDS} - {record.seed for record in cell.records}) for cell in cells)
        costs = f"seed={','.join(map(str, SEEDS))} costs about {price(missing, cells)} more"
        return replace(line, verdict="no verdict", why="one run has no interval", next=costs)
    judged = judge(estimate, contrast.expects, contrast.margin, family)
    line = replace(line, verdict=judged.verdict, why=judged.why, family=family)
    if judged.verdict == "undecided":
        fit = subject.estimator.fit_of(match.by_cell)
        return replace(line, next=_more_seeds(fit, estimate, contrast, match, cells, family))
    return line


def _more_seeds(
    fitted: Fit, estimate: Estimate, contrast: Contrast, match: Match, cells: Sequence[Cell], family: int
) -> str:
    assert fitted.sd is not None  # it is undecided, so there is an interval
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
    """Adjusted among all that were asked: what is still to come counts as the largest p, which is on the safe side."""
    judged = [line for line in lines if line.verdict in JUDGED and line.estimate is not None]
    to_come = max((line.family for line in judged), default=0) - len(judged)
    adjusted = iter(holm([*(line.estimate.p for line in judged if line.estimate is not None), *([1.0] * to_come)]))
    return [replace(line, p_holm=next(adjusted)) if line in judged else line for line in lines]


def _told_once(lines: Sequence[Line]) -> list[Line]:
    """A line of the runs of an earlier one, in a study of another name, says so."""
    first: dict[tuple[frozenset[str], str | None], str] = {}
    told = []
    for line in lines:
        assert line.study is not None
        of = first.setdefault((line.runs, line.at_scope), line.study) if line.estimate is not None else line.study
        same = of != line.study
        told.append(replace(line, same_as=of, marks=(*line.marks, f"same runs as {of}")) if same else line)
    return told


def _not_run(claims: Claims, contrast: Contrast, lines: Sequence[Line]) -> Line | None:
    """One line for the scopes that no study has: the paper's, and a smaller one where no verdict could come of any."""
    run = {line.at_scope for line in lines if line.estimate is not None}
    missing = [scope for scope in contrast.sweeps if scope != SMALLER and scope not in run]
    evidence = any(line.verdict in JUDGED for line in lines)
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
