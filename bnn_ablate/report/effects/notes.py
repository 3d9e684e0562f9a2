"""What a reader must know beside the effects of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bnn_ablate.analysis import UNDECLARED_MARGIN, Declaration, same_option
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.estimates import WORDS, Difference, Estimator, FittedApartError, images_of
from bnn_ablate.report.effects.layout import Contrast, Layout
from bnn_ablate.report.effects.values import IDENTITY_CHECK, INTERIM, Effect, Kind
from bnn_ablate.report.labels import UNKNOWN
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.rows import state_word
from bnn_ablate.report.smoke import SMOKE, is_cut
from bnn_ablate.report.stats.blocks import NotEstimableError
from bnn_ablate.report.stats.findings import ALPHA
from bnn_ablate.report.tables import Table


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What notes are made of: contrasts ``without_runs`` and ``apart``, for a reason, could not be estimated."""

    table: Table
    layout: Layout
    declared: tuple[Declaration, ...]
    estimator: Estimator
    without_runs: tuple[Contrast, ...]
    apart: tuple[tuple[Contrast, NotEstimableError], ...]
    effects: tuple[Effect, ...]


def effect_notes(evidence: Evidence) -> tuple[str, ...]:
    """The notes, in a fixed order; each only where it applies."""
    return (
        *_declaration(evidence),
        *_interim(evidence),
        *_seeds(evidence),
        *_no_chance(evidence),
        *_missing(evidence),
        *_not_estimated(evidence),
        *_fitted_apart(evidence),
        *_mixed_images(evidence),
        *_diverged(evidence),
        *_uneven(evidence),
        *_families(evidence),
        *_identity(evidence),
        *_hidden(evidence),
        *_images(evidence),
    )


def _declaration(evidence: Evidence) -> list[str]:
    baseline = _options(evidence.layout.baseline)
    if not evidence.declared:
        return [
            f"Nothing was declared before the runs: effects start from {baseline}, which the first cell has, and "
            f"{UNDECLARED_MARGIN:g} points count as equal."
        ]
    first, *later = evidence.declared
    found = [
        f"Declared ({first.digest}) {_when(first)}: effects start from {baseline}, {first.margin:g} points count as "
        f"equal, {_seed_words(first.seeds)}."
    ]
    found += _unmet(evidence, first)
    for one in later:
        changes = [
            *([f"a margin of {one.margin:g}"] if one.margin != first.margin else []),
            *([f"a baseline of {_options(one.baseline)}"] if one.baseline != first.baseline else []),
            *([_seed_words(one.seeds)] if one.seeds != first.seeds else []),
        ]
        found.append(f"Declared again ({one.digest}) {_when(one)}: {', '.join(changes)}. The first declaration counts.")
    return found


def _when(declaration: Declaration) -> str:
    if declaration.done == 0:
        return "before the first result"
    done = "1 of its runs was" if declaration.done == 1 else f"{declaration.done} of its runs were"
    return f"when {done} done already, so that results could have shaped the question"


def _unmet(evidence: Evidence, declaration: Declaration) -> list[str]:
    """Declared options that the table does not have."""
    found = []
    labels = evidence.table.labels
    for axis, option in declaration.baseline.items():
        if axis in evidence.layout.axes:
            there = evidence.layout.axes[axis]
        elif axis in labels.columns:
            there = tuple(row[labels.columns.index(axis)] for row in labels.rows)
        else:
            there = (labels.shared[axis],) if axis in labels.shared else ()
        if not any(same_option(option, one) for one in there):
            found.append(f"The declared baseline {axis}={option} is not in this table.")
    return found


def _seed_words(seeds: Sequence[int]) -> str:
    return f"{counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"{axis}={option}" for axis, option in options.items()) if options else "the first cell"


def _interim(evidence: Evidence) -> list[str]:
    if not any(effect.finding.startswith(INTERIM) for effect in evidence.effects):
        return []
    return [
        "interim: some of the declared seeds are neither done nor lost, and there is no finding before they are. Who "
        "looks at an interval and goes on until it pleases finds differences that are not there."
    ]


