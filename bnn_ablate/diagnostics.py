"""What accuracies do not show of a training: signs that flip, activations that saturate, gradients that fade.

    runs/<run id>/diagnostics.csv   epoch, layer, quantity, value: a line for each that was measured

``flipped_signs`` is the share of a layer's latent weights whose sign is another one than an epoch before (in the first
epoch: than at the start), and in the line of the layer ``all`` that of all of them. ``saturated_activations`` is the
share of a layer's inputs beyond the clip threshold of its estimator, or beyond 1 where that has none, over the first
:data:`IMAGES` test images and with the epoch's last weights. ``gradient_norm`` is the Euclidean norm of the loss's
gradient on a layer's weight in the epoch's last step. Layers are convolutions and the classifier, by their names in the
network. Nothing here changes a training: no random number is drawn, and no statistic of a BatchNorm moves.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnn_ablate.classifier import Classifier
from bnn_ablate.csv_rows import csv_text
from bnn_ablate.data import eval_batches
from bnn_ablate.evaluation import inference
from bnn_ablate.layers import QuantizedConv2d
from bnn_ablate.store import RunFolder

#: Test images whose activations are looked at: each has thousands of values a layer, and more would cost the smallest
#: trainings (the digits) above one hundredth of their time.
IMAGES = 16

#: The line of all layers together.
ALL = "all"

#: Where activations keep their values, the function beyond whose bound they saturate.
BOUNDED = ("clip", "leaky_clip")

#: Of each layer the sign bits of its latent weights, 1 where they are negative, eight a byte.
SignBits = dict[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class Diagnostic:
    """One line of diagnostics.csv."""

    epoch: int
    layer: str
    quantity: str
    value: float


def diagnostics_file(folder: RunFolder) -> Path:
    """Where the run's diagnostics lie."""
    return folder.path / "diagnostics.csv"


def read_diagnostics(folder: RunFolder) -> list[Diagnostic]:
    """The lines of a run's file; none where the training was over before there were diagnostics."""
    path = diagnostics_file(folder)
    return read_csv(path.read_text()) if path.exists() else []


class Diagnostics(pl.callbacks.Checkpoint):
    """Measures at each epoch's end and keeps diagnostics.csv at ``path``, in the first of several processes.

    Lines and signs travel in the checkpoint, so that a resumed run ends with the file of one that nobody disturbed. One
    of Lightning's Checkpoint callbacks, because those are called after the module's own end of an epoch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Diagnostic] = []
        self.signs: SignBits | None = None
        self._gradient_norms: dict[str, float] = {}
        self._images: Tensor | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if not trainer.is_global_zero:
            return
        # a checkpoint of before there were diagnostics brings no signs, and inside an epoch they are not known
        if self.signs is None and trainer.global_step % pl_module.steps_per_epoch == 0:
            self.signs = sign_bits(pl_module.network)
        self.path.write_text(csv_text(Diagnostic, self.lines, header=True))

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Classifier, optimizer: Any) -> None:  # type: ignore[override]
        if trainer.is_global_zero and trainer.is_last_batch:
            self._gradient_norms = gradient_norms(pl_module.network)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if not trainer.is_global_zero:
            return
        signs = sign_bits(pl_module.network)
        measured = {
            "flipped_signs": {} if self.signs is None else flipped_signs(self.signs, signs, pl_module.network),
            "saturated_activations": saturated_activations(pl_module.network, self._first_images(pl_module)),
            "gradient_norm": self._gradient_norms,
        }
        self.signs = signs
        new = [
            Diagnostic(pl_module.current_epoch, layer, quantity, value)
            for quantity, layers in measured.items()
            for layer, value in layers.items()
        ]
        self.lines += new
        with open(self.path, "a") as file:
            file.write(csv_text(Diagnostic, new, header=False))

    def _first_images(self, module: Classifier) -> Tensor:
        if self._images is None:
            settings = module.settings
            batches = eval_batches(
                module.splits.test,
                settings.data,
                settings.recipe,
                IMAGES,
                rank=0,
                world_size=1,
                device=module.device,
                workers=0,
            )
            self._images = next(iter(batches))[0]
        return self._images

    def state_dict(self) -> dict[str, Any]:
        # tensors and a text: a checkpoint holds nothing else
        signs = self.signs
        return {
            "csv": csv_text(Diagnostic, self.lines, header=True),
            "signs": None if signs is None else {layer: torch.from_numpy(bits) for layer, bits in signs.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.lines = read_csv(state["csv"])
        signs = state["signs"]
        self.signs = None if signs is None else {layer: bits.cpu().numpy() for layer, bits in signs.items()}


def binary_layers(network: nn.Module) -> dict[str, QuantizedConv2d]:
    """The layers with latent weights."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, QuantizedConv2d) and layer.binary_weights
    }


