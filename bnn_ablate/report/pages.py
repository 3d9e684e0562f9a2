"""The files of a report: three for each study, and an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from bnn_ablate.atomic import write_atomically
from bnn_ablate.report.cells import loose_cells, runs_of_no_study, study_cells
from bnn_ablate.report.labels import sorted_cells
from bnn_ablate.report.numbers import counted, markdown
from bnn_ablate.report.runs import OTHER_RUNS, Contents
from bnn_ablate.report.sheets import cells_csv, runs_csv
from bnn_ablate.report.tables import Table, make_table, to_markdown


def tables(contents: Contents) -> list[Table]:
    """A table a study, by name, and one of the runs that belong to none, where there are such."""
    made = [make_table(name, study_cells(study, contents.runs)) for name, study in sorted(contents.studies.items())]
    others = runs_of_no_study(contents)
    if others:
        made.append(make_table(OTHER_RUNS, sorted_cells(loose_cells(others))))
    return made


def write_report(contents: Contents, out: Path) -> list[Table]:
    """Write the files of all tables and the index to ``out``; the same contents give the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    made = tables(contents)
    for table in made:
        write_atomically(out / f"{table.name}.md", to_markdown(table).encode())
        write_atomically(out / f"{table.name}.csv", cells_csv(table).encode())
        write_atomically(out / f"{table.name}.runs.csv", runs_csv(table).encode())
    write_atomically(out / "index.md", index(made, contents.problems).encode())
    return made


def index(made: Sequence[Table], problems: Sequence[str]) -> str:
    """The page that lists the studies with the number of their cells and runs."""
    lines = ["# Studies", ""]
    if made:
        lines += [
            "| study | cells | planned runs | done | failed | diverged | other |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
    else:
        lines.append("There are no runs yet.")
    for table in made:
        states = Counter(run.state for cell in table.cells for run in cell.runs)
        told = [states[state] for state in ("done", "failed", "diverged")]
        numbers = [len(table.cells), states.total(), *told, states.total() - sum(told)]
        link = f"[{markdown(table.name)}]({quote(table.name)}.md)"
        lines.append(f"| {link} | " + " | ".join(map(str, numbers)) + " |")
    if problems:
        lines += ["", f"{counted(len(problems), 'problem')}:", "", *(f"- {markdown(problem)}" for problem in problems)]
    return "\n".join(lines) + "\n"
