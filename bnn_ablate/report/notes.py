"""What a reader must know beside the numbers of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.labels import Labels
from bnn_ablate.report.numbers import counted, duration, joined
from bnn_ablate.report.rows import error_of, latencies
from bnn_ablate.report.runs import LOST
from bnn_ablate.report.smoke import SMOKE, is_cut

#: The seeds that a study of three runs a cell has.
SEEDS = (0, 1, 2)

AGAIN = "python -m bnn_ablate.evaluate run=all"
#: Share of sign bits that re-ordered float sums may flip in the packed network.
MOST_FLIPS = 1e-4

UNITS = (
    "top-1 and top-5: the last epoch's network on the test set. MiB: 1 bit a binary weight, 32 bits the rest. MACs: of "
    "convolutions for one image, float + binary / 64. time: mean training time of a run. packed %: top-1 of the "
    "same network as bits on the CPU; packed ms: its median time for one image, where nothing else ran."
)


def notes(cells: Sequence[Cell], labels: Labels) -> list[str]:
    """The notes of a table, in a fixed order; each only where it applies."""
    found = [
        *_interval(cells),
        *_lost_runs(cells),
        *_smoke_test(cells),
        *_cancelled_scaling(cells),
        *_not_counted(cells),
        *_not_matched(cells),
        *_not_packed(cells),
        *_packed_differs(cells),
        *_latency(cells),
    ]
    if labels.alike:
        found.append(
            "Rows of the same overrides are kept apart: what else their runs were made of differs, as the columns show."
        )
    return found


def _interval(cells: Sequence[Cell]) -> list[str]:
    found = []
    if any(len(cell.records) > 1 for cell in cells):
        found.append("± is a 95 % Student-t interval over seeds only: the sampling of the test images is not in it.")
    if any(len({record.accuracy.top1 for record in cell.records}) == 1 < len(cell.records) for cell in cells):
        found.append(
            "± 0.00: all seeds had the same number of images right, which does not show that there is no spread."
        )
    singles = [cell.records[0] for cell in cells if len(cell.records) == 1]
    if singles:
        seconds = sum(len({*SEEDS} - {record.seed}) * record.provenance.train_seconds for record in singles)
        found.append(f"One run has no interval; seed={','.join(map(str, SEEDS))} costs about {duration(seconds)} more.")
    return found


def _lost_runs(cells: Sequence[Cell]) -> list[str]:
    runs = [run for cell in cells for run in cell.runs]
    states = Counter(run.state for run in runs)
    lost = [f"{counted(states[state], 'run')} {state}" for state in LOST if states[state]]
    found = [f"{' and '.join(lost)}: shown and counted, in no mean."] if lost else []
    reasons: dict[str, list[str]] = {}
    for run in runs:
        if run.state in LOST:
            ids = reasons.setdefault(f"{run.state}: {error_of(run)}", [])
            ids += [] if run.run_id is None else [run.run_id]  # what was refused never had one
    found += [reason + (f" (run {', '.join(ids)})" if ids else "") for reason, ids in reasons.items()]
    broken = [run for run in runs if run.state == "broken"]
    if broken:
        found.append(f"{counted(len(broken), 'run')} cannot be read: {joined([error_of(run) for run in broken])}")
    return found


def _smoke_test(cells: Sequence[Cell]) -> list[str]:
    """Digits, made-up images and cut test sets show that the program runs, and nothing else."""
    images = set()
    for cell in cells:
        cut = is_cut(cell.leaves)
        images |= {(r.data.name, r.data.num_test) for r in cell.records if cut or r.data.name in SMOKE}
    return [
        f"data={name} with {number} test images is a smoke test, not evidence: one image is {100 / number:.2f} points."
        for name, number in sorted(images)
    ]


def _cancelled_scaling(cells: Sequence[Cell]) -> list[str]:
    """scaling=channel where a BatchNorm follows each scaled convolution, in order=post or behind a concatenation."""
    for cell in cells:
        choices = {**cell.leaves, **cell.overrides}
        normalised = choices.get("order") == "post" or choices.get("model.family") == "binary_densenet"
        if choices.get("scaling") == "channel" and normalised:
            where = "order=post" if choices.get("order") == "post" else "a BinaryDenseNet"
            return [
                f"scaling=channel in {where} is an identity check, not a treatment: the BatchNorm that follows cancels "
                "alpha, forward and in the gradient of the weights, up to eps and rounding. A difference is chance."
            ]
    return []


def _not_counted(cells: Sequence[Cell]) -> list[str]:
    """What came before a fine-tuned network is in none of its numbers."""
    if any(record.pretrained_by is not None for cell in cells for record in cell.records):
        return [
            "Times leave out the float networks that pretrain trained first, and so do the epochs: pretrain=none "
            "answers at equal fine-tuning, and once more, trained as long as both together, at equal training."
        ]
    return []


def _not_matched(cells: Sequence[Cell]) -> list[str]:
    if any({**cell.leaves, **cell.overrides}.get("bottleneck") == "classic" for cell in cells):
        return [
            "bottleneck=classic has another size and other MACs than bottleneck=none: only classic_size and "
            "classic_macs are matched."
        ]
    return []


def _not_packed(cells: Sequence[Cell]) -> list[str]:
    count = sum(len(cell.records) - len(cell.packed) for cell in cells)
    return [f"{counted(count, 'run')} without a packed evaluation: {AGAIN} makes one."] if count else []


def _packed_differs(cells: Sequence[Cell]) -> list[str]:
    """Where the packed network is not the float one, and whether rounding explains it."""
    found = []
    differing = [(run, run.packed) for cell in cells for run in cell.runs if run.packed is not None]
    apart = {str(run.run_id): packed for run, packed in differing if packed.disagreeing_predictions}
    if apart:
        runs = joined([f"run {run_id}: {packed.disagreeing_predictions}" for run_id, packed in apart.items()])
        found.append(f"Test images on which the packed and the float network predict two classes: {runs}.")
    for run, packed in differing:
        if packed.disagreeing_with_equal_signs:
            found.append(
                f"run {run.run_id}: {packed.disagreeing_with_equal_signs} of them though all signs are equal, which is "
                "an error of the packed network or a tie."
            )
        if packed.sign_bits and packed.flipped_sign_bits and packed.flipped_sign_bits > MOST_FLIPS * packed.sign_bits:
            found.append(
                f"run {run.run_id}: {packed.flipped_sign_bits} of {packed.sign_bits} signs differ in the packed "
                f"network, more than the share of {MOST_FLIPS:g} that rounding explains."
            )
    return found


def _latency(cells: Sequence[Cell]) -> list[str]:
    """Where packed times were measured, and how many are not shown."""
    places = sorted({where for cell in cells for where in latencies(cell)})
    found = [f"packed ms: {' / '.join(places)}."] if places else []
    busy = sum(packed.busy is True for cell in cells for packed in cell.packed)
    if busy:
        found.append(
            f"packed ms of {counted(busy, 'run')} not shown, because other work ran on the machine: {AGAIN} measures "
            "again."
        )
    return found
