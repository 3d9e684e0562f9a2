"""What all contrasts of a claim come to, at the paper's full size and elsewhere, in one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from bnn_ablate.report.claims.declared import Claim, Claims
from bnn_ablate.report.claims.lines import JudgedClaim, Line, Verdict
from bnn_ablate.report.numbers import counted

#: The worst of several verdicts is the claim's: all its contrasts are claimed.
WORST: tuple[Verdict, ...] = ("contradicted", "undecided", "no verdict", "holds", "not run")


def summed_up(claims: Claims, claim: Claim, lines: Sequence[Line]) -> JudgedClaim:
    """The claim with its lines and what they come to."""
    commands = [line.commands[-1] for line in lines if line.commands]
    undone = commands[0] if commands else ""
    if claim.judged_by != "contrasts":
        of_all = [line for line in lines if line.study is None]
        verdict = _worst(line.verdict for line in of_all)
        return JudgedClaim(
            claim=claim,
            lines=tuple(lines),
            paper="asks for no size",
            paper_verdict=None,
            elsewhere="; ".join(f"{line.name}: {line.why}" for line in of_all),
            elsewhere_verdict=verdict,
            next=of_all[0].next,
        )
    paper, paper_verdict = _at_the_papers_size(claims, claim, [line for line in lines if line.at_scope is not None])
    others = [line for line in lines if line.at_scope is None and line.study is not None]
    return JudgedClaim(
        claim=claim,
        lines=tuple(lines),
        paper=paper,
        paper_verdict=paper_verdict,
        elsewhere=_by_study(others),
        elsewhere_verdict=_worst(line.verdict for line in others),
        next=undone,
    )


def _at_the_papers_size(claims: Claims, claim: Claim, lines: Sequence[Line]) -> tuple[str, Verdict]:
    """By scope. The claim holds there once every contrast does, in every scope in which it was made."""
    told = []
    complete = True
    for name, scope in claims.scopes.items():
        asked = [one.name for one in claim.contrasts if name in one.sweeps and one.no_verdict is None]
        there = [line for line in lines if line.at_scope == name and line.name in asked]
        complete = complete and {line.name for line in there if line.estimate is not None} >= set(asked)
        if there:
            known = len({line.name for line in there})
            of_all = f" ({known} of {counted(len(asked), 'contrast')})" if known < len(asked) else ""
            told.append(f"{scope.title}: {_counts(there)}{of_all}")
    if not told:
        return "not run", "not run"
    verdict = _worst(line.verdict for line in lines)
    if verdict == "holds" and not complete:
        verdict = "undecided"
        told.append("the other contrasts have not been run")
    return "; ".join(told), verdict


def _by_study(lines: Sequence[Line]) -> str:
    studies = dict.fromkeys(line.study for line in lines)
    told = [f"{study}: {_counts([line for line in lines if line.study == study])}" for study in studies]
    return "; ".join(told) if told else "not run"


def _counts(lines: Iterable[Line]) -> str:
    """``holds 2, undecided 1``, in the order of verdicts."""
    counts = Counter(line.verdict for line in lines)
    return ", ".join(f"{verdict} {counts[verdict]}" for verdict in get_args(Verdict) if counts[verdict])


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    found = set(verdicts)
    return next((verdict for verdict in WORST if verdict in found), "not run")
