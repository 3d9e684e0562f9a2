"""Effects as tables: simple effects first, then means over the other axes, then interactions."""

from __future__ import annotations

from bnn_ablate.report.effects.signed import change, interval, interval_columns, p_value, points, rate
from bnn_ablate.report.effects.values import IDENTITY_CHECK, INTERIM, Effect, StudyEffects
from bnn_ablate.report.grid import Column, Entry, Grid, Tone
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.rows import DASH
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.findings import NO_INTERVAL, NO_SPREAD, UNDECIDED

#: By how much an interval must widen before the sample of test images is told apart from seeds.
WIDER = 1.1
#: MACs are told in millions.
MILLION = 1e6

ESTIMATED = (
    Column(title="points", key="points", numeric=True),
    *interval_columns("95 % interval", "interval_95"),
    *interval_columns("90 % interval", "interval_90", wide=True),
    Column(title="p", key="p", numeric=True, wide=True),
    Column(title="p (Holm)", key="p_holm", numeric=True),
    Column(title="n", key="n", numeric=True),
    Column(title="finding", key="finding", filtered=True),
    *interval_columns("95 % with images", "interval_95_with_images", wide=True),
    Column(title="standard error", key="se", numeric=True, wide=True),
    Column(title="df", key="df", numeric=True, wide=True),
)
COSTS = (
    Column(title="MiB", key="mib_change", numeric=True),
    Column(title="MACs (M)", key="macs_change_million", numeric=True),
    Column(title="packed ms", key="latency_change_ms", numeric=True),
    Column(title="points per MiB", key="points_per_mib", numeric=True, wide=True),
    Column(title="points per M MACs", key="points_per_million_macs", numeric=True, wide=True),
    Column(title="points per ms", key="points_per_ms", numeric=True, wide=True),
)

MODEL = "top-1 of a run = mean of its cell + effect of its seed + chance, by least squares"


def effect_grids(effects: StudyEffects) -> list[Grid]:
    """The tables of a study's effects that are not empty; simple effects stand first, with the notes of all."""
    made = [simple_grid(effects)]
    if effects.main:
        made.append(main_grid(effects))
    if effects.interactions:
        made.append(interaction_grid(effects))
    return made


def simple_grid(effects: StudyEffects) -> Grid:
    """Each option against the baseline, the other axes at their baselines, with what the change costs."""
    baseline = ", ".join(f"{axis}={option}" for axis, option in effects.baseline.items())
    return Grid(
        name=f"{effects.study}.effects",
        title="Effects of one change",
        columns=(_axis("axis"), Column(title="change", key="change"), *ESTIMATED, *COSTS),
        rows=tuple(
            (Entry(text=effect.axes[0]), _change(effect), *_estimated(effect, effects.planned), *_costs(effect))
            for effect in effects.simple
        ),
        above=f"From the baseline ({baseline}), in points of top-1.",
        notes=(
            *effects.warnings,
            model_note(effects),
            "95 % interval: Student-t over seeds; p (Holm) below 0.05 makes a difference, the 90 % interval inside the "
            f"margin of {effects.margin:g} points makes equal.",
            *_cost_notes(effects),
            *effects.notes,
        ),
    )


def main_grid(effects: StudyEffects) -> Grid:
    """Each option against the baseline's, the mean over the options of the other axes."""
    return Grid(
        name=f"{effects.study}.main-effects",
        title="Main effects",
        columns=(
            _axis("axis"),
            Column(title="change", key="change"),
            *ESTIMATED,
            Column(title="over", key="over", numeric=True),
        ),
        rows=tuple(
            (Entry(text=effect.axes[0]), _change(effect), *_estimated(effect, effects.planned), _over(effect))
            for effect in effects.main
        ),
        above="The mean over the other axes' combinations, in points of top-1.",
        notes=(
            *effects.warnings,
            "over: combinations of the other axes that have all options of the axis. Where axes interact, a main "
            "effect is the mean of different effects: the simple effects say more.",
        ),
    )


