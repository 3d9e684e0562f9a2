"""``python -m bnn_ablate.evaluate run=ID|all [runs=DIR]``, ``checkpoint=FILE data=NAME ...`` or ``packed=FILE ...``.

A network on its test set again, float and packed, with the time of every step. ``run`` takes a trained run, the images
and their preparation from its own configuration, and adds a file to runs/ID/evaluations; ``run=all`` takes all finished
ones. ``checkpoint`` is a network that bnn_ablate.interop wrote, ``packed`` a packed file: ``data`` and ``recipe``
(normalisation, crops) describe the images.

    kernel=avx512|avx2|portable   the packed network's kernels (default: the fastest that this processor runs)
    threads=N                     its threads (default: trainer.threads)
    batch=N                       images a call where throughput is measured (default: 32)

Exit status: 0; 1 where something is wrong or a run's record says otherwise.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnn_ablate.composing import composed
from bnn_ablate.console import say
from bnn_ablate.data import Batches, eval_batches, load_splits
from bnn_ablate.evaluate_words import Asked, read_words
from bnn_ablate.evaluation import evaluate
from bnn_ablate.evaluation_text import line, packed_line, timing_lines
from bnn_ablate.evaluations import StoredEvaluation, write_evaluation
from bnn_ablate.identity import file_digest
from bnn_ablate.interop import load_network
from bnn_ablate.job import settings_of
from bnn_ablate.layer_profile import measure_with_steps, profile_text
from bnn_ablate.outcome import PLAIN_ERRORS
from bnn_ablate.packed import EngineError, PackedFileError, PackedNetwork
from bnn_ablate.packed.file import graph_to_bytes
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.graph import GraphError
from bnn_ablate.packed.lower import lower
from bnn_ablate.packed.lowering import LoweringError
from bnn_ablate.packed_evaluation import Comparison, compare, packed_facts
from bnn_ablate.progress import bar
from bnn_ablate.provenance import commit, host, pin_arithmetic, versions
from bnn_ablate.record import Record
from bnn_ablate.result import accuracy_of, weight_digest
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import RunFolder, Store, now
from bnn_ablate.trained import load_trained, saved_settings

#: What one sentence tells.
TOLD = (*PLAIN_ERRORS, EngineError, PackedFileError, LoweringError, GraphError)
#: Samples of latency: more than a run takes, which has to go on.
SAMPLES = 200


def main(arguments: Sequence[str]) -> int:
    """Do what is asked and return the exit status."""
    if any(text in ("-h", "--help") for text in arguments):
        say(str(__doc__))
        return 0
    try:
        asked = read_words(arguments)
        if asked.what == "run" and asked.name == "all":
            return _all_runs(asked)
        return {"run": _run, "checkpoint": _checkpoint, "packed": _packed}[asked.what](asked)
    except TOLD as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("stopped; evaluations that were finished are kept")
        return 130


def _all_runs(asked: Asked) -> int:
    """Every finished run, whatever becomes of the others."""
    finished = [folder.path.name for folder in Store(asked.runs).runs() if folder.has_record]
    if not finished:
        raise SettingsError(f"run=all: no run in {asked.runs} is finished")
    failures = 0
    for number, run_id in enumerate(finished, start=1):
        try:
            failures += _run(asked.of_run(run_id), steps=False)
        except TOLD as error:
            failures += 1
            say(f"error: {error}  (run {run_id})")
        except Exception as error:
            failures += 1
            say(f"{''.join(traceback.format_exception(error))}error: {error}  (run {run_id})")
        say(f"{number} of {len(finished)} runs, {failures} with an error")
    return 1 if failures else 0


def _run(asked: Asked, *, steps: bool = True) -> int:
    folder = Store(asked.runs).run(asked.name)
    settings = _settings_of_run(folder, asked)
    record = folder.record()
    network = load_trained(settings, folder).network
    packed, file_bytes = _packed_of_run(folder, network, settings, asked)
    compared = _compared(f"run {asked.name}", network, packed, settings)
    timing, layers = measure_with_steps(packed, samples=SAMPLES, batch=asked.batch)
    commit_id, dirty = commit()
    stored = StoredEvaluation(
        schema=1,
        run_id=asked.name,
        weight_digest=weight_digest(network),
        time=now(),
        host=host(),
        commit=commit_id,
        dirty=dirty,
        versions=versions(),
        accuracy=accuracy_of(compared.floats),
        packed=packed_facts(compared, packed, timing, file_bytes),
        layers=layers,
    )
    try:
        path = write_evaluation(folder.evaluations, stored)
    except OSError as error:
        raise SettingsError(f"{folder.evaluations} cannot be written: {error.strerror}") from None
    say(line(f"run {asked.name}", compared.floats))
    say(packed_line(stored.packed))
    say(timing_lines(timing, packed, file_bytes))
    say(f"  written to  {path}")
    if steps:
        say(f"\n{profile_text(stored.layers)}")
    return _said_otherwise(record, stored)


def _settings_of_run(folder: RunFolder, asked: Asked) -> Settings:
    status = folder.status()
    config_file = folder.path / "config.yaml"
    if status is None or not config_file.exists() or status.state not in ("trained", "done"):
        state = "is not there" if status is None or not config_file.exists() else f"is {status.state}"
        raise SettingsError(f"run={asked.name} {state} in {asked.runs}: only a trained run can be evaluated")
    return saved_settings(folder, asked.others)


def _packed_of_run(
    folder: RunFolder, network: nn.Module, settings: Settings, asked: Asked
) -> tuple[PackedNetwork, int]:
    """The run's own packed file; runs of before there was an engine have none, and are packed now."""
    if folder.packed.exists():
        return _loaded(folder.packed, settings, asked), folder.packed.stat().st_size
    return _packed_now(network, settings, asked)


