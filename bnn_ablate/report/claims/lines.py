"""What is known of a claim: a line for each contrast in each scope, and what all of them come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bnn_ablate.report.claims.declared import Claim
from bnn_ablate.report.claims.figures import Change
from bnn_ablate.report.stats.estimate import Estimate

Verdict = Literal["holds", "contradicted", "undecided", "no verdict", "not run"]
#: Verdicts that runs have given.
JUDGED: tuple[Verdict, ...] = ("holds", "contradicted", "undecided")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One contrast in one scope. ``study`` is None where no study has it.

    ``at_scope`` names the paper's scope whose settings the cells have, None elsewhere. ``family`` is the number of
    contrasts among which the levels were shared. ``next`` says what a person can do about it; ``commands`` run it at
    the scopes that are missing, the smallest last. ``marks`` qualify the verdict. ``with_images`` covers the sample of
    test images too. ``runs`` are the ids of its done runs; ``same_as`` is an earlier study that has the same ones.
    """

    name: str
    scope: str
    verdict: Verdict
    why: str
    next: str = ""
    commands: tuple[str, ...] = ()
    study: str | None = None
    at_scope: str | None = None
    runs: frozenset[str] = frozenset()
    same_as: str | None = None
    estimate: Estimate | None = None
    with_images: Estimate | None = None
    margin: float | None = None
    family: int = 1
    p_holm: float | None = None
    marks: tuple[str, ...] = ()
    published_for: tuple[Change, ...] = ()
    published_against: tuple[Change, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JudgedClaim:
    """A claim with its lines; ``paper`` is what can be said at the paper's full size, ``elsewhere`` at other scopes.

    ``paper_verdict`` is None where a claim asks for no size: all its runs are judged together. ``share`` says how many
    of how many contrasts hold elsewhere; None where all do, and where the verdict is another.
    """

    claim: Claim
    lines: tuple[Line, ...]
    paper: str
    paper_verdict: Verdict | None
    elsewhere: str
    elsewhere_verdict: Verdict
    share: tuple[int, int] | None
    next: str
