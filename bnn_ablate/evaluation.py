"""The network's answers on a set of images, counted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bnn_ablate.data import Batches


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


@torch.no_grad()
def evaluate(network: nn.Module, batches: Batches) -> Evaluation:
    """Evaluate in float32 and in eval mode; the mode is given back afterwards.

    Top-5 counts the ``min(5, classes)`` largest logits. A forward sum of more than 256 signs rounds in bfloat16, so
    evaluation never runs under autocast.
    """
    was_training = network.training
    network.eval()
    loss = 0.0
    top5 = 0
    correct = []
    try:
        for images, labels in batches:
            with torch.autocast(images.device.type, enabled=False):
                logits = network(images)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices
            hits = best == labels[:, None]
            top5 += int(hits.sum())
            correct.append(hits[:, 0].cpu())
    finally:
        network.train(was_training)
    return Evaluation(loss=loss, top5=top5, correct=torch.cat(correct))
