"""``python -m bnn_ablate.scaling_error run=ID|all [runs=DIR] [images=N] [data.root=DIR]``.

How near does a scaling factor bring a binary convolution to the float convolution of the same latent weights and real
inputs, and what is left of that behind a BatchNorm? Computed for every binary convolution of a trained run on its first
N test images (default: 64, or all where there are fewer), and written to runs/ID/scaling_error.json, from which the
report judges the claim that BatchNorm takes the difference away. ``run=all`` takes all finished runs. Nothing else in
the folder is touched.

Exit status: 0; 1 where something is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnn_ablate.console import say
from bnn_ablate.data import eval_batches, load_splits
from bnn_ablate.evaluation import inference
from bnn_ablate.layers import BORDER_VALUE, BinaryConv2d
from bnn_ablate.outcome import PLAIN_ERRORS
from bnn_ablate.result import weight_digest
from bnn_ablate.scaling_errors import FILE, Errors, LayerErrors, ScalingErrors, write_errors
from bnn_ablate.settings import SettingsError
from bnn_ablate.store import RunFolder, Store
from bnn_ablate.trained import load_trained, saved_settings

IMAGES = 64
#: torch's, as in every BatchNorm of the networks.
EPS = 1e-5


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The words of the command line; ``images`` is None where none says it, ``others`` override a run's settings."""

    run: str
    runs: Path
    images: int | None
    others: tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    """Do what is asked and return the exit status."""
    if any(text in ("-h", "--help") for text in arguments):
        say(str(__doc__))
        return 0
    try:
        asked = read_words(arguments)
        failures = 0
        for run_id in _run_ids(asked):
            try:
                _run(asked, run_id)
            except PLAIN_ERRORS as error:
                failures += 1
                say(f"error: {error}")
    except PLAIN_ERRORS as error:
        say(f"error: {error}")
        return 1
    return 1 if failures else 0


def read_words(arguments: Sequence[str]) -> Asked:
    """Raises SettingsError with one sentence about the first word that is wrong."""
    given = {"run": "", "runs": "runs", "images": ""}
    others = []
    for word in arguments:
        key, _, value = word.partition("=")
        if key == "data.root" and value:
            others.append(word)
        elif key in given and value:
            given[key] = value
        else:
            raise SettingsError(f"{word} is not an argument: give run=ID|all, runs=DIR, images=N or data.root=DIR")
    if not given["run"]:
        raise SettingsError("run= is missing: give run=ID, or run=all for all finished runs")
    if given["images"] and (not given["images"].isdecimal() or int(given["images"]) < 2):
        raise SettingsError(f"images={given['images']} must be a number from 2 on: a BatchNorm takes means over them")
    images = int(given["images"]) if given["images"] else None
    return Asked(run=given["run"], runs=Path(given["runs"]), images=images, others=tuple(others))


def _run_ids(asked: Asked) -> list[str]:
    if asked.run != "all":
        return [asked.run]
    finished = [folder.path.name for folder in Store(asked.runs).runs() if folder.has_record]
    if not finished:
        raise SettingsError(f"run=all: no run in {asked.runs} is finished")
    return finished


def _run(asked: Asked, run_id: str) -> None:
    folder = Store(asked.runs).run(run_id)
    errors = errors_of_run(folder, images=asked.images, overrides=asked.others)
    path = folder.path / FILE
    try:
        write_errors(path, errors)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from None
    worst = max(abs(layer.after_norm.alpha_k - layer.after_norm.binary) for layer in errors.layers)
    layers = f"{len(errors.layers)} layers"
    say(f"run {run_id}: {layers}, after BatchNorm the error with alpha and K differs by at most {worst:.3f}: {path}")


def errors_of_run(folder: RunFolder, *, images: int | None, overrides: Sequence[str]) -> ScalingErrors:
    """Load a trained run and compare on its first ``images`` test images; None takes IMAGES, or all where fewer are.

    Raises SettingsError where there is no trained run, nothing binary in it or too few images, CheckpointError for a
    damaged file.
    """
    status = folder.status()
    if status is None or status.state not in ("trained", "done"):
        state = "is not there" if status is None else f"is {status.state}"
        raise SettingsError(f"run={folder.path.name} {state} in {folder.path.parent}: only a trained run has weights")
    settings = saved_settings(folder, overrides)
    network = load_trained(settings, folder).network
    test = load_splits(settings.data).test
    device = torch.device("cpu")
    if images is not None and images > len(test):
        there = f"the test set of run {folder.path.name} has {len(test)}"
        raise SettingsError(f"images={images} are more than there are: {there}")
    num = min(IMAGES, len(test)) if images is None else images
    batches = eval_batches(test, settings.data, settings.recipe, num, rank=0, world_size=1, device=device, workers=0)
    batch = next(iter(batches))[0]
    layers = layer_errors(network, batch)
    if not layers:
        raise SettingsError(f"run={folder.path.name} has no convolution of signs: there is nothing to scale")
    return ScalingErrors(
        schema=1,
        run_id=folder.path.name,
        weight_digest=weight_digest(network),
        images=len(batch),
        layers=layers,
    )


def layer_errors(network: nn.Module, images: Tensor) -> list[LayerErrors]:
    """The errors of every binary convolution of ``network`` on the inputs that ``images`` (N, C, H, W) give it."""
    found: list[LayerErrors] = []
    hooks = [
        layer.register_forward_pre_hook(_measurer(name, found))
        for name, layer in network.named_modules()
        if isinstance(layer, BinaryConv2d)
    ]
    try:
        with inference(network):
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _measurer(name: str, found: list[LayerErrors]) -> Any:
    def measure(layer: BinaryConv2d, inputs: tuple[Tensor, ...]) -> None:
        floats, binary, alpha, alpha_k = outputs(layer, inputs[0])
        norm = _normalised(floats)
        found.append(
            LayerErrors(
                name=name,
                before_norm=_errors(floats, [binary, alpha, alpha_k]),
                after_norm=_errors(norm, [_normalised(y) for y in (binary, alpha, alpha_k)]),
            )
        )

    return measure


def outputs(layer: BinaryConv2d, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W * x with borders of 0, and for the signs of both y, alpha y and alpha K y, whatever the layer's own scaling."""
    weight = layer.weight
    floats = layer._convolved(x, weight, border=0)
    binary = layer._convolved(_signs(x), _signs(weight), border=BORDER_VALUE[layer.design.padding.name])
    alpha = weight.abs().mean((1, 2, 3)).view(-1, 1, 1) * binary
    return floats, binary, alpha, layer._spread(x) * alpha


def _signs(x: Tensor) -> Tensor:
    """sign(0) = +1."""
    return torch.where(x < 0, -1.0, 1.0)


def _normalised(y: Tensor) -> Tensor:
    """BatchNorm with the statistics of ``y`` (N, C, H, W) and no scale or shift of its own."""
    return nn.functional.batch_norm(y, None, None, training=True, eps=EPS)


def _errors(floats: Tensor, others: Sequence[Tensor]) -> Errors:
    size = torch.linalg.vector_norm(floats)
    binary, alpha, alpha_k = (float(torch.linalg.vector_norm(y - floats) / size) for y in others)
    return Errors(binary=binary, alpha=alpha, alpha_k=alpha_k)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
