"""The claims as tables: a row a claim, and a row for each of their contrasts in each scope."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bnn_ablate.report.claims.figures import Change, marks_of
from bnn_ablate.report.claims.lines import JudgedClaim, Line, Verdict
from bnn_ablate.report.grid import Column, Entry, Grid, Section, Tone
from bnn_ablate.report.published.figures import MARKS, confidence_notes
from bnn_ablate.report.rows import DASH
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.student import LEVEL

BRIEF = (
    Column(title="claim", key="claim", numeric=True),
    Column(title="statement", key="statement"),
    Column(title="said", key="said", wide=True),
    Column(title="at the paper's size", key="paper_verdict", filtered=True),
    Column(title="at other sizes", key="elsewhere_verdict", filtered=True),
    Column(title="by study", key="counts"),
    Column(title="what next", key="next", wide=True),
)
COLUMNS = (
    Column(title="claim", key="claim", filtered=True),
    Column(title="contrast", key="contrast"),
    Column(title="verdict", key="verdict", filtered=True),
    Column(title="effect", key="effect_points", numeric=True),
    Column(title="± 95 %", key="half_width_95", numeric=True),
    Column(title="± with images", key="half_width_95_with_images", numeric=True, wide=True),
    Column(title="n", key="n", numeric=True),
    Column(title="p (Holm)", key="p_holm", numeric=True, wide=True),
    Column(title="margin", key="margin_points", numeric=True, wide=True),
    Column(title="scope", key="scope"),
    Column(title="study", key="study", filtered=True),
    Column(title="because", key="because", wide=True),
    Column(title="what next", key="next", wide=True),
    Column(title="published for", key="published_for", wide=True),
    Column(title="published against", key="published_against", wide=True),
)

#: Of them, in a study's own section.
OF_STUDY = ("claim", "contrast", "scope", "effect_points", "half_width_95", "n", "verdict", "because", "next")

READING = (
    "Each claim of the paper is taken apart into contrasts: two networks that differ in one choice. Only runs give a "
    "verdict, and it speaks about their scope: width, epochs, data and order, as they stand beside it. The paper's own "
    "claim is judged by runs of its full size, and is not run until there are some.",
    "Holds, contradicted and undecided compare the effect's interval with a margin; the levels are shared among the "
    "contrasts of a claim that one study planned. One run has no interval and gives no verdict, and neither does a "
    "smoke test, nor an interim look, before all seeds that were declared are done or lost.",
)
NOTES = (
    "effect: points of top-1, the changed network less the other one. ± 95 %: over seeds, pooled over the study; with "
    "images: the sample of test images too. Verdicts share the level of 5 % evenly among a claim's contrasts in one "
    "study (Bonferroni), which near the edge is stricter than p (Holm).",
    "published: last epochs of the authors' logs, one seed each, so that no interval is known; differences in points.",
)


def claims_section(judged: Sequence[JudgedClaim], left_out: Sequence[str]) -> Section:
    """Verdicts for the page; ``left_out`` says what is no claim here, and why."""
    return Section(
        anchor="claims",
        title="Claims and verdicts",
        text=READING,
        parts=(brief_grid(judged, left_out), lines_grid(judged)),
    )


def brief_grid(judged: Sequence[JudgedClaim], left_out: Sequence[str]) -> Grid:
    """A row a claim: what can be said at the paper's size, and elsewhere."""
    marks = [MARKS[one.claim.said.confidence][0] for one in judged]
    notes = [f"claim {one.claim.number}: {note}" for one in judged for note in one.claim.notes]
    return Grid(
        name="claims",
        title="The paper's claims",
        columns=BRIEF,
        rows=tuple(map(_brief_row, judged)),
        notes=(*notes, *left_out, *confidence_notes(marks)),
    )


def lines_grid(judged: Sequence[JudgedClaim]) -> Grid:
    """A row for each contrast in each scope."""
    shown = [
        change for one in judged for line in one.lines for change in (*line.published_for, *line.published_against)
    ]
    return Grid(
        name="claims-contrasts",
        title="Every contrast of the claims",
        columns=COLUMNS,
        rows=tuple(_row(one, line) for one in judged for line in one.lines),
        notes=(*NOTES, *confidence_notes(marks_of(shown))),
    )


