"""The whole report put together: every table and figure in the order in which a reader asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bnn_ablate.report.cells import loose_cells, runs_of_no_study, study_cells
from bnn_ablate.report.charts.reading import HOW
from bnn_ablate.report.claims.declared import ClaimsError, read_claims
from bnn_ablate.report.claims.figures import Figures, check_figures
from bnn_ablate.report.claims.grids import claims_section
from bnn_ablate.report.claims.lines import JudgedClaim
from bnn_ablate.report.claims.verdicts import judge_claims
from bnn_ablate.report.effects.estimates import Estimator, estimator_of
from bnn_ablate.report.effects.study import study_effects
from bnn_ablate.report.grid import Chart, Column, Entry, Grid, Page, Section
from bnn_ablate.report.labels import sorted_cells
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.provenance import provenance_section
from bnn_ablate.report.published.declared import DeclarationError
from bnn_ablate.report.published.figures import PublishedError
from bnn_ablate.report.published.tables import paper_tables, published_grids
from bnn_ablate.report.run_list import runs_grid
from bnn_ablate.report.runs import OTHER_RUNS, Contents
from bnn_ablate.report.sections import across_sections, anchor_of, charts_of, in_order, study_sections
from bnn_ablate.report.sources import Sources
from bnn_ablate.report.tables import Table, make_table

TITLE = "Which design choices of a binary network matter"

BESIDE = (
    "The paper's tables and the authors' logs, and beside them our runs of the same network, of whichever study. How "
    "our runs differ from theirs in scope stands in the titles of our columns."
)
ALONE = "Tables of the paper, the authors and others of which no run of ours is done, and costs computed from formulas."

READING = (
    "A row is a cell: runs that differ in their seed only. n says how many of its planned runs are done; nothing else "
    "is in a mean. What is missing, failed or diverged is shown as such and never as a number.",
    "± is a 95 % Student-t interval: over seeds, and where it says so over the sample of test images too. One run has "
    "none. Effects are differences between cells in points of top-1, estimated with the seeds as blocks and one pooled "
    "spread for the study. p-values are adjusted (Holm): of effects within their kind in a study, of claims within the "
    "contrasts of a claim in a study, of float twins within their table.",
    "A verdict speaks about its scope, which stands beside it: data, width, epochs, order. What the paper claims at "
    "its own size is judged by runs of that size alone.",
    "Published figures carry a mark where they are not read from the authors' logs or code; below each table stands "
    "what the mark means. They are single runs, so that no interval is known.",
    "docs/STATISTICS.md says what intervals and verdicts mean, and what they do not.",
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """The page, and the tables of the studies that stand on it."""

    page: Page
    tables: tuple[Table, ...]
    judged: tuple[JudgedClaim, ...]


def tables(contents: Contents) -> list[Table]:
    """A table a study, smoke tests last, and one of the runs that belong to none, where there are such."""
    made = [make_table(name, study_cells(study, contents.runs)) for name, study in contents.studies.items()]
    others = runs_of_no_study(contents)
    if others:
        made.append(make_table(OTHER_RUNS, sorted_cells(loose_cells(others))))
    return in_order(made)


def put_together(contents: Contents, out: Path, sources: Sources, *, figures: bool = True) -> Report:
    """The report of ``contents`` for the folder ``out``, from which its links go. The same contents give the same."""
    made = tables(contents)
    problems = list(contents.problems)
    # effects and claims ask the same fits, which are the dearest part of a report without figures
    estimators = {table.name: estimator_of(table.cells) for table in made}
    judged, claims = _claims(made, contents, sources, estimators, problems)
    beside, alone = _published(made, sources, problems)
    effects = {
        table.name: study_effects(table, contents.studies.get(table.name), estimators[table.name]) for table in made
    }
    charts = charts_of(made, effects, contents, sources, problems) if figures else {}
    runs = runs_grid(made, out)
    sections = [
        *beside,
        *study_sections(made, effects, judged, charts),
        *(_named(section, "all") for section in across_sections(made, figures=figures)),
        Section(anchor="runs", title="Every run", parts=(runs,)),
        provenance_section(made, contents.studies),
        *alone,
    ]
    sections.append(_reading(sections))
    # what the runs have is what a reader filters by; each published table would add words of its own
    keys = {column.key for column in runs.columns}
    sections = [*claims, *(_filtered(section, keys) for section in sections)]
    page = Page(title=TITLE, made_of=_made_of(made), problems=tuple(problems), sections=tuple(sections))
    return Report(page=page, tables=tuple(made), judged=tuple(judged))


def _reading(sections: Sequence[Section]) -> Section:
    """How to read numbers and verdicts, and each kind of figure that the page has."""
    kinds = {part.kind for part in parts_of(sections) if isinstance(part, Chart)}
    figures = (
        Section(anchor=f"reading-{kind}", title=f"Figures: {title}", text=(text,), folded=True)
        for kind, (title, text) in HOW.items()
        if kind in kinds
    )
    return Section(anchor="reading", title="How to read this", text=READING, parts=tuple(figures))


def _made_of(made: Sequence[Table]) -> str:
    runs = {id(run): run for table in made for cell in table.cells for run in cell.runs}
    states = Counter(run.state for run in runs.values())
    studies = sum(table.name != OTHER_RUNS for table in made)
    told = "1 study" if studies == 1 else f"{studies} studies"
    return f"Made of {counted(states['done'], 'record')} of {counted(states.total(), 'run')} in {told}."


def _claims(
    made: Sequence[Table],
    contents: Contents,
    sources: Sources,
    estimators: Mapping[str, Estimator],
    problems: list[str],
) -> tuple[list[JudgedClaim], list[Section]]:
    try:
        claims, figures = read_claims(sources.claims), Figures(sources.published)
        check_figures(claims, figures, sources.claims)
        judged = judge_claims(claims, made, contents.studies, figures, sources.conf, estimators)
    except (ClaimsError, PublishedError) as error:
        problems.append(_short(error, sources.claims))
        return [], []
    return judged, [_named(claims_section(judged, claims.left_out), "claims")]


def _published(made: Sequence[Table], sources: Sources, problems: list[str]) -> tuple[list[Section], list[Section]]:
    """The declared tables: those in which a run of ours stands beside published figures, and those without any."""
    links = {table.name: f"index.html#{anchor_of(table)}" for table in made}
    try:
        grids = paper_tables(sources.declared, sources.published, sources.conf, made, links)
        others = published_grids(sources.declared, sources.published, sources.conf)
    except (DeclarationError, PublishedError) as error:
        problems.append(str(error))
        return [], []
    beside = tuple(grid for grid in grids if _ours(grid))
    alone = tuple(grid for grid in (*grids, *others) if grid not in beside)
    filled, single = (tuple(grid for grid in beside if (_ours(grid) > 1) == many) for many in (True, False))
    parts: tuple[Grid | Section, ...] = (
        (*filled, *_folded("paper-single", " with one row of ours", single)) if filled else single
    )
    return _section("paper", "The paper's tables", BESIDE, parts), _section(
        "published", "Published figures without runs of ours", ALONE, _folded("published-all", "", alone)
    )


def _folded(anchor: str, what: str, grids: tuple[Grid, ...]) -> tuple[Section, ...]:
    title = f"{counted(len(grids), 'table')}{what}: {'; '.join(grid.title for grid in grids)}"
    return (Section(anchor=anchor, title=title, parts=grids, folded=True),) if grids else ()


def _section(anchor: str, title: str, text: str, parts: tuple[Grid | Section, ...]) -> list[Section]:
    return [_named(Section(anchor=anchor, title=title, text=(text,), parts=parts), "paper")] if parts else []


def _ours(grid: Grid) -> int:
    """How many rows of it have a number of ours."""
    ours = [
        place
        for place, column in enumerate(grid.columns)
        if column.key.startswith("ours_") and not column.key.endswith(("_n", "_planned"))
    ]
    return sum(any(row[place].value is not None for place in ours) for row in grid.rows)


def _short(error: Exception, path: Path) -> str:
    """The message without the way to the checkout."""
    return str(error).replace(f"{path.parent}/", "")


def _named(section: Section, prefix: str) -> Section:
    """Its files named with a dot, which no study's name has: no study can take their place."""

    def renamed(name: str) -> str:
        own = name.removeprefix(prefix).lstrip("-.")
        return f"{prefix}.{own if own else 'all'}"

    return _changed(section, lambda part: replace(part, name=renamed(part.name)))


