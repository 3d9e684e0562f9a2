"""W&B as a view of a run. The record is the source; nothing is ever read back from here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from bnn_ablate.classifier import Classifier
from bnn_ablate.record import Epoch, Record
from bnn_ablate.settings import Settings, SettingsError


class WandbTracker:
    """One W&B run for one run: config, curve, summary, and the record as an artifact when online.

    The run is a handle of its own (``reinit="create_new"``), closed whatever happens, so that several runs in one
    process never meet in it.
    """

    def __init__(
        self, settings: Settings, run_id: str, name: str, labels: dict[str, str], config: dict[str, Any]
    ) -> None:
        self.settings = settings
        self.run_id = run_id
        self.name = name
        self.labels = labels
        self.config = config
        self.run: Any = None

    def open(self) -> None:
        """Start the W&B run; offline it needs no account and asks no question."""
        import wandb

        folder = Path(self.settings.runs).absolute()
        self.run = wandb.init(
            project=self.settings.tracking.project,
            mode=self.settings.tracking.mode,
            dir=folder,
            id=self.run_id,
            # offline runs cannot be resumed: each attempt is whole, and the last one to be synced is shown
            resume="allow" if self.settings.tracking.mode == "online" else None,
            name=self.name,
            group=self.settings.study,
            job_type="train",
            tags=[f"{axis}={option}"[:64] for axis, option in self.labels.items()],
            config={**self.config, "seed": self.settings.seed},
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.run.define_metric("epoch")
        self.run.define_metric("*", step_metric="epoch")

    def rows(self, curve: list[Epoch]) -> None:
        """Log epochs that W&B does not have yet."""
        for row in curve[self.run.step :]:
            self.run.log({key: value for key, value in asdict(row).items() if value is not None})

    def summary(self, record: Record, path: Path) -> None:
        """The record's figures as the run's summary; online, the record itself as an artifact."""
        self.run.summary.update(
            {
                "top1": record.accuracy.top1,
                "top5": record.accuracy.top5,
                "last5_top1": record.last5_top1,
                "packed": asdict(record.packed),
                "cost": asdict(record.cost),
                "weight_digest": record.weight_digest,
            }
        )
        if self.settings.tracking.mode == "online":
            import wandb

            artifact = wandb.Artifact(f"record-{record.run_id}", type="record")
            artifact.add_file(str(path))
            self.run.log_artifact(artifact)

    def close(self, exit_code: int) -> None:
        if self.run is not None:
            self.run.finish(exit_code=exit_code)
            self.run = None


@contextmanager
def tracked(tracker: WandbTracker | None) -> Iterator[None]:
    """Close the tracker's run on every way out, marked as failed where the way out was an exception."""
    if tracker is None:
        yield
        return
    try:
        yield
    except BaseException:
        tracker.close(exit_code=1)
        raise
    tracker.close(exit_code=0)


def check_key(settings: Settings) -> None:
    """Online tracking without a key would ask a question; refuse it before anything starts."""
    if settings.tracking.name == "wandb" and settings.tracking.mode == "online" and "WANDB_API_KEY" not in os.environ:
        raise SettingsError(
            "tracking.mode=online needs the environment variable WANDB_API_KEY: set it or choose offline"
        )


class TrackerCallback(pl.callbacks.Checkpoint):
    """Sends the curve from the process that trains; Lightning calls it once the epoch's row is there."""

    def __init__(self, tracker: WandbTracker) -> None:
        self.tracker = tracker

    def on_train_start(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            self.tracker.open()
            self.tracker.rows(pl_module.curve)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            self.tracker.rows(pl_module.curve)
