"""A training that writes down the gradients of its first step, in whichever process it happens."""

from __future__ import annotations

from pathlib import Path

import torch
from interruptions import train

from bnn_ablate.classifier import Classifier
from bnn_ablate.settings import Settings


class Recording(Classifier):
    """Writes the gradients as the optimizer gets them; of several processes each writes its own file."""

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.global_step == 0:
            gradients = {
                name: parameter.grad for name, parameter in self.network.named_parameters() if parameter.requires_grad
            }
            torch.save(gradients, Path(self.settings.runs) / f"gradients.{self.trainer.global_rank}")


def train_recording(settings: Settings) -> None:
    from bnn_ablate import run

    run.Classifier = Recording
    train(settings)
