"""The sections of the page that runs fill: one a study, and one of what no study can show alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bnn_ablate.record import RecordError
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.claims.grids import study_grid as verdicts_grid
from bnn_ablate.report.claims.lines import JudgedClaim
from bnn_ablate.report.claims.words import DATA
from bnn_ablate.report.effects.grids import effect_grids
from bnn_ablate.report.effects.twins import gap_grid
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.grid import Chart, Grid, Section
from bnn_ablate.report.labels import sorted_cells
from bnn_ablate.report.published.declared import DeclarationError
from bnn_ablate.report.published.figures import PublishedError
from bnn_ablate.report.runs import OTHER_RUNS, Contents
from bnn_ablate.report.smoke import is_smoke
from bnn_ablate.report.sources import Sources
from bnn_ablate.report.table_grids import study_grid
from bnn_ablate.report.tables import Table, make_table

#: Figures that a study shows at once; the others open.
SHOWN = ("waterfall", "effects", "curves", "authors")


def anchor_of(table: Table) -> str:
    return f"study-{table.name}"


def in_order(made: Sequence[Table]) -> list[Table]:
    """What can be evidence, smoke tests, what has no run yet, and the runs of no study; each by name."""

    def place(table: Table) -> tuple[bool, bool, bool, str]:
        begun = any(cell.leaves for cell in table.cells)
        return table.name == OTHER_RUNS, not begun, is_smoke_test(table), table.name

    return sorted(made, key=place)


def is_smoke_test(table: Table) -> bool:
    """Whether all of its runs have images that are made to be quick, or cut."""
    known = [cell.leaves for cell in table.cells if cell.leaves]
    return bool(known) and all(map(is_smoke, known))


def study_sections(
    made: Sequence[Table],
    effects: Mapping[str, StudyEffects | None],
    judged: Sequence[JudgedClaim],
    charts: Mapping[str, Sequence[Chart]],
) -> list[Section]:
    """What each study measured and what follows; means over other axes, costs and a smoke test's figures open."""
    inner = tuple(_study(table, effects[table.name], judged, charts.get(table.name, ())) for table in made)
    return [Section(anchor="studies", title="Studies", parts=inner)] if inner else []


def _study(
    table: Table, effects: StudyEffects | None, judged: Sequence[JudgedClaim], charts: Sequence[Chart]
) -> Section:
    verdicts = verdicts_grid(judged, table.name)
    grids = effect_grids(effects) if effects is not None else []
    over_others = [grid for grid in grids if grid.name.endswith((".main-effects", ".interactions"))]
    means = [chart for chart in charts if chart.kind == "interactions" or ".main-effects" in chart.name]
    smoke = is_smoke_test(table)
    shown = [chart for chart in charts if chart not in means and chart.kind in SHOWN and not smoke]
    rest = [chart for chart in charts if chart not in means and chart not in shown]
    parts: list[Grid | Chart | Section] = [
        study_grid(table),
        *([] if verdicts is None else [verdicts]),
        *(grid for grid in grids if grid not in over_others),
        *shown,
    ]
    parts += _folded(f"{anchor_of(table)}-means", "Main effects and interactions", [*over_others, *means])
    parts += _folded(f"{anchor_of(table)}-figures", "Figures" if smoke else "More figures", rest)
    return Section(anchor=anchor_of(table), title=table.name, parts=tuple(parts))


def _folded(anchor: str, title: str, parts: Sequence[Grid | Chart]) -> list[Section]:
    """A section that opens and says what is in it; none for nothing."""
    if not parts:
        return []
    kinds = [part.title.partition(": ")[2] for part in parts if isinstance(part, Chart)]
    of = f": {', '.join(dict.fromkeys(kinds))}" if len(kinds) == len(parts) else ""
    return [Section(anchor=anchor, title=f"{title}{of}", parts=tuple(parts), folded=True)]


def charts_of(
    made: Sequence[Table],
    effects: Mapping[str, StudyEffects | None],
    contents: Contents,
    sources: Sources,
    problems: list[str],
) -> dict[str, list[Chart]]:
    """The figures of each study. Only here and in :func:`across_sections` is matplotlib imported."""
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


def across_sections(made: Sequence[Table], *, figures: bool) -> list[Section]:
    """What no study can show alone: float twins, and accuracy against cost over all cells on the same images."""
    parts: list[Grid | Chart] = []
    twins = gap_grid(made)
    if twins is not None:
        parts.append(twins)
    images = _by_images(made) if figures else {}
    versions = Counter(name for name, _ in images)
    for (name, checksum), cells in images.items():
        from bnn_ablate.report.charts.pareto import cost_charts

        version = f" (images {checksum})" if versions[name] > 1 else ""
        title = f"{DATA.get(name, name)}{version}, all studies"
        parts += cost_charts(make_table(f"all.{name}-{checksum}", sorted_cells(cells)), None, title)
    return [Section(anchor="across", title="Across studies", parts=tuple(parts))] if parts else []


def _by_images(made: Sequence[Table]) -> dict[tuple[str, str], list[Cell]]:
    """The cells with a record by the data that they were trained on, each once, where more than one table has some.

    What can be evidence comes first.
    """
    cells: dict[tuple[str, str], dict[str, Cell]] = {}
    names: dict[tuple[str, str], set[str]] = {}
    for table in made:
        for cell in table.cells:
            if cell.records:
                data = cell.records[0].data
                key = (data.name, data.checksum[:8])
                cells.setdefault(key, {}).setdefault(cell.records[0].cell_id, Cell({}, cell.runs))
                names.setdefault(key, set()).add(table.name)

    def place(key: tuple[str, str]) -> tuple[bool, tuple[str, str]]:
        return all(is_smoke(cell.leaves) for cell in cells[key].values()), key

    return {key: list(cells[key].values()) for key in sorted(cells, key=place) if len(names[key]) > 1}
