"""A report as files: the page, each table in three formats, each figure in two, and a short index."""

from __future__ import annotations

from dataclasses import replace

from bnn_ablate.report.grid import Chart, Entry, Grid
from bnn_ablate.report.numbers import counted, markdown
from bnn_ablate.report.pages import Report, parts_of, studies_grid
from bnn_ablate.report.sheets import cells_csv, runs_csv
from bnn_ablate.report.site.page import to_html
from bnn_ablate.report.writers.csv import to_csv
from bnn_ablate.report.writers.latex import to_latex, to_latex_document
from bnn_ablate.report.writers.markdown import table_lines, to_markdown

#: The document that takes in every table; as all names of ours it has a dot, which no study's has.
ALL_TABLES = "all.tables"


def report_files(report: Report) -> dict[str, bytes]:
    """The content of each file by its path in the report's folder; the same for the same report."""
    files: dict[str, bytes] = {}

    def add(name: str, content: str | bytes) -> None:
        assert name not in files, name
        # half of a UTF-16 pair is legal in JSON and illegal in a file
        files[name] = content if isinstance(content, bytes) else content.encode("utf-8", "replace")

    studies = {table.name: table for table in report.tables}
    for part in parts_of(report.page.sections):
        if isinstance(part, Chart):
            add(f"figures/{part.name}.svg", part.svg)
            add(f"figures/{part.name}.pdf", part.pdf)
        else:
            add(f"tables/{part.name}.md", to_markdown(_from_tables(part)))
            add(f"tables/{part.name}.tex", to_latex(part))
            if part.name in studies:  # the numbers that a person reads in one column have one each there
                add(f"tables/{part.name}.csv", cells_csv(studies[part.name]))
                add(f"tables/{part.name}.runs.csv", runs_csv(studies[part.name]))
            else:
                add(f"tables/{part.name}.csv", to_csv(part))
    written = [part.name for part in parts_of(report.page.sections) if isinstance(part, Grid)]
    add(f"tables/{ALL_TABLES}.tex", to_latex_document(written))
    add("index.md", index(report))
    add("index.html", to_html(report.page))
    return files


def index(report: Report) -> str:
    """Verdicts and studies in short, with links to the tables."""
    problems = report.page.problems
    lines = [f"# {markdown(report.page.title)}", "", markdown(report.page.made_of), ""]
    if problems:
        lines += [f"{counted(len(problems), 'problem')}:", "", *(f"- {markdown(problem)}" for problem in problems), ""]
    lines += ["index.html is the whole report.", ""]
    grids = [part for part in parts_of(report.page.sections) if isinstance(part, Grid)]
    claims = next((grid for grid in grids if grid.name == "claims.all"), None)
    if claims is not None:
        lines += ["## Verdicts", "", *table_lines(claims), ""]
    lines += ["## Studies", ""]
    lines += table_lines(studies_grid(report.tables)) if report.tables else ["There are no runs yet."]
    beside = [grid for grid in grids if grid.name.startswith("paper.")]
    if beside:
        lines += ["", "## Beside published figures", ""]
        lines += [f"- [{markdown(grid.title)}](tables/{grid.name}.md)" for grid in beside]
    return "\n".join(lines) + "\n"


def _from_tables(grid: Grid) -> Grid:
    """Links of the page, as they go from the folder of tables."""
    return replace(grid, rows=tuple(tuple(map(_up, row)) for row in grid.rows))


def _up(entry: Entry) -> Entry:
    return entry if entry.link is None or "://" in entry.link else replace(entry, link=f"../{entry.link}")