def study_grid(judged: Sequence[JudgedClaim], study: str) -> Grid | None:
    """The verdicts that one study gives, named ``STUDY.verdicts``; None where no contrast of a claim has its cells."""
    lines = [(one, line) for one in judged for line in one.lines if line.study == study]
    if not lines:
        return None
    places = [place for place, column in enumerate(COLUMNS) if column.key in OF_STUDY]
    rows = (_row(one, line) for one, line in lines)
    return Grid(
        name=f"{study}.verdicts",
        title="What it says of the paper's claims",
        columns=tuple(replace(COLUMNS[place], wide=COLUMNS[place].key == "next") for place in places),
        rows=tuple(tuple(row[place] for place in places) for row in rows),
        notes=("A verdict is about the scope that stands beside it, and about no other.",),
    )


def _brief_row(one: JudgedClaim) -> tuple[Entry, ...]:
    claim = one.claim
    return (
        Entry(text=str(claim.number), value=claim.number, more=claim.title),
        Entry(text=claim.statement, value=claim.statement),
        Entry(text=claim.said.where, value=claim.said.where, mark=MARKS[claim.said.confidence][0]),
        _text(one.paper) if one.paper_verdict is None else _verdict(one.paper_verdict, more=one.paper),
        _verdict(one.elsewhere_verdict, more=one.elsewhere, share=one.share),
        _text(_how_often(one)),
        _text(one.next),
    )


def _how_often(one: JudgedClaim) -> str:
    """Both counts, each where it says more than its verdict does."""
    if one.claim.judged_by != "contrasts":
        return one.elsewhere
    told = [text for text in (one.paper, one.elsewhere) if text != "not run"]
    return "; ".join(told) if told else f"not run: {len(one.claim.contrasts)} contrasts"


def _row(one: JudgedClaim, line: Line) -> tuple[Entry, ...]:
    title = f"{one.claim.number}. {one.claim.title}"
    estimate = line.estimate
    because = "; ".join([line.why, *line.marks])
    todo = "; ".join([*([line.next] if line.next else []), *line.commands])
    return (
        Entry(text=title, value=title, more=one.claim.statement),
        _text(line.name),
        _verdict(line.verdict, more=because),
        Entry(text=f"{estimate.value:+z.2f}", value=estimate.value) if estimate is not None else _text(""),
        _half_width(estimate),
        _half_width(line.with_images),
        Entry(text=str(estimate.n), value=estimate.n) if estimate is not None else _text(""),
        Entry(text=f"{line.p_holm:.2g}", value=line.p_holm) if line.p_holm is not None else _text(""),
        Entry(text=f"{line.margin:g}", value=line.margin) if line.margin is not None else _text(""),
        _text(line.scope),
        _text(line.study if line.study is not None else ""),
        _text(because),
        _text(todo),
        _published(line.published_for),
        _published(line.published_against),
    )


def _text(text: str) -> Entry:
    """A dash where there is nothing to say; the verdict beside it says why."""
    return Entry(text=text, value=text) if text else Entry(text=DASH)


def _half_width(estimate: Estimate | None) -> Entry:
    interval = estimate.interval(LEVEL) if estimate is not None else None
    if interval is None:
        return Entry(text=DASH)
    half_width = (interval[1] - interval[0]) / 2
    return Entry(text=f"{half_width:.2f}", value=half_width)


def _verdict(verdict: Verdict, *, more: str, share: tuple[int, int] | None = None) -> Entry:
    """With how many of how many contrasts hold, where it is not all of them: a claim never holds by a part of it."""
    tone: Tone = "" if verdict == "no verdict" else verdict
    text = verdict if share is None else f"{verdict} ({share[0]} of {share[1]} contrasts)"
    return Entry(text=text, value=text, tone=tone, more=more)


def _published(changes: Iterable[Change]) -> Entry:
    told = list(changes)
    if not told:
        return Entry(text="none found", value="none found")
    text = "; ".join(change.text for change in told)
    return Entry(text=text, value=text, mark=" ".join(marks_of(told)), more="; ".join(change.source for change in told))
