"""The whole report put together: every table and figure in the order in which a reader asks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bnn_ablate.record import RecordError
from bnn_ablate.report.cells import Cell, loose_cells, runs_of_no_study, study_cells
from bnn_ablate.report.claims.declared import ClaimsError, read_claims
from bnn_ablate.report.claims.figures import Figures, check_figures
from bnn_ablate.report.claims.grids import claims_section
from bnn_ablate.report.claims.grids import study_grid as verdicts_grid
from bnn_ablate.report.claims.lines import JudgedClaim
from bnn_ablate.report.claims.verdicts import judge_claims
from bnn_ablate.report.effects.grids import effect_grids
from bnn_ablate.report.effects.study import study_effects
from bnn_ablate.report.effects.twins import gap_grid
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.grid import Chart, Column, Entry, Grid, Page, Section
from bnn_ablate.report.labels import sorted_cells
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.provenance import provenance_section
from bnn_ablate.report.published.declared import DeclarationError
from bnn_ablate.report.published.figures import PublishedError
from bnn_ablate.report.published.tables import paper_tables, published_grids
from bnn_ablate.report.run_list import runs_grid
from bnn_ablate.report.runs import OTHER_RUNS, Contents
from bnn_ablate.report.sources import Sources
from bnn_ablate.report.table_grids import study_grid
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
    "spread for the study; p-values are adjusted (Holm) within each table.",
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
    """A table a study, by name, and one of the runs that belong to none, where there are such."""
    made = [make_table(name, study_cells(study, contents.runs)) for name, study in sorted(contents.studies.items())]
    others = runs_of_no_study(contents)
    if others:
        made.append(make_table(OTHER_RUNS, sorted_cells(loose_cells(others))))
    return made


def put_together(contents: Contents, out: Path, sources: Sources, *, figures: bool = True) -> Report:
    """The report of ``contents`` for the folder ``out``, from which its links go. The same contents give the same."""
    made = tables(contents)
    problems = list(contents.problems)
    judged, claims = _claims(made, contents, sources, problems)
    beside, alone = _published(made, sources, problems)
    effects = {table.name: study_effects(table, contents.studies.get(table.name)) for table in made}
    charts = _charts(made, effects, contents, sources, problems) if figures else {}
    runs = runs_grid(made, out)
    sections = [
        *beside,
        *_studies(made, effects, judged, charts),
        *_across(made, figures=figures),
        Section(anchor="runs", title="Every run", parts=(runs,)),
        provenance_section(made, contents.studies),
        *alone,
        Section(anchor="reading", title="How to read this", text=READING),
    ]
    # what the runs have is what a reader filters by; each published table would add words of its own
    keys = {column.key for column in runs.columns}
    sections = [*claims, *(_filtered(section, keys) for section in sections)]
    page = Page(title=TITLE, made_of=_made_of(made), problems=tuple(problems), sections=tuple(sections))
    return Report(page=page, tables=tuple(made), judged=tuple(judged))


def _made_of(made: Sequence[Table]) -> str:
    runs = {id(run): run for table in made for cell in table.cells for run in cell.runs}
    states = Counter(run.state for run in runs.values())
    studies = sum(table.name != OTHER_RUNS for table in made)
    told = "1 study" if studies == 1 else f"{studies} studies"
    return f"Made of {counted(states['done'], 'record')} of {counted(states.total(), 'run')} in {told}."


def _claims(
    made: Sequence[Table], contents: Contents, sources: Sources, problems: list[str]
) -> tuple[list[JudgedClaim], list[Section]]:
    try:
        claims, figures = read_claims(sources.claims), Figures(sources.published)
        check_figures(claims, figures, sources.claims)
        judged = judge_claims(claims, made, contents.studies, figures)
    except (ClaimsError, PublishedError) as error:
        problems.append(_short(error, sources.claims))
        return [], []
    return judged, [_named(claims_section(judged, claims.left_out), "claims")]


def _published(made: Sequence[Table], sources: Sources, problems: list[str]) -> tuple[list[Section], list[Section]]:
    """The declared tables: those in which a run of ours stands beside published figures, and those without any."""
    links = {table.name: f"index.html#{_anchor(table)}" for table in made}
    try:
        grids = paper_tables(sources.declared, sources.published, sources.conf, made, links)
        others = published_grids(sources.declared, sources.published, sources.conf)
    except (DeclarationError, PublishedError) as error:
        problems.append(str(error))
        return [], []
    beside = tuple(grid for grid in grids if _has_ours(grid))
    alone = tuple(grid for grid in (*grids, *others) if grid not in beside)
    return _section("paper", "The paper's tables", BESIDE, beside), _section(
        "published", "Published figures without runs of ours", ALONE, alone
    )


def _section(anchor: str, title: str, text: str, grids: tuple[Grid, ...]) -> list[Section]:
    return [_named(Section(anchor=anchor, title=title, text=(text,), parts=grids), "paper")] if grids else []


def _has_ours(grid: Grid) -> bool:
    """Whether a number of ours stands in it."""
    ours = [
        place
        for place, column in enumerate(grid.columns)
        if column.key.startswith("ours_") and not column.key.endswith(("_n", "_planned"))
    ]
    return any(row[place].value is not None for row in grid.rows for place in ours)


def _studies(
    made: Sequence[Table],
    effects: Mapping[str, StudyEffects | None],
    judged: Sequence[JudgedClaim],
    charts: Mapping[str, Sequence[Chart]],
) -> list[Section]:
    inner = []
    for table in made:
        of_study, verdicts = effects[table.name], verdicts_grid(judged, table.name)
        grids = effect_grids(of_study) if of_study is not None else []
        parts: list[Grid | Chart] = [study_grid(table), *([] if verdicts is None else [verdicts]), *grids]
        parts += charts.get(table.name, ())
        inner.append(Section(anchor=_anchor(table), title=table.name, parts=tuple(parts)))
    return [Section(anchor="studies", title="Studies", parts=tuple(inner))] if inner else []


def _charts(
    made: Sequence[Table],
    effects: Mapping[str, StudyEffects | None],
    contents: Contents,
    sources: Sources,
    problems: list[str],
) -> dict[str, list[Chart]]:
    """The figures of each study. Only here and in :func:`_across` is matplotlib imported."""
    from bnn_ablate.report.charts.study import study_charts
    from bnn_ablate.report.published.logged import logs_beside, of_table

    try:
        logs = logs_beside(made, sources)
    except (DeclarationError, PublishedError) as error:
        problems.extend([] if str(error) in problems else [str(error)])
        logs = {}
    flips = _flips(contents, problems)
    return {table.name: study_charts(table, effects[table.name], flips, of_table(table, logs)) for table in made}


def _flips(contents: Contents, problems: list[str]) -> Callable[[str], Mapping[int, float]]:
    """Reads a run's sign flips when a chart asks; a damaged file is a problem, and the run has none."""
    from bnn_ablate.report.charts.curves import read_flips

    def flips(run_id: str) -> Mapping[int, float]:
        folder = contents.runs[run_id].folder
        if folder is None:
            return {}
        try:
            return read_flips(folder / "diagnostics.csv")
        except RecordError as error:
            problem = str(error).removeprefix(f"{folder.parent}/")
            problems.extend([problem] if problem not in problems else [])
            return {}

    return flips


