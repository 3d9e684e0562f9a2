"""The declared tables as grids: published figures, with their source and mark, beside our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.numbers import significant
from bnn_ablate.report.published.declared import (
    DeclarationError,
    DeclaredTable,
    ListTable,
    MethodsTable,
    RowsTable,
    Shown,
    read_declared,
)
from bnn_ablate.report.published.figures import (
    PublishedError,
    PublishedFile,
    PublishedRow,
    confidence_notes,
    read_published,
)
from bnn_ablate.report.published.method_table import methods_grid
from bnn_ablate.report.published.options import Options, OptionsError, options_of
from bnn_ablate.report.published.ours import find_cells, full_size_top1, our_columns, our_entries, scope_notes
from bnn_ablate.report.published.scopes import OurCell, pooled
from bnn_ablate.report.tables import Table

#: Behind figures that were logged of another network than the row's.
UNLIKE = "†"
MINUS = "\N{MINUS SIGN}"
NOT_FOUND = Entry(text="not found", more="no source gives this figure")


@dataclass(frozen=True)
class Maker:
    """What all declared tables are made from."""

    options: Options
    published: Path
    ours: Sequence[OurCell]
    links: Mapping[str, str]

    def file(self, name: str) -> PublishedFile:
        if "/" in name:
            raise PublishedError(f"{name} is no file of {self.published.name}/: give its name alone")
        return read_published(self.published / name)


def paper_tables(
    declared: Path, published: Path, conf: Path, tables: Sequence[Table], links: Mapping[str, str]
) -> list[Grid]:
    """The declared tables that have something of ours, by name: runs of any study, and computed costs.

    ``links`` lead from a study's name to where the report shows it. Raises DeclarationError or PublishedError with one
    sentence that names the file and the field.
    """
    maker = Maker(options_of(conf), published, pooled([(table.name, table.cells) for table in tables]), links)
    return [_grid(maker, name, table) for name, table in _declared(declared) if not isinstance(table, ListTable)]


def published_grids(declared: Path, published: Path, conf: Path) -> list[Grid]:
    """The declared tables of published figures alone, by name. Raises as :func:`paper_tables` does."""
    maker = Maker(options_of(conf), published, (), {})
    return [_grid(maker, name, table) for name, table in _declared(declared) if isinstance(table, ListTable)]


def _declared(folder: Path) -> list[tuple[str, DeclaredTable]]:
    return list(read_declared(folder).items())


def _grid(maker: Maker, name: str, table: DeclaredTable) -> Grid:
    try:
        if isinstance(table, MethodsTable):
            return methods_grid(name, table, maker.file(table.file))
        if isinstance(table, ListTable):
            return _list_grid(maker, name, table)
        return _rows_grid(maker, name, table)
    except (PublishedError, OptionsError) as error:
        raise DeclarationError(f"{name}.yaml: {error}") from None


def _list_grid(maker: Maker, name: str, table: ListTable) -> Grid:
    lines = maker.file(table.published.file).where(**table.published.where)
    shown = table.published.shown()
    numeric = {key: _is_numeric(published_entry(line, key, what) for line in lines) for key, what in shown.items()}
    columns = [
        Column(title=what.title, key=key, numeric=numeric[key], filtered=not numeric[key], wide=what.wide)
        for key, what in shown.items()
    ]
    rows = []
    for line in lines:
        entries = [published_entry(line, key, what) for key, what in shown.items()]
        # Marks stand at numbers: a word says what the numbers are of, and so does a log's name of digits alone.
        words = [
            entry if numeric[key] else replace(entry, value=None, mark="")
            for key, entry in zip(shown, entries, strict=True)
        ]
        rows.append((*words, _source(line)))
    return Grid(
        name=name,
        title=table.title,
        above=table.question,
        columns=(*columns, Column(title="source", key="source", wide=True)),
        rows=tuple(rows),
        notes=(*table.notes, *confidence_notes(_marks(rows))),
    )


def _is_numeric(entries: Iterable[Entry]) -> bool:
    """Whether all that were found are numbers."""
    found = [entry for entry in entries if entry is not NOT_FOUND]
    return bool(found) and all(entry.value is not None for entry in found)


def _rows_grid(maker: Maker, name: str, table: RowsTable) -> Grid:
    files = {key: maker.file(source.file) for key, source in table.published.items()}
    leaves = [
        maker.options.leaves({**table.options, **row.options}) if row.options is not None else None
        for row in table.rows
    ]
    cells = find_cells(leaves, maker.ours)
    compared = table.beside is not None and any(
        full_size_top1(cells, number) is not None for number in range(len(table.rows))
    )
    columns = [Column(title=title, key=key, filtered=True) for key, title in table.columns.items()]
    for key, source in table.published.items():
        columns += [
            Column(
                title=what.title,
                key=f"{key}_{column}",
                numeric=_is_numeric(published_entry(line, column, what) for line in files[key].rows),
                wide=what.wide,
            )
            for column, what in source.shown().items()
        ]
        columns.append(Column(title=f"source of {key}", key=f"{key}_source", wide=True))
    columns += our_columns(cells, table.ours)
    if compared:
        columns.append(Column(title="ours less published", key="difference_points", numeric=True))
    rows = []
    for number, row in enumerate(table.rows):
        lines = {
            key: files[key].one(**{**source.where, **row.published[key]}) if key in row.published else None
            for key, source in table.published.items()
        }
        entries = [_name(name, number, key, row.labels, leaves[number]) for key in table.columns]
        for key, source in table.published.items():
            entries += [
                published_entry(lines[key], column, what, row.unlike) for column, what in source.shown().items()
            ]
            entries.append(_source(lines[key]))
        if leaves[number] is None:
            none = Entry(text="no such network", more="there are no options for it, so there can be no run of ours")
            entries += [none] * len(our_columns(cells, table.ours))
        else:
            entries += our_entries(cells, number, table.ours, maker.links)
        if compared and table.beside is not None:
            line = lines[table.beside.source] if row.unlike is None else None
            entries.append(_difference(full_size_top1(cells, number), line, table.beside.column))
        rows.append(tuple(entries))
    unlike = dict.fromkeys(row.unlike for row in table.rows if row.unlike is not None)
    return Grid(
        name=name,
        title=table.title,
        above=table.question,
        columns=tuple(columns),
        rows=tuple(rows),
        notes=(
            *table.notes,
            *(f"{UNLIKE} {why}" for why in unlike),
            *scope_notes(cells, leaves),
            *confidence_notes(_marks(rows)),
        ),
    )


def published_entry(line: PublishedRow | None, column: str, what: Shown, unlike: str | None = None) -> Entry:
    """One published figure as it is shown; what no source gives is said to be not found."""
    figure = line.figure(column) if line is not None else None
    if line is None or figure is None:
        return NOT_FOUND
    remark = line.cells.get("notes", "")
    more = "; ".join(filter(None, (figure.source, figure.confidence.replace("_", " "), remark, unlike)))
    mark = figure.mark + (UNLIKE if unlike is not None else "")
    if figure.value is None:
        return Entry(text=figure.text, mark=mark, more=more)
    if what.divide is not None:
        return Entry(text=significant(figure.value / what.divide, 4), value=figure.value, mark=mark, more=more)
    _, _, decimals = figure.text.partition(".")
    text = f"{figure.value:.2f}" if len(decimals) > 2 else figure.text
    return Entry(text=text, value=figure.value, mark=mark, more=more)


def _source(line: PublishedRow | None) -> Entry:
    if line is None:
        return NOT_FOUND
    return Entry(text=f"{line.source} ({line.confidence.replace('_', ' ')}; {line.file}, line {line.line})")


def _name(table: str, number: int, column: str, labels: Mapping[str, str], leaves: Mapping[str, str] | None) -> Entry:
    if column in labels:
        return Entry(text=labels[column])
    if leaves is None or column not in leaves:
        raise DeclarationError(
            f"{table}.yaml: rows, number {number + 1}: the column {column} is neither one of its labels nor an option"
        )
    return Entry(text=leaves[column])


def _difference(ours: float | None, line: PublishedRow | None, column: str) -> Entry:
    figure = line.figure(column) if line is not None else None
    if ours is None:
        return Entry(text="not run", tone="not run")
    if figure is None or figure.value is None:
        return Entry(text="nothing published")
    value = ours - figure.value
    return Entry(text=f"{value:+.2f}".replace("-", MINUS), value=value, mark=figure.mark)


def _marks(rows: Sequence[Sequence[Entry]]) -> list[str]:
    return sorted({letter for row in rows for entry in row for letter in entry.mark})
