"""``python -m bnn_ablate.evaluate run=ID [runs=DIR]`` or ``checkpoint=FILE data=NAME ...``: a network on its test set.

``run`` evaluates a trained run again, on the images and with the preparation of its own configuration; ``checkpoint`` a
network that bnn_ablate.interop wrote, on the images that ``data`` and ``recipe`` (normalisation, crops) describe.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn
from yaml import YAMLError

from bnn_ablate.composing import composed
from bnn_ablate.console import say
from bnn_ablate.data import eval_batches, load_splits
from bnn_ablate.evaluation import Evaluation, evaluate
from bnn_ablate.identity import file_digest
from bnn_ablate.interop import load_network
from bnn_ablate.job import PLAIN_ERRORS, settings_of
from bnn_ablate.older import completed
from bnn_ablate.provenance import pin_arithmetic
from bnn_ablate.trained import load_trained
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import Store

#: What decides the images, their preparation, and how many are looked at at a time.
EVALUATION = ("data", "recipe", "trainer.threads", "trainer.workers")


def main(arguments: Sequence[str]) -> int:
    """Print top-1 and top-5; exit code 0, or 1 where something is wrong or a run's record says otherwise."""
    if any(text in ("-h", "--help") for text in arguments):
        say(str(__doc__))
        return 0
    given = {
        name: text[len(name) + 1 :]
        for name in ("run", "checkpoint")
        for text in arguments
        if text.startswith(name + "=")
    }
    others = [text for text in arguments if not text.startswith(("run=", "checkpoint="))]
    try:
        if len(given) != 1 or len(others) != len(arguments) - 1:
            raise SettingsError("give one of run=ID and checkpoint=FILE")
        return _run(given["run"], others) if "run" in given else _checkpoint(Path(given["checkpoint"]), others)
    except PLAIN_ERRORS as error:
        say(f"error: {error}")
        return 1


def _run(run_id: str, others: Sequence[str]) -> int:
    runs = [text.removeprefix("runs=") for text in others if text.startswith("runs=")]
    places = [text for text in others if not text.startswith("runs=")]
    for text in places:
        if not text.startswith(("data.root=", "trainer.threads=")):
            raise SettingsError(
                f"{text} does not apply to run={run_id}: a run may only be given data.root and trainer.threads"
            )
    folder = Store(Path(runs[-1] if runs else "runs")).run(run_id)
    status = folder.status()
    config_file = folder.path / "config.yaml"
    if status is None or not config_file.exists() or status.state not in ("trained", "done"):
        state = "is not there" if status is None or not config_file.exists() else f"is {status.state}"
        raise SettingsError(f"run={run_id} {state} in {folder.path.parent}: only a trained run can be evaluated")
    saved: Any = OmegaConf.to_container(OmegaConf.load(config_file))
    config = OmegaConf.create(completed(saved))
    try:
        config.merge_with(OmegaConf.from_dotlist(places))
    except YAMLError:
        raise SettingsError(f"{' '.join(places)} cannot be read: give values such as data.root=FOLDER") from None
    settings = settings_of(config)
    result = answers(load_trained(settings, folder).network, settings)
    say(line(f"run {run_id}", result))
    record = folder.record()
    if record is not None and record.accuracy.top1 != result.sums[2] / result.sums[0]:
        say(f"the record says top-1 {100 * record.accuracy.top1:.2f} %: another kind of CPU, or other images")
        return 1
    return 0


def _checkpoint(path: Path, others: Sequence[str]) -> int:
    for text in others:
        if not text.startswith(EVALUATION):
            raise SettingsError(f"{text} does not apply to checkpoint={path}: only {', '.join(EVALUATION)} are read")
    network, facts = load_network(path)
    settings = settings_of(composed((), others))
    data = settings.data
    for name, ours, theirs in (
        ("channels", len(data.mean), facts.in_channels),
        ("classes", data.num_classes, facts.num_classes),
    ):
        if ours != theirs:
            raise SettingsError(f"data={data.name} has {ours} {name} and checkpoint={path} {theirs}: choose other data")
    say(
        line(
            f"{path.name} ({facts.model.name} of {facts.source.file}, {file_digest(path)[:12]})",
            answers(network, settings),
        )
    )
    return 0


def answers(network: nn.Module, settings: Settings) -> Evaluation:
    """The network's answers on the test images of ``settings``, in float32 on the CPU."""
    pin_arithmetic(settings.trainer.threads)
    batches = eval_batches(
        load_splits(settings.data).test,
        settings.data,
        settings.recipe,
        settings.recipe.batch_size,
        rank=0,
        world_size=1,
        device=torch.device("cpu"),
        workers=settings.trainer.workers,
    )
    return evaluate(network, batches)


def line(name: str, result: Evaluation) -> str:
    """The result in one line."""
    count, _, hits, top5 = result.sums
    return f"{name}: test top-1 {100 * hits / count:.2f} %, top-5 {100 * top5 / count:.2f} % of {count:.0f} images"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
