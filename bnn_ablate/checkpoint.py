"""Checkpoints that are whole or not there, at the end of each epoch, now and then inside one, and on request."""

from __future__ import annotations

import io
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import CheckpointIO

from bnn_ablate.atomic import write_atomically
from bnn_ablate.safe_load import UnreadableError, load_safely
from bnn_ablate.store import CheckpointError


class StoppedError(Exception):
    """Training was asked to stop and a checkpoint was written; the same command continues it."""


class AtomicCheckpointIO(CheckpointIO):
    """Checkpoints go through memory into a temporary file beside the target, to the disk, and are renamed.

    Lightning's own writer can leave a truncated file on a full disk. Reading never unpickles foreign classes.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        try:
            return load_safely(Path(path).read_bytes())
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
        except UnreadableError as error:
            # never written so by us: a disk's fault, or another program's file
            raise CheckpointError(f"{path} is damaged: delete it to train the run from its start") from error

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink()


class StopRequest:
    """Ctrl-C and SIGTERM as a wish: the step in progress ends, a checkpoint is written, training stops.

    A second Ctrl-C stops at once, without a checkpoint.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take both signals, after Lightning took SIGTERM: its handler ends the epoch loop without a checkpoint."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)

    def remove(self) -> None:
        """Give the signals back to whom they belonged."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


class Saver(Checkpoint):
    """Writes ``path`` at each epoch's end, after ``minutes`` inside one, and when ``request`` asks to stop.

    Lightning calls callbacks of its Checkpoint class after the module's own end of an epoch, so the curve's new row is
    in the checkpoint. Nothing is saved between an epoch's last step and its end: there Lightning would skip the end.
    """

    def __init__(self, path: Path, minutes: float) -> None:
        self.path = path
        self.seconds = minutes * 60
        self.saved = time.monotonic()
        self.request = StopRequest()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.request.install()
        self.saved = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.request.remove()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.request.remove()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            return
        stop = self._asked_anywhere(trainer)
        due = time.monotonic() - self.saved > self.seconds
        if trainer.world_size > 1:
            due = bool(trainer.strategy.reduce_boolean_decision(due, all=False))
        if stop or due:
            self._save(trainer)
        if stop:
            raise StoppedError

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)
        if self._asked_anywhere(trainer) and trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            raise StoppedError

    def _asked_anywhere(self, trainer: pl.Trainer) -> bool:
        asked = self.request.signal is not None
        # a process that stops alone would leave the others waiting for its gradients
        return bool(trainer.strategy.reduce_boolean_decision(asked, all=False)) if trainer.world_size > 1 else asked

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self.saved = time.monotonic()
