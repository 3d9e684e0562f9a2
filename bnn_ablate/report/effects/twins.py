"""How far binary networks are from the same networks in floats, wherever both were run, in whichever studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.signed import interval, interval_columns, p_value, points
from bnn_ablate.report.grid import Column, Entry, Grid
from bnn_ablate.report.labels import HEADLINE, NOT_THERE, varying_leaves
from bnn_ablate.report.numbers import percent
from bnn_ablate.report.rows import DASH
from bnn_ablate.report.runs import Run
from bnn_ablate.report.stats.blocks import NotEstimableError, fit
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.holm import holm
from bnn_ablate.report.stats.student import student_mean
from bnn_ablate.report.tables import Table

#: Groups that say nothing of a float network: what belongs to binarisation is at one value there, or is not allowed.
BINARY_ONLY = ("weights", "activations", "scaling", "output", "grad", "latent", "pretrain")
#: Names of sizes and training that the run id leaves out, because the values beside them say what they are; and the
#: value of a border, which float activations have at zero.
NAMES = ("model", "recipe", "downsample", "padding")
#: The name that the function of a float network's activations has in a configuration.
FUNCTION = "activations.function"


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A binary cell and its float twin, with their settings; ``estimate`` is binary less float in points of top-1.

    ``estimate`` is None where the two share no seed, so that a difference of networks could be one of seeds.
    """

    binary: Cell
    twin: Cell
    settings: Mapping[str, str]
    twin_settings: Mapping[str, str]
    estimate: Estimate | None


def gaps(tables: Sequence[Table]) -> list[Gap]:
    """Every binary cell with its float twins, in the order of the tables; a cell of two tables once.

    A network that was pretrained with a function has its twins of that function where there are some, any other one all
    of them: a binary network has no function of its own. Cells are binary where weights and activations are both
    binarised; networks with one of them in floats are neither.
    """
    cells = _merged(tables)
    settings = [cell.leaves for cell in cells]
    twins: dict[frozenset[tuple[str, str]], list[int]] = {}
    for place, leaves in enumerate(settings):
        if cells[place].is_float:
            twins.setdefault(_rest(leaves), []).append(place)
    found = []
    for cell, leaves in zip(cells, settings, strict=True):
        if "float" in (leaves.get("weights", "float"), leaves.get("activations", "float")):
            continue
        possible = twins.get(_rest(leaves), [])
        alike = [place for place in possible if settings[place].get(FUNCTION) == leaves.get("pretrain")]
        for place in alike if alike else possible:
            found.append(
                Gap(
                    binary=cell,
                    twin=cells[place],
                    settings=leaves,
                    twin_settings=settings[place],
                    estimate=_estimate(cell, cells[place]),
                )
            )
    return found


def gap_grid(tables: Sequence[Table]) -> Grid | None:
    """The table "Binary against float"; None where no binary cell has a float twin with a result."""
    pairs = gaps(tables)
    if not pairs:
        return None
    columns = varying_leaves([pair.settings for pair in pairs])
    functions = {pair.twin_settings.get(FUNCTION, NOT_THERE) for pair in pairs}
    by_function = len(functions) > 1
    first = pairs[0].settings
    adjusted = holm([pair.estimate.p if pair.estimate is not None else None for pair in pairs])
    shared = [
        key for key in HEADLINE if key not in columns and {pair.settings.get(key) for pair in pairs} == {first.get(key)}
    ]
    return Grid(
        name="binary-float",
        title="Binary against float",
        columns=(
            *(Column(title=key, key=key, filtered=True) for key in columns),
            *([Column(title="float function", key="float_function", filtered=True)] if by_function else []),
            Column(title="binary %", key="binary_top1_percent", numeric=True),
            Column(title="float %", key="float_top1_percent", numeric=True),
            Column(title="gap", key="gap_points", numeric=True),
            *interval_columns("95 % interval", "interval_95"),
            Column(title="p", key="p", numeric=True, wide=True),
            Column(title="p (Holm)", key="p_holm", numeric=True),
            Column(title="n", key="n", numeric=True),
        ),
        rows=tuple(_row(pair, columns, by_function, p) for pair, p in zip(pairs, adjusted, strict=True)),
        above=", ".join(f"{key}={first[key]}" for key in shared if key in first),
        notes=(
            "gap: points of top-1 of the binary network less those of the same network with float weights and float "
            f"activations{'' if by_function else f' ({min(functions)})'}, paired by seed; its interval is of these two "
            "cells alone. What only a binary network has (scaling, gradient estimator, border value, ...) has no part "
            "in the pairing.",
            *_family(adjusted),
            *_not_estimated(pairs),
            *_fine_tuned(pairs),
        ),
    )


