"""``python -m bnn_ablate.report``: the report of all records."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bnn_ablate.atomic import write_atomically
from bnn_ablate.report.numbers import counted, one_line
from bnn_ablate.report.runs import read_stores
from bnn_ablate.report.sources import RECORDS, Sources
from bnn_ablate.report.tables import ReportError

HELP = """\
python -m bnn_ablate.report [runs=DIR]... [out=DIR] [into=FILE]... [figures=no]

Makes the report of all runs: verdicts on the paper's claims, tables beside published figures, effects, figures.

  runs=DIR   folder of runs; several times to join folders (default: runs, where it is there, and reports/records of the
             checkout, which holds records of reference runs)
  out=DIR    folder of the report (default: reports)
  into=FILE  a page of Markdown of yours whose tables are made anew, between the lines
             <!-- table NAME columns=KEY,KEY where=KEY=VALUE --> and <!-- /table -->; NAME as in DIR/tables
  figures=no   tables alone, for a quick look: drawing takes longest

Writes index.html, which needs no other file, index.md in short, tables/ (Markdown, LaTeX, CSV) and figures/ (SVG, PDF).
STUDY.csv has a line a cell, STUDY.runs.csv a line a run. What an earlier report made and this one does not is removed.
The same records give the same bytes. Exit status: 0; 1 if something could not be read; 2 if the command is wrong; 130
if it was stopped.
"""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The folders of runs, the folder of the report, pages that take tables, and whether figures are drawn."""

    roots: tuple[Path, ...]
    out: Path
    into: tuple[Path, ...]
    figures: bool


def main(arguments: Sequence[str], sources: Sources | None = None) -> int:
    """Make the report and return the exit status. ``sources`` are the checkout's unless given."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return 0
    try:
        asked = read_arguments(arguments)
        with _uncollected():
            return _make(asked, Sources() if sources is None else sources)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing is written", file=sys.stderr)
        return 130


def _make(asked: Asked, sources: Sources) -> int:
    # A wrong argument must not wait for what draws and writes.
    from bnn_ablate.report.grid import Grid
    from bnn_ablate.report.into import with_tables
    from bnn_ablate.report.pages import parts_of, put_together
    from bnn_ablate.report.writing import report_files

    out = asked.out
    report = put_together(read_stores(asked.roots), out, sources, figures=asked.figures)
    problems = report.page.problems
    for problem in problems:
        print(one_line(problem), file=sys.stderr)
    grids = {part.name: part for part in parts_of(report.page.sections) if isinstance(part, Grid)}
    pages = {page: with_tables(_text(page), grids, str(page)) for page in asked.into}
    files = report_files(report)
    try:
        _write(out, files, pages)
    except KeyboardInterrupt:
        print(f"stopped; each file of {out} is whole, and the next report writes the others", file=sys.stderr)
        return 130
    for table in report.tables:
        planned = sum(len(cell.runs) for cell in table.cells)
        done = sum(len(cell.records) for cell in table.cells)
        name = one_line(table.name)
        print(f"{out}/tables/{name}.md: {counted(len(table.cells), 'cell')}, {done} of {counted(planned, 'run')} done")
    verdicts = Counter(line.verdict for one in report.judged for line in one.lines)
    told = ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items()))
    if told:
        print(f"verdicts on {counted(len(report.judged), 'claim')}: {told}")
    print(f"{out}/index.html: {counted(len(report.tables), 'table')}, {counted(len(problems), 'problem')}")
    return 1 if problems else 0


def _write(out: Path, files: Mapping[str, bytes], pages: Mapping[Path, str]) -> None:
    from bnn_ablate.report.files import write_files

    try:
        write_files(out, files)
    except OSError as error:
        raise ReportError(f"out={out} cannot be written: {error.strerror}") from None
    for page, text in pages.items():
        try:
            write_atomically(page, text.encode())
        except OSError as error:
            raise ReportError(f"into={page} cannot be written: {error.strerror}") from None


def read_arguments(arguments: Sequence[str]) -> Asked:
    """Raises ReportError with one sentence."""
    given: dict[str, list[str]] = {"runs": [], "out": [], "into": [], "figures": []}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in given or not value:
            raise ReportError(
                f"{argument} is not an argument: give runs=DIR, out=DIR, into=FILE or figures=no (--help says more)"
            )
        given[key].append(value)
    for key in ("out", "figures"):
        if len(given[key]) > 1:
            raise ReportError(f"{key}= can be given once, not {len(given[key])} times")
    if given["figures"] not in ([], ["no"], ["yes"]):
        raise ReportError(f"figures={given['figures'][0]} is neither yes nor no")
    roots = [Path(value) for value in given["runs"]]
    for root in roots:
        if not root.is_dir():
            raise ReportError(f"runs={root}: there is no such folder")
    if not roots:
        roots = [root for root in (Path("runs"), RECORDS) if root.is_dir()]
    out = Path(given["out"][0] if given["out"] else "reports")
    into = tuple(Path(value) for value in given["into"])
    return Asked(roots=tuple(roots), out=out, into=into, figures=given["figures"] != ["no"])


def _text(page: Path) -> str:
    try:
        return page.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ReportError(f"into={page} cannot be read: {reason}") from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """Nothing that a report holds is a cycle; the collector would visit all of it again and again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
