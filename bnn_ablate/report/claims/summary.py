"""What all contrasts of a claim come to, at the paper's full size and elsewhere, in one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from bnn_ablate.report.claims.declared import Claim, Claims
from bnn_ablate.report.claims.lines import JUDGED, JudgedClaim, Line, Verdict
from bnn_ablate.report.numbers import counted

#: The worst of several verdicts is the claim's: all its contrasts are claimed. What has no verdict takes none away.
WORST: tuple[Verdict, ...] = ("contradicted", "undecided", "holds", "no verdict", "not run")


def summed_up(claims: Claims, claim: Claim, lines: Sequence[Line]) -> JudgedClaim:
    """The claim with its lines and what they come to."""
    commands = [line.commands[-1] for line in lines if line.commands]
    undone = commands[0] if commands else ""
    if claim.judged_by != "contrasts":
        of_all = [line for line in lines if line.study is None]
        # A file that cannot be read is one that is missing from the count.
        unread = any(line.verdict == "no verdict" for line in of_all)
        verdict = "no verdict" if unread and _worst(of_all) == "holds" else _worst(of_all)
        return JudgedClaim(
            claim=claim,
            lines=tuple(lines),
            paper="asks for no size",
            paper_verdict=None,
            elsewhere="; ".join(f"{line.name}: {line.why}" for line in of_all),
            elsewhere_verdict=verdict,
            share=None,
            next=of_all[0].next,
        )
    paper, paper_verdict = _at_the_papers_size(claims, claim, [line for line in lines if line.at_scope is not None])
    others = [line for line in lines if line.at_scope is None and line.study is not None]
    asked = _asked(claim)
    of_asked = [line for line in others if line.name in asked and line.same_as is None]
    # A contrast that never gives a verdict is no reason for the claim to have none, where others do.
    verdict = _worst(of_asked if of_asked else others)
    held = {line.name for line in of_asked if line.verdict == "holds"}
    return JudgedClaim(
        claim=claim,
        lines=tuple(lines),
        paper=paper,
        paper_verdict=paper_verdict,
        elsewhere=_by_study(others),
        elsewhere_verdict=verdict,
        share=(len(held), len(asked)) if verdict == "holds" and len(held) < len(asked) else None,
        next=undone,
    )


def _asked(claim: Claim) -> set[str]:
    """The contrasts that can give a verdict."""
    return {contrast.name for contrast in claim.contrasts if contrast.no_verdict is None}


def _at_the_papers_size(claims: Claims, claim: Claim, lines: Sequence[Line]) -> tuple[str, Verdict]:
    """By scope. The claim holds there once every contrast does, in every scope in which it was made."""
    told = []
    counted_lines = [line for line in lines if line.name in _asked(claim) and line.same_as is None]
    complete = True
    for name, scope in claims.scopes.items():
        asked = [one.name for one in claim.contrasts if name in one.sweeps and one.no_verdict is None]
        there = [line for line in counted_lines if line.at_scope == name and line.name in asked]
        complete = complete and {line.name for line in there if line.verdict in JUDGED} >= set(asked)
        if there:
            known = len({line.name for line in there})
            of_all = f" ({known} of {counted(len(asked), 'contrast')})" if known < len(asked) else ""
            told.append(f"{scope.title}: {_counts(there)}{of_all}")
    if not told:
        return "not run", "not run"
    verdict = _worst(counted_lines)
    if verdict == "holds" and not complete:
        verdict = "undecided"
        told.append("the other contrasts have no verdict yet")
    return "; ".join(told), verdict


def _by_study(lines: Sequence[Line]) -> str:
    """``a: holds 2; b: the runs of a``: the same runs count once, under whichever names they are."""
    told = []
    for study in dict.fromkeys(line.study for line in lines):
        there = [line for line in lines if line.study == study]
        own = [line for line in there if line.same_as is None]
        others = dict.fromkeys(line.same_as for line in there if line.same_as is not None)
        words = [*([_counts(own)] if own else []), *(f"the runs of {other}" for other in others)]
        told.append(f"{study}: {', '.join(words)}")
    return "; ".join(told) if told else "not run"


def _counts(lines: Iterable[Line]) -> str:
    """``holds 2, undecided 1``, in the order of verdicts."""
    counts = Counter(line.verdict for line in lines)
    return ", ".join(f"{verdict} {counts[verdict]}" for verdict in get_args(Verdict) if counts[verdict])


def _worst(lines: Iterable[Line]) -> Verdict:
    found = {line.verdict for line in lines}
    return next((verdict for verdict in WORST if verdict in found), "not run")