def _loaded(path: Path, settings: Settings, asked: Asked) -> PackedNetwork:
    return PackedNetwork.load(path, threads=asked.engine_threads(settings), kernel=asked.kernel)


def _packed_now(network: nn.Module, settings: Settings, asked: Asked) -> tuple[PackedNetwork, int]:
    """The packed network of a float one, and the bytes of a file that is not written."""
    size = settings.data.image_size
    graph = fold(lower(network, (len(settings.data.mean), size, size)))
    packed = PackedNetwork(graph, threads=asked.engine_threads(settings), kernel=asked.kernel)
    return packed, len(graph_to_bytes(graph))


def _said_otherwise(record: Record | None, stored: StoredEvaluation) -> int:
    """1 where the record has another accuracy, or as many other images right, which is told."""
    if record is None:
        return 0
    different = []
    if record.accuracy.top1 != stored.accuracy.top1:
        different.append(f"top-1 {100 * record.accuracy.top1:.2f} %")
    elif record.accuracy.correct_bits != stored.accuracy.correct_bits:
        different.append("other images right")
    if record.packed.top1 is not None and record.packed.top1 != stored.packed.top1:
        different.append(f"packed top-1 {100 * record.packed.top1:.2f} %")
    if different:
        say(f"the record says {' and '.join(different)}: another kind of CPU, other images, or a changed file")
    return 1 if different else 0


def _checkpoint(asked: Asked) -> int:
    path = Path(asked.name)
    network, facts = load_network(path)
    settings = settings_of(composed((), asked.others))
    _check_images(f"checkpoint={path}", settings, facts.in_channels, facts.num_classes, None)
    packed, file_bytes = _packed_now(network, settings, asked)
    compared = _compared(path.name, network, packed, settings)
    said = f"{path.name} ({facts.model.name} of {facts.source.file}, {file_digest(path)[:12]})"
    say(line(said, compared.floats))
    timing, layers = measure_with_steps(packed, samples=SAMPLES, batch=asked.batch)
    say(packed_line(packed_facts(compared, packed, timing, file_bytes)))
    say(timing_lines(timing, packed, file_bytes))
    say(f"\n{profile_text(layers)}")
    return 0


def _packed(asked: Asked) -> int:
    path = Path(asked.name)
    settings = settings_of(composed((), asked.others))
    packed = _loaded(path, settings, asked)
    channels, height, width = packed.image_shape
    _check_images(f"packed={path}", settings, channels, packed.classes, (height, width))
    batches = _batches(settings)
    with bar(path.name, len(batches)) as step:
        result = evaluate(packed, _counted(batches, step))
    say(line(path.name, result))
    timing, layers = measure_with_steps(packed, samples=SAMPLES, batch=asked.batch)
    say(timing_lines(timing, packed, path.stat().st_size))
    say(f"\n{profile_text(layers)}")
    return 0


def _check_images(what: str, settings: Settings, channels: int, classes: int, size: tuple[int, int] | None) -> None:
    data = settings.data
    wanted: list[tuple[str, Any, Any]] = [
        ("channels", len(data.mean), channels),
        ("classes", data.num_classes, classes),
    ]
    if size is not None:
        wanted.append(("pixels", f"{data.image_size}x{data.image_size}", f"{size[0]}x{size[1]}"))
    for name, ours, theirs in wanted:
        if ours != theirs:
            raise SettingsError(f"data={data.name} has {ours} {name} and {what} {theirs}: choose other data")


def _compared(name: str, network: nn.Module, packed: PackedNetwork, settings: Settings) -> Comparison:
    batches = _batches(settings)
    with bar(name, len(batches)) as step:
        return compare(network, packed, _counted(batches, step))


def _batches(settings: Settings) -> Batches:
    """The test images of ``settings``, for the CPU."""
    pin_arithmetic(settings.trainer.threads)
    return eval_batches(
        load_splits(settings.data).test,
        settings.data,
        settings.recipe,
        settings.recipe.batch_size,
        rank=0,
        world_size=1,
        device=torch.device("cpu"),
        workers=settings.trainer.workers,
    )


def _counted(batches: Batches, step: Callable[[], None]) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in batches:
        yield batch
        step()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