def _across(made: Sequence[Table], *, figures: bool) -> list[Section]:
    """What no study can show alone: float twins, and accuracy against cost over all cells on the same images."""
    parts: list[Grid | Chart] = []
    twins = gap_grid(made)
    if twins is not None:
        parts.append(twins)
    for name, cells in _by_images(made).items() if figures else ():
        from bnn_ablate.report.charts.pareto import cost_charts

        parts += cost_charts(make_table(f"all.{name}", sorted_cells(cells)), None)
    if not parts:
        return []
    return [_named(Section(anchor="across", title="Across studies", parts=tuple(parts)), "all")]


def _by_images(made: Sequence[Table]) -> dict[str, list[Cell]]:
    """The cells with a record by the data that they were trained on, each once, where more than one table has some."""
    cells: dict[str, dict[str, Cell]] = {}
    names: dict[str, set[str]] = {}
    for table in made:
        for cell in table.cells:
            if cell.records:
                data = cell.records[0].data
                key = f"{data.name}-{data.checksum[:8]}"
                cells.setdefault(key, {}).setdefault(cell.records[0].cell_id, Cell({}, cell.runs))
                names.setdefault(key, set()).add(table.name)
    return {key: list(cells[key].values()) for key in sorted(cells) if len(names[key]) > 1}


def _anchor(table: Table) -> str:
    return f"study-{table.name}"


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