def _filtered(section: Section, keys: Container[str]) -> Section:
    """Its tables filtered by these columns only."""

    def change(part: Grid | Chart) -> Grid | Chart:
        if isinstance(part, Chart):
            return part
        columns = (replace(one, filtered=one.filtered and one.key in keys) for one in part.columns)
        return replace(part, columns=tuple(columns))

    return _changed(section, change)


def _changed(section: Section, change: Callable[[Grid | Chart], Grid | Chart]) -> Section:
    parts = (_changed(part, change) if isinstance(part, Section) else change(part) for part in section.parts)
    return replace(section, parts=tuple(parts))


def parts_of(sections: Sequence[Section]) -> Iterator[Grid | Chart]:
    """All tables and figures in their order."""
    for section in sections:
        for part in section.parts:
            if isinstance(part, Section):
                yield from parts_of([part])
            else:
                yield part


def studies_grid(made: Sequence[Table]) -> Grid:
    """A row a study: its cells, and what became of its runs."""
    rows = []
    for table in made:
        states = Counter(run.state for cell in table.cells for run in cell.runs)
        told = [states[state] for state in ("done", "failed", "diverged")]
        numbers = [len(table.cells), states.total(), *told, states.total() - sum(told)]
        rows.append(
            (
                Entry(text=table.name, value=table.name, link=f"tables/{table.name}.md"),
                *(Entry(text=str(number), value=number) for number in numbers),
            )
        )
    titles = ("cells", "planned runs", "done", "failed", "diverged", "other")
    columns = (Column(title="study", key="study"), *(Column(title=title, key=title, numeric=True) for title in titles))
    return Grid(name="all.studies", title="Studies", columns=columns, rows=tuple(rows))
