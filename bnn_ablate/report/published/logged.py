"""Which of the authors' logs belongs beside a cell of ours: the declared tables pair them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bnn_ablate.report.charts.authors import LoggedCurve, logged_curves
from bnn_ablate.report.published.declared import DeclarationError, RowsTable, read_declared
from bnn_ablate.report.published.figures import read_published
from bnn_ablate.report.published.options import OptionsError, options_of
from bnn_ablate.report.published.scopes import row_key
from bnn_ablate.report.smoke import is_cut
from bnn_ablate.report.sources import Sources
from bnn_ablate.report.tables import Table

#: The files of the logs: what each was of, and its curve.
LOGS, CURVES = "runs.csv", "curves.csv"

#: A table's name and the place of a cell in it.
Place = tuple[str, int]


def logs_beside(tables: Sequence[Table], sources: Sources) -> dict[Place, LoggedCurve]:
    """The authors' curve for each cell that stands in a row of a declared table with one log; smoke tests have none.

    Rows whose log is of another network than ours have none either. Raises DeclarationError or PublishedError.
    """
    logs = _logs(sources)
    found: dict[Place, str] = {}
    for table in tables:
        for place, cell in enumerate(table.cells):
            leaves = cell.leaves
            if leaves and not is_cut(leaves) and (log := logs.get(row_key(leaves))) is not None:
                found[table.name, place] = log
    if not found:
        return {}  # the curves are the largest of the files
    curves, runs = (read_published(sources.published / name) for name in (CURVES, LOGS))
    logged = logged_curves(curves, runs, set(found.values()))
    return {key: logged[log] for key, log in found.items()}


def of_table(table: Table, logs: Mapping[Place, LoggedCurve]) -> list[tuple[int, LoggedCurve]]:
    """The pairs of one table, in the order of its rows."""
    return [(place, logs[table.name, place]) for place in range(len(table.cells)) if (table.name, place) in logs]


def _logs(sources: Sources) -> dict[frozenset[tuple[str, str]], str]:
    """The log of each row by the settings that decide the row."""
    options = options_of(sources.conf)
    named: dict[frozenset[tuple[str, str]], str] = {}
    for name, table in read_declared(sources.declared).items():
        if isinstance(table, RowsTable):
            of_logs = [key for key, source in table.published.items() if source.file == LOGS]
            for row in table.rows:
                logs = [row.published[key]["log"] for key in of_logs if "log" in row.published.get(key, {})]
                if row.options is not None and row.unlike is None and len(logs) == 1:
                    try:
                        leaves = options.leaves({**table.options, **row.options})
                    except OptionsError as error:
                        raise DeclarationError(f"{name}.yaml: {error}") from None
                    named.setdefault(row_key(leaves), logs[0])
    return named
