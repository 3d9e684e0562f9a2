"""The LightningModule: loss, sums over an epoch, optimizer and rate. No architecture."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from bnn_ablate.allocator import keep_freed_memory
from bnn_ablate.data import Batches, DataError, Splits, eval_batches, train_batches
from bnn_ablate.design import Ede
from bnn_ablate.evaluation import evaluate
from bnn_ablate.layers import QuantizedConv2d, clamp_latent_, frozen_share, set_progress
from bnn_ablate.provenance import peak_memory_bytes, pin_arithmetic, place, reset_peak_memory
from bnn_ablate.recipe import Adam, Recipe
from bnn_ablate.record import Epoch
from bnn_ablate.schedule import rate_factor
from bnn_ablate.settings import Settings
from bnn_ablate.store import now

#: A loss that is no number is looked for this often (in steps): often enough to save time, too seldom to cost any.
STEPS_BETWEEN_CHECKS = 50


class DivergedError(RuntimeError):
    """The loss is no longer a number: an outcome of the run, not a fault of the program."""


class Classifier(pl.LightningModule):
    """Trains ``network`` on ``splits`` as ``settings.recipe`` says and keeps the curve, a row an epoch.

    The curve, the sums of an unfinished epoch and its seconds travel in the checkpoint, so a run that was stopped
    anywhere ends with the same rows.
    """

    def __init__(self, network: nn.Module, splits: Splits, settings: Settings) -> None:
        super().__init__()
        if len(splits.train) < settings.recipe.batch_size:
            raise DataError(
                f"recipe.batch_size={settings.recipe.batch_size} is more than the {len(splits.train)} training images "
                "that data.limit_train and data.holdout leave"
            )
        self.network = network
        self.splits = splits
        self.settings = settings
        self.curve: list[Epoch] = []
        # summed loss and top-1 hits of the epoch so far; float64, so that a resumed sum is the same sum
        self.sums = torch.zeros(2, dtype=torch.float64)
        self.images_seen = 0
        self.seconds_before = 0.0  # of this epoch, in earlier processes
        self.clock = time.monotonic()
        self.started = now()
        #: Where each part of the training ran, the first one first: an entry is added at each resume.
        self.places = [place(settings.trainer)]
        self.peak_memory_bytes: int | None = None

    @property
    def recipe(self) -> Recipe:
        return self.settings.recipe

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches only: the images of the incomplete one are others in each epoch."""
        return len(self.splits.train) // self.recipe.batch_size

    # --- data: asked for inside the training process, where rank and device are known ---

    def train_dataloader(self) -> Batches:
        return train_batches(
            self.splits.train,
            self.settings.data,
            self.recipe,
            self.settings.seed,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            device=self.device,
            workers=self.settings.trainer.workers,
        )

    def eval_batches(self, images: Any) -> Batches:
        return eval_batches(
            images,
            self.settings.data,
            self.recipe,
            self.recipe.batch_size,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            device=self.device,
            workers=self.settings.trainer.workers,
        )

    # --- training ---

    def on_fit_start(self) -> None:
        pin_arithmetic(self.settings.trainer.threads)  # again: Lightning gives each of several processes one thread
        if self.settings.trainer.accelerator == "cpu":
            keep_freed_memory()
        reset_peak_memory(self.settings.trainer.accelerator)

    def on_train_epoch_start(self) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.images_seen = 0
        self.seconds_before = 0.0
        self.clock = time.monotonic()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        if isinstance(self.settings.design.grad, Ede):
            # here and not at the epoch's start, which a run resumed inside an epoch does not pass
            set_progress(self.network, self.current_epoch / self.recipe.epochs)
        logits = self.network(images)
        loss = F.cross_entropy(logits.float(), labels)
        with torch.no_grad():
            hits = (logits.argmax(dim=1) == labels).sum()
            self.sums += torch.stack([loss.detach().double() * len(labels), hits.double()])
        self.images_seen += len(labels)
        if batch_idx % STEPS_BETWEEN_CHECKS == 0:
            self._refuse_divergence(self.sums[0].item())
        return loss

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.settings.design.latent.name == "clamped":
            clamp_latent_(self.network, self.settings.design)

    def on_train_epoch_end(self) -> None:
        seconds = self.seconds_before + time.monotonic() - self.clock
        count, loss, hits = self._over_processes([self.images_seen, *self.sums.tolist()])
        self._refuse_divergence(loss)
        test_count, test_loss, test_top1, test_top5 = self._evaluated(self.splits.test)
        self._refuse_divergence(test_loss)
        holdout_top1 = None
        if self.splits.holdout is not None:
            holdout_count, _, holdout_hits, _ = self._evaluated(self.splits.holdout)
            holdout_top1 = holdout_hits / holdout_count
        design = self.settings.design
        windowed = design.grad.name == "approxsign_both" or design.weights.name == "magnitude_aware"
        self.curve.append(
            Epoch(
                epoch=self.current_epoch,
                lr=self.recipe.optimizer.lr * self._rate_factor((self.current_epoch + 1) * self.steps_per_epoch - 1),
                train_loss=loss / count,
                train_top1=hits / count,
                test_loss=test_loss / test_count,
                test_top1=test_top1 / test_count,
                test_top5=test_top5 / test_count,
                holdout_top1=holdout_top1,
                frozen_weights=frozen_share(self.network) if windowed else None,
                seconds=seconds,
            )
        )

    def _evaluated(self, images: Any) -> list[float]:
        return self._over_processes(evaluate(self.network, self.eval_batches(images)).sums)

    def _over_processes(self, sums: list[float]) -> list[float]:
        if self.trainer.world_size == 1:
            return sums
        total: Tensor = self.trainer.strategy.reduce(
            torch.tensor(sums, dtype=torch.float64, device=self.device), reduce_op="sum"
        )
        return total.tolist()

    def _refuse_divergence(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss} in epoch {self.current_epoch} (counted from 0)")

    # --- optimizer ---

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.network, self.recipe)
        schedule = LambdaLR(optimizer, self._rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate_factor(self, step: int) -> float:
        return rate_factor(
            self.recipe.schedule, step=step, steps_per_epoch=self.steps_per_epoch, epochs=self.recipe.epochs
        )

    # --- what a checkpoint holds beside the network and the optimizer ---

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["bnn_ablate"] = {
            "curve": [asdict(row) for row in self.curve],
            "sums": self.sums.cpu(),
            "images_seen": self.images_seen,
            "seconds": self.seconds_before + time.monotonic() - self.clock,
            "started": self.started,
            "places": self.places,
            "peak_memory_bytes": self._peak_memory_bytes(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["bnn_ablate"]
        self.curve = [Epoch(**row) for row in state["curve"]]
        self.sums = state["sums"].to(self.device)
        self.images_seen = state["images_seen"]
        self.seconds_before = state["seconds"]
        self.clock = time.monotonic()
        self.started = state["started"]
        self.places = [*state["places"], *self.places]
        self.peak_memory_bytes = state["peak_memory_bytes"]

    def _peak_memory_bytes(self) -> int | None:
        """Of this process and of those that trained before it; unknown where one of them could not tell."""
        now_peak = peak_memory_bytes(self.settings.trainer.accelerator)
        if now_peak is None or (len(self.places) > 1 and self.peak_memory_bytes is None):
            return None
        return now_peak if self.peak_memory_bytes is None else max(now_peak, self.peak_memory_bytes)


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimizer; weight decay acts on float convolutions and the classifier's weight only.

    Latent weights keep their sign under any decay, BatchNorm and biases are left alone too: wd_mult 0 in the
    authors' code.
    """
    settings = recipe.optimizer
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for module in network.modules():
        float_layer = isinstance(module, nn.Conv2d | nn.Linear) or (
            isinstance(module, QuantizedConv2d) and not module.binary_weights
        )
        for name, parameter in module.named_parameters(recurse=False):
            (decayed if float_layer and name == "weight" else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if not isinstance(settings, Adam):
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    betas = (settings.beta1, settings.beta2)
    if settings.name == "radam":
        return torch.optim.RAdam(groups, lr=settings.lr, betas=betas, eps=settings.eps)
    # one pass over each tensor in place of a dozen; the default loops in Python
    return torch.optim.Adam(groups, lr=settings.lr, betas=betas, eps=settings.eps, fused=True)
