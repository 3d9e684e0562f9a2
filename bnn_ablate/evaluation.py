"""The network's answers on a set of images, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Evaluation:
    """Sums over the images of one process: ``loss`` and ``top5`` summed, ``correct`` one bool an image (N,)."""

    loss: float
    top5: int
    correct: Tensor

    @property
    def sums(self) -> list[float]:
        """Images, summed loss, top-1 hits, top-5 hits: what processes add up."""
        return [float(len(self.correct)), self.loss, float(self.correct.sum()), float(self.top5)]


class Tally:
    """Logits against labels, batch by batch. Top-5 counts the ``min(5, classes)`` largest logits."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._top5 = 0
        self._correct: list[Tensor] = []

    def add(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Count a batch, logits (B, classes) and labels (B,); its predictions (B,), on the CPU."""
        self._loss += F.cross_entropy(logits, labels, reduction="sum").item()
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices
        hits = best == labels[:, None]
        self._top5 += int(hits.sum())
        self._correct.append(hits[:, 0].cpu())
        return best[:, 0].cpu()

    @property
    def evaluation(self) -> Evaluation:
        return Evaluation(loss=self._loss, top5=self._top5, correct=torch.cat(self._correct))


def evaluate(network: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """Evaluate in float32; a module in eval mode, and its mode is given back afterwards."""
    tally = Tally()
    with inference(network):
        for images, labels in batches:
            tally.add(logits_of(network, images), labels)
    return tally.evaluation


def logits_of(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Logits in float32: a forward sum of more than 256 signs rounds in bfloat16, so never under autocast."""
    with torch.autocast(images.device.type, enabled=False):
        return network(images)


@contextmanager
def inference(network: object) -> Iterator[None]:
    """No gradients, and eval mode where the network is a module; its mode is given back afterwards."""
    was_training = isinstance(network, nn.Module) and network.training
    if isinstance(network, nn.Module):
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if isinstance(network, nn.Module):
            network.train(was_training)
