"""What a person sees while a run trains: a bar in a terminal, plain lines elsewhere; and the rows of metrics.csv."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from bnn_ablate.classifier import Classifier
from bnn_ablate.csv_rows import csv_text
from bnn_ablate.outcome import Progress, Tell
from bnn_ablate.record import Epoch


def epoch_line(row: Epoch, epochs: int) -> str:
    """One epoch in words, accuracies in percent."""
    return (
        f"epoch {row.epoch + 1}/{epochs}  loss {row.train_loss:.3f}  train {100 * row.train_top1:.2f} %  "
        f"test {100 * row.test_top1:.2f} %  {row.seconds:.1f} s"
    )


def quiet_lightning() -> None:
    """Silence what Lightning tells about loggers and devices: none of it is about the run."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # a process of a run is started by us and not by srun, on a machine of a cluster as elsewhere
    warnings.filterwarnings("ignore", "The `srun` command is available on your system")
    # Lightning 2.6 on torch 2.13
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")


class ProgressDisplay(pl.callbacks.Checkpoint):
    """Steps of the whole run as one bar where standard error is a terminal; a line an epoch where it is not.

    One of Lightning's Checkpoint callbacks, because those are called after the module has added the epoch's row.
    """

    def __init__(self, run_id: str, tell: Tell | None = None) -> None:
        self.run_id = run_id
        self.tell = tell
        self.told = 0.0
        self.bar: Bar | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        quiet_lightning()  # again, for training processes other than the one that started

    def on_train_start(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        self._tell(trainer, pl_module, at_once=True)
        if not (trainer.is_global_zero and sys.stderr.isatty()):
            return
        self.bar = _new_bar()
        self.bar.start()
        steps = pl_module.recipe.epochs * pl_module.steps_per_epoch
        self.bar.add_task(self.run_id, total=steps, completed=trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Classifier, *_: Any) -> None:  # type: ignore[override]
        self._tell(trainer, pl_module, at_once=False)
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if not trainer.is_global_zero:
            return
        self._tell(trainer, pl_module, at_once=True)
        line = f"{self.run_id}  {epoch_line(pl_module.curve[-1], pl_module.recipe.epochs)}"
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], description=line)
        else:
            print(line, file=sys.stderr, flush=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _tell(self, trainer: pl.Trainer, pl_module: Classifier, *, at_once: bool) -> None:
        """Tell the sweep how far the run is, at most once a second between epochs."""
        if self.tell is None or not trainer.is_global_zero:
            return
        now = time.monotonic()
        if not at_once and now - self.told < 1:
            return
        self.told = now
        steps = pl_module.recipe.epochs * pl_module.steps_per_epoch
        self.tell(Progress(trainer.global_step, steps, pl_module.curve[-1] if pl_module.curve else None))

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


class MetricsFile(pl.callbacks.Checkpoint):
    """metrics.csv, a row an epoch, flushed. The checkpoint is the source: a resumed run writes its rows anew.

    One of Lightning's Checkpoint callbacks, because those are called after the module has added the epoch's row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            self.path.write_text(csv_text(Epoch, pl_module.curve, header=True))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            with open(self.path, "a") as file:
                file.write(csv_text(Epoch, pl_module.curve[-1:], header=False))


@contextmanager
def bar(description: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar of ``total`` steps where standard error is a terminal, nothing elsewhere. Yields what counts a step."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with _new_bar() as shown:
        task = shown.add_task(description, total=total)
        yield lambda: shown.advance(task)


def _new_bar() -> Bar:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True), transient=True)