def _merged(tables: Sequence[Table]) -> list[Cell]:
    """The cells that have records, each once, with its runs of all tables."""
    runs: dict[str, dict[str, Run]] = {}
    cells: dict[str, Cell] = {}
    for table in tables:
        for cell in table.cells:
            if cell.records:
                cell_id = cell.records[0].cell_id
                cells.setdefault(cell_id, cell)
                named = {run.run_id: run for run in cell.runs if run.run_id is not None}
                runs.setdefault(cell_id, {}).update(named)
    return [Cell(cell.overrides, tuple(runs[cell_id].values())) for cell_id, cell in cells.items()]


def _rest(leaves: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """The settings that a binary cell and its float twin have in common."""
    kept = {key: text for key, text in leaves.items() if key.split(".")[0] not in BINARY_ONLY and key not in NAMES}
    return frozenset(kept.items())


def _estimate(binary: Cell, twin: Cell) -> Estimate | None:
    """Binary less float, seeds as blocks."""
    observations = {
        (name, record.seed): 100 * record.accuracy.top1
        for name, cell in (("binary", binary), ("float", twin))
        for record in cell.records
    }
    fitted = fit((name, seed, value) for (name, seed), value in observations.items())
    try:
        return fitted.contrast({"binary": 1.0, "float": -1.0})
    except NotEstimableError:
        return None


def _row(pair: Gap, columns: Sequence[str], by_function: bool, p_holm: float | None) -> tuple[Entry, ...]:
    estimate = pair.estimate
    return (
        *(Entry(text=pair.settings.get(key, NOT_THERE)) for key in columns),
        *([Entry(text=pair.twin_settings.get(FUNCTION, NOT_THERE))] if by_function else []),
        _mean(pair.binary),
        _mean(pair.twin),
        Entry(text=DASH) if estimate is None else Entry(text=points(estimate.value), value=estimate.value),
        *interval(None if estimate is None else estimate.interval(0.95)),
        p_value(None if estimate is None else estimate.p),
        p_value(p_holm),
        Entry(
            text=" and ".join(dict.fromkeys(str(len(cell.records)) for cell in (pair.binary, pair.twin))),
            value=min(len(cell.records) for cell in (pair.binary, pair.twin)),
        ),
    )


def _mean(cell: Cell) -> Entry:
    mean = student_mean([100 * record.accuracy.top1 for record in cell.records]).mean
    return Entry(text=percent(mean), value=mean)


def _family(adjusted: Sequence[float | None]) -> list[str]:
    asked = sum(p is not None for p in adjusted)
    return [f"p (Holm): adjusted for the {asked} gaps of this table."] if asked > 1 else []


def _not_estimated(pairs: Sequence[Gap]) -> list[str]:
    apart = sum(pair.estimate is None for pair in pairs)
    return [f"{apart} without a gap: the two have no seed in common."] if apart else []


def _fine_tuned(pairs: Sequence[Gap]) -> list[str]:
    if all(pair.settings.get("pretrain", "none") == "none" for pair in pairs):
        return []
    return ["A pretrained binary network had the epochs of its float network as well, its twin had its own alone."]