@torch.no_grad()
def sign_bits(network: nn.Module) -> SignBits:
    """Of each layer of ``network`` the sign bits of its latent weights."""
    return {
        name: np.packbits((layer.weight < 0).contiguous().flatten().cpu().numpy())
        for name, layer in binary_layers(network).items()
    }


def flipped_signs(before: SignBits, after: SignBits, network: nn.Module) -> dict[str, float]:
    """The share of signs that differ, in each layer and in all; empty where nothing is binary."""
    sizes = {name: layer.weight.numel() for name, layer in binary_layers(network).items()}
    flips = {name: int(np.bitwise_count(before[name] ^ after[name]).sum()) for name in sizes}
    shares = {name: flips[name] / size for name, size in sizes.items()}
    return {**shares, ALL: sum(flips.values()) / sum(sizes.values())} if sizes else {}


def saturated_activations(network: nn.Module, images: Tensor) -> dict[str, float]:
    """The share of each layer's inputs beyond its :func:`bound`, in eval mode and float32."""
    counts: dict[str, list[int]] = {}
    hooks = []
    for name, layer in network.named_modules():
        limit = bound(layer) if isinstance(layer, QuantizedConv2d) else None
        if limit is not None:
            counts[name] = [0, 0]
            hooks.append(layer.register_forward_pre_hook(_counter(counts[name], limit)))
    try:
        with inference(network), torch.autocast(images.device.type, enabled=False):
            network.forward(images)  # not the call: torch.compile may hold one without hooks
    finally:
        for hook in hooks:
            hook.remove()
    return {name: beyond / seen for name, (beyond, seen) in counts.items()}


def bound(layer: QuantizedConv2d) -> float | None:
    """Beyond which absolute value an input of ``layer`` is saturated; None where it keeps any value it has."""
    design = layer.design
    if design.activations.name == "float":
        return 1.0 if design.activations.function in BOUNDED else None
    return 1.0 if design.grad.clip is None else design.grad.clip


def _counter(count: list[int], limit: float) -> Any:
    def read(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        count[0] += int(torch.count_nonzero(inputs[0].abs() > limit))
        count[1] += inputs[0].numel()

    return read


@torch.no_grad()
def gradient_norms(network: nn.Module) -> dict[str, float]:
    """The Euclidean norm of the present gradient of each convolution's and classifier's weight."""
    found = {
        name: layer.weight.grad
        for name, layer in network.named_modules()
        if isinstance(layer, QuantizedConv2d | nn.Conv2d | nn.Linear) and layer.weight.grad is not None
    }
    norms = torch.stack([torch.linalg.vector_norm(grad.float()) for grad in found.values()])
    return dict(zip(found, norms.tolist(), strict=True))


def read_csv(text: str) -> list[Diagnostic]:
    """Lines of a file with its header."""
    return [
        Diagnostic(int(row["epoch"]), row["layer"], row["quantity"], float(row["value"]))
        for row in csv.DictReader(io.StringIO(text))
    ]


def by_epoch(lines: Iterable[Diagnostic]) -> Mapping[int, dict[str, float]]:
    """The values of each epoch under ``quantity/layer``, as curves are named in W&B."""
    epochs: dict[int, dict[str, float]] = {}
    for line in lines:
        epochs.setdefault(line.epoch, {})[f"{line.quantity}/{line.layer}"] = line.value
    return epochs