def interaction_grid(effects: StudyEffects) -> Grid:
    """By how much one change's effect differs after another change."""
    return Grid(
        name=f"{effects.study}.interactions",
        title="Interactions",
        columns=(
            _axis("axes", "axes"),
            Column(title="changes", key="changes"),
            *ESTIMATED,
            Column(title="over", key="over", numeric=True),
        ),
        rows=tuple(
            (Entry(text=" x ".join(effect.axes)), _change(effect), *_estimated(effect, effects.planned), _over(effect))
            for effect in effects.interactions
        ),
        above="Both changes together less the sum of each alone, in points of top-1.",
        notes=(*effects.warnings, "over: combinations of the remaining axes that it is a mean over."),
    )


def model_note(effects: StudyEffects) -> str:
    """The model in one sentence, with how far chance moves a run."""
    if effects.sd is None:
        return f"{MODEL}; how far chance moves a run these runs cannot tell."
    return (
        f"{MODEL}; chance moves a run by {effects.sd:.2f} points (pooled standard deviation, "
        f"{counted(effects.df, 'degree')} of freedom)."
    )


def _axis(title: str, key: str = "axis") -> Column:
    return Column(title=title, key=key, filtered=True)


def _change(effect: Effect) -> Entry:
    return Entry(
        text=", ".join(f"{before} to {after}" for before, after in zip(effect.before, effect.after, strict=True)),
        more=", ".join(f"{axis}={option}" for axis, option in effect.at.items()),
    )


def _estimated(effect: Effect, planned: int | None) -> tuple[Entry, ...]:
    estimate = effect.estimate
    finding = "; ".join((effect.finding, *effect.remarks))
    return (
        Entry(text=points(estimate.value), value=estimate.value),
        *interval(estimate.interval(0.95)),
        *interval(estimate.interval(0.90)),
        p_value(effect.p),
        p_value(effect.p_holm),
        Entry(text=_n(effect, planned), value=estimate.n),
        Entry(text=finding, value=effect.finding, tone=_tone(effect.finding)),
        *_with_images(effect),
        *_spread(effect.estimate),
    )


def _n(effect: Effect, planned: int | None) -> str:
    """``3``; ``2 of 3`` where fewer have a result than were declared, ``5+`` where some were not declared."""
    n = effect.estimate.n
    return f"{n} of {planned}" if planned is not None and n < planned else f"{n}{'+' if effect.added_seeds else ''}"


def _spread(estimate: Estimate) -> tuple[Entry, Entry]:
    """What every interval is made of."""
    if estimate.se is None or estimate.df is None:
        return Entry(text=DASH), Entry(text=DASH)
    return (
        Entry(text=f"{estimate.se:.2f}", value=estimate.se),
        Entry(text=f"{estimate.df:.4g}", value=estimate.df),
    )


def _with_images(effect: Effect) -> tuple[Entry, ...]:
    """The wider interval where it is wider by a tenth; the CSV has it always."""
    seeds = effect.estimate.interval(0.95)
    images = effect.with_images.interval(0.95) if effect.with_images is not None else None
    if seeds is None or images is None:
        return interval(None)
    told, *ends = interval(images)
    alike = images[1] - images[0] <= WIDER * (seeds[1] - seeds[0])
    return (Entry(text="as over seeds", value=told.value) if alike else told, *ends)


def _tone(finding: str) -> Tone:
    if finding in (UNDECIDED, NO_SPREAD) or finding.startswith(INTERIM):
        return "undecided"
    return "not run" if finding in (NO_INTERVAL, IDENTITY_CHECK) else ""


def _over(effect: Effect) -> Entry:
    return Entry(text=str(effect.over), value=effect.over)


def _costs(effect: Effect) -> tuple[Entry, ...]:
    cost, value = effect.cost, effect.estimate.value
    assert cost is not None  # a simple effect's
    return (
        change(cost.mib),
        change(cost.macs, MILLION),
        change(cost.latency_ms),
        rate(value, cost.mib),
        rate(value, cost.macs, MILLION),
        rate(value, cost.latency_ms),
    )


def _cost_notes(effects: StudyEffects) -> list[str]:
    places = dict.fromkeys(
        effect.cost.latency_place for effect in effects.simple if effect.cost is not None and effect.cost.latency_ms
    )
    found = ["MiB, MACs and packed ms: what the change adds. Points per unit tell what one unit more brought."]
    return [*found, *(f"packed ms: {place}." for place in places if place is not None)]
