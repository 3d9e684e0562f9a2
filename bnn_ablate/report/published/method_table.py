"""The table of methods: costs of a layer, computed, beside the speedups that were published."""

from __future__ import annotations

from collections.abc import Sequence

from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.numbers import significant
from bnn_ablate.report.published.declared import Layer, MethodsTable
from bnn_ablate.report.published.figures import PublishedError, PublishedFile, PublishedRow, confidence_notes
from bnn_ablate.report.published.method_costs import WORD, Gemm, MethodCost, evaluated, sizes_with

#: The columns of the published file that name a method.
NAMES = ("method", "inputs", "weights", "operations")


def methods_grid(name: str, table: MethodsTable, file: PublishedFile) -> Grid:
    """A row a method; formulas and published speedups with their mark. Raises PublishedError for a formula."""
    methods = [_cost(row) for row in file.rows]
    columns = [Column(title=key, key=key) for key in NAMES]
    columns += [
        Column(title="MACs", key="macs"),
        Column(title="binary operations", key="binary_ops"),
        Column(title="speedup, published", key="speedup_published", numeric=True),
    ]
    for number, layer in enumerate(table.layers, start=1):
        words = f"layer {number}" if len(table.layers) > 1 else "computed"
        columns += [
            Column(title=f"{what}, {words}", key=f"{key}_{_sizes(layer)}", numeric=True, wide=number > 1)
            for key, what in (("macs", "MACs (M)"), ("binary_ops", "binary (M)"), ("speedup", "speedup"))
        ]
    rows = [
        (*_published(row), *(entry for layer in table.layers for entry in _computed(method, _gemm(layer))))
        for row, method in zip(file.rows, methods, strict=True)
    ]
    layers = [
        f"{f'Layer {number}' if len(table.layers) > 1 else 'Computed for'}: {layer.title}; n = {layer.n}, "
        f"m = {layer.m}, k = {layer.k}."
        for number, layer in enumerate(table.layers, start=1)
    ]
    marks = sorted({entry.mark for row in rows for entry in row if entry.mark})
    return Grid(
        name=name,
        title=table.title,
        above=table.question,
        columns=tuple(columns),
        rows=tuple(rows),
        notes=(
            *table.notes,
            *layers,
            f"Cost model: an instruction does one real operation or {WORD} binary ones; a MAC is two real operations, "
            "one where there are only sums. Speedup: the time of the real layer over the method's.",
            *_agreement(file.rows, methods, _gemm(table.layers[0])),
            *confidence_notes(marks),
        ),
    )


def _agreement(rows: Sequence[PublishedRow], methods: Sequence[MethodCost], size: Gemm) -> list[str]:
    """Whether the model gives the published speedups, and for which layers."""
    everywhere, somewhere, nowhere = [], [], []
    for row, method in zip(rows, methods, strict=True):
        published, found = _speedup(row), sizes_with(_speedup(row), method, size)
        said = f"{row.cells['method']} {published}"
        if found is not None:
            letter, first, last = found
            somewhere.append(f"{said} for {letter} from {first} to {last}")
        elif round(method.speedup(size)) == published:
            everywhere.append(said)
        else:
            nowhere.append(said)
    told = []
    if everywhere:
        told.append(f"Published speedups that the model gives for every layer: {', '.join(everywhere)}.")
    if somewhere:
        told.append(
            f"Published speedups that it gives (rounded) for some layers only: {', '.join(somewhere)}. Where the "
            "ranges of one size do not meet, no single layer explains the published column."
        )
    if nowhere:
        told.append(f"Published speedups that the model gives for no layer: {', '.join(nowhere)}.")
    return told


def _published(row: PublishedRow) -> list[Entry]:
    entries = []
    for column in (*NAMES, "macs", "binary_ops", "speedup_x"):
        figure = row.figure(column)
        if figure is None:
            raise PublishedError(f"{row.file}, line {row.line}, column {column}: a method needs it")
        value = figure.value if column == "speedup_x" else None
        mark = figure.mark if column in ("macs", "binary_ops", "speedup_x") else ""
        entries.append(Entry(text=figure.text, value=value, mark=mark, more=f"{figure.source}; {figure.confidence}"))
    return entries


def _computed(method: MethodCost, size: Gemm) -> list[Entry]:
    macs, binary = evaluated(method.macs, size), evaluated(method.binary_ops, size)
    speedup = method.speedup(size)
    return [
        Entry(text=significant(macs / 1e6), value=macs),
        Entry(text=significant(binary / 1e6), value=binary),
        Entry(text=f"{speedup:.1f}", value=speedup),
    ]


def _cost(row: PublishedRow) -> MethodCost:
    try:
        return MethodCost(
            macs=row.cells["macs"], binary_ops=row.cells["binary_ops"], operations=row.cells["operations"]
        )
    except (KeyError, ValueError) as error:
        raise PublishedError(f"{row.file}, line {row.line}: {error}") from None


def _speedup(row: PublishedRow) -> int:
    text = row.cells["speedup_x"]
    if not text.isdecimal():
        raise PublishedError(f"{row.file}, line {row.line}, column speedup_x: {text} is no whole number")
    return int(text)


def _gemm(layer: Layer) -> Gemm:
    return Gemm(n=layer.n, m=layer.m, k=layer.k)


def _sizes(layer: Layer) -> str:
    return f"n{layer.n}_m{layer.m}_k{layer.k}"