def _seeds(evidence: Evidence) -> list[str]:
    found = []
    added = sorted({seed for effect in evidence.effects for seed in effect.added_seeds})
    if added:
        which = f"Seed {added[0]} was" if len(added) == 1 else f"Seeds {', '.join(map(str, added))} were"
        found.append(
            f"{which} not declared (+ behind n): adding seeds after a look finds more differences by chance than the "
            "levels say."
        )
    numbers = sorted({len(cell.records) for cell in evidence.table.cells if cell.records})
    if len(numbers) > 1:
        found.append(
            f"Cells have {numbers[0]} to {numbers[-1]} runs: seeds that some lack are taken out by the model, and n is "
            "the number of runs in an effect's thinnest cell."
        )
    return found


def _no_chance(evidence: Evidence) -> list[str]:
    """Where nothing tells chance from effect; what more seeds cost stands below the table of the cells."""
    parts = evidence.estimator.parts
    if evidence.effects and all(part.fit.sd is None for part in parts):
        return ["Nothing repeats, so that chance cannot be told from effect: no interval and no finding."]
    if any(effect.estimate.n == 1 for effect in evidence.effects):
        return ["An effect of which one cell has a single run has no interval and no finding."]
    return []


def _missing(evidence: Evidence) -> list[str]:
    """Cells without a result, by what became of their runs."""
    table, by_state = evidence.table, dict[str, list[str]]()
    for place, cell in enumerate(table.cells):
        if not cell.records:
            by_state.setdefault(state_word(cell), []).append(_name(table, place))
    found = [f"No result ({state}): {'; '.join(names)}." for state, names in sorted(by_state.items())]
    if evidence.layout.repeated:
        found.append(
            f"{counted(len(evidence.layout.repeated), 'cell')} with the options of an earlier one: in no effect."
        )
    return found


def _not_estimated(evidence: Evidence) -> list[str]:
    found = []
    layout = evidence.layout
    start = layout.cells.get(layout.origin)
    if start is None:
        found.append(f"No cell is the baseline, {_options(layout.baseline)}: there is no simple effect.")
    elif not evidence.table.cells[start].records:
        found.append("The baseline has no result: no simple effect can be estimated.")
    elif evidence.without_runs:
        found.append(f"Not estimated for want of a result: {_changes(evidence.without_runs)}.")
    unconnected = [contrast for contrast, error in evidence.apart if not isinstance(error, FittedApartError)]
    if unconnected:
        found.append(f"Not estimated, because no chain of shared seeds connects the two: {_changes(unconnected)}.")
    joint = sum(layout.steps(point) > 1 for point, place in layout.cells.items() if evidence.table.cells[place].records)
    if start is not None and joint and not any(effect.kind != "simple" for effect in evidence.effects):
        found.append(
            f"{counted(joint, 'cell')} differ from the baseline on several axes at once: in no effect."
            if joint > 1
            else "1 cell differs from the baseline on several axes at once: in no effect."
        )
    return found


#: Why cells are in different fits, and where the answer is.
FITTED_APART: dict[Difference, str] = {
    "images": "Cells on different test images are fitted apart, and a study for each says more",
    "versions": "Results of different versions are fitted apart, and the older ones can be run again",
    "kind": "Float and binary networks are fitted apart, because chance does not move them alike: how far binary "
    'networks are from theirs in floats is in the table "Binary against float"',
}


def _fitted_apart(evidence: Evidence) -> list[str]:
    """Cells of several fits, with the effects between them, which nobody estimates from either."""
    estimator = evidence.estimator
    found = []
    for difference in WORDS:
        if len({origin[difference] for origin in estimator.origins.values()}) > 1:
            between = [
                contrast
                for contrast, error in evidence.apart
                if isinstance(error, FittedApartError) and error.difference == difference
            ]
            costs = f" Not estimated: {_changes(between)}." if between else ""
            found.append(f"{FITTED_APART[difference]}.{costs}")
    if found and any(effect.kind != "simple" for effect in evidence.effects):
        found.append("Main effects and interactions are over the cells that are fitted with the baseline.")
    return found


