"""``python -m bnn_ablate.report``: tables from the records."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bnn_ablate.report.numbers import counted, one_line
from bnn_ablate.report.pages import write_report
from bnn_ablate.report.runs import read_stores
from bnn_ablate.report.tables import ReportError

HELP = """\
python -m bnn_ablate.report [runs=DIR]... [out=DIR]

Makes a table for each study: mean test accuracy over seeds with its 95 % interval, size, MACs and time.

  runs=DIR   folder of runs (default: runs); give it several times to join folders
  out=DIR    folder of the tables (default: reports)

Writes index.md, and for each study STUDY.md, STUDY.csv (a line a cell) and STUDY.runs.csv (a line a run). The same
records give the same bytes. Exit status: 0; 1 if something could not be read; 2 if the command is wrong.
"""


def main(arguments: Sequence[str]) -> int:
    """Make the report and return the exit status."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return 0
    try:
        roots, out = read_arguments(arguments)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    contents = read_stores(roots)
    for problem in contents.problems:
        print(one_line(problem), file=sys.stderr)
    made = write_report(contents, out)
    for table in made:
        planned = sum(len(cell.runs) for cell in table.cells)
        done = sum(len(cell.records) for cell in table.cells)
        name = one_line(table.name)
        print(f"{out}/{name}.md: {counted(len(table.cells), 'cell')}, {done} of {counted(planned, 'run')} done")
    print(f"{out}/index.md: {counted(len(made), 'table')}, {counted(len(contents.problems), 'problem')}")
    return 1 if contents.problems else 0


def read_arguments(arguments: Sequence[str]) -> tuple[list[Path], Path]:
    """The folders of runs and of the tables; raises ReportError with one sentence."""
    given: dict[str, list[str]] = {"runs": [], "out": []}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in given or not value:
            raise ReportError(f"{argument} is not an argument: give runs=DIR or out=DIR (--help says more)")
        given[key].append(value)
    if len(given["out"]) > 1:
        raise ReportError(f"out= can be given once, not {len(given['out'])} times")
    roots = [Path(value) for value in (given["runs"] if given["runs"] else ["runs"])]
    for root in roots:
        if not root.is_dir():
            raise ReportError(f"runs={root}: there is no such folder")
    return roots, Path(given["out"][0] if given["out"] else "reports")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