def _mixed_images(evidence: Evidence) -> list[str]:
    table = evidence.table
    mixed = [_name(table, place) for place, cell in enumerate(table.cells) if len(images_of(cell)) > 1]
    told = f"Runs of one cell were tested on different images, and its mean is over them: {'; '.join(mixed)}."
    return [told] if mixed else []


def _name(table: Table, place: int) -> str:
    pairs = zip(table.labels.columns, table.labels.rows[place], strict=True)
    return " ".join(f"{axis}={option}" for axis, option in pairs if option != UNKNOWN)


def _changes(contrasts: Sequence[Contrast]) -> str:
    return ", ".join(f"{contrast.axes[0]}={contrast.after[0]}" for contrast in contrasts)


def _diverged(evidence: Evidence) -> list[str]:
    """An option of which more runs diverged is compared by those that did not."""
    table, layout = evidence.table, evidence.layout
    found = []
    for column, (axis, options) in enumerate(layout.axes.items()):
        runs: Counter[str] = Counter()
        diverged: Counter[str] = Counter()
        for point, place in layout.cells.items():
            runs[point[column]] += len(table.cells[place].runs)
            diverged[point[column]] += sum(run.state == "diverged" for run in table.cells[place].runs)
        shares = {diverged[option] / runs[option] for option in options}
        if len(shares) > 1:
            told = ", ".join(f"{diverged[option]} of {runs[option]} with {axis}={option}" for option in options)
            found.append(f"Diverged: {told}. Effects compare the survivors.")
    return found


def _uneven(evidence: Evidence) -> list[str]:
    found = []
    for part in evidence.estimator.parts:
        if part.uneven is not None:
            assert isinstance(part.uneven.cell, int)
            found.append(
                f"The spread is uneven: {_name(evidence.table, part.uneven.cell)} spreads {part.uneven.ratio:.1f} "
                f"times as far as the pooled standard deviation (p = {part.uneven.p:.2g}), so that each effect is "
                "estimated from its own cells alone."
            )
    return found


def _families(evidence: Evidence) -> list[str]:
    tested = Counter(
        effect.kind for effect in evidence.effects if effect.p is not None and effect.finding != IDENTITY_CHECK
    )
    names: dict[Kind, str] = {"simple": "simple effect", "main": "main effect", "interaction": "interaction"}
    families = [counted(tested[kind], name) for kind, name in names.items() if tested[kind]]
    return [f"Holm adjusts p within families: {'; '.join(families)}."] if families else []


def _identity(evidence: Evidence) -> list[str]:
    if not any(effect.finding == IDENTITY_CHECK for effect in evidence.effects):
        return []
    return [
        "identity check: where a BatchNorm follows each scaled convolution it cancels the factor of scaling=channel, "
        "so that any difference is chance or rounding. It stands in no Holm family and gets no finding."
    ]


def _hidden(evidence: Evidence) -> list[str]:
    pairs = dict.fromkeys(
        " x ".join(effect.axes)
        for effect in evidence.effects
        if effect.kind == "interaction" and effect.p_holm is not None and effect.p_holm < ALPHA
    )
    return (
        [f"{', '.join(pairs)}: an interaction, which the main effects of these axes hide: read the simple effects."]
        if pairs
        else []
    )


def _images(evidence: Evidence) -> list[str]:
    return list(dict.fromkeys(part.without_images for part in evidence.estimator.parts if part.without_images))


def smoke_tests(cells: Sequence[Cell]) -> tuple[str, ...]:
    """A sentence where images show that the program runs, and prove nothing: made to be quick, made up, or cut."""
    names = dict.fromkeys(
        record.data.name
        for cell in cells
        for record in cell.records
        if record.data.name in SMOKE or is_cut(cell.leaves)
    )
    return tuple(
        f"A smoke test, data={name}: these findings are about its few test images and no evidence about networks."
        for name in names
    )
