"""W&B as a view of a run. The record is the source; nothing is ever read back from here."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from bnn_ablate.classifier import Classifier
from bnn_ablate.record import Epoch, Record
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import RunFolder

#: Seconds that W&B may keep a run waiting; its own are 90 to begin and forever to end. A variable WANDB_INIT_TIMEOUT or
#: WANDB_FINISH_TIMEOUT in the environment replaces them, as it does W&B's own.
PATIENCE = {"init_timeout": 30.0, "finish_timeout": 60.0}

#: Seconds for the first answer of the server. One that is not there must be told before anything is trained.
FIRST_ANSWER = 10.0


class WandbTracker:
    """One W&B run for one run: config, curve, summary, and when online the record and the packed network as artifacts.

    The run is a handle of its own (``reinit="create_new"``), closed whatever happens, so that several runs in one
    process never meet in it. Once open, nothing that W&B does costs the training: the first failure is told in one
    sentence and W&B is left alone from then on.
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
        self.sent = 0
        self.lost = False

    def open(self) -> None:
        """Start the W&B run; offline it needs no account and asks no question. Raises SettingsError."""
        try:
            self._start()
        except Exception as error:  # wandb promises no narrower type
            raise SettingsError(
                f"W&B cannot start run {self.run_id}: {_first_line(error)}; put that right or choose "
                "tracking.mode=offline or tracking=none"
            ) from error

    def _start(self) -> None:
        import wandb

        patience = {key: value for key, value in PATIENCE.items() if f"WANDB_{key}".upper() not in os.environ}
        self.run = wandb.init(
            project=self.settings.tracking.project,
            mode=self.settings.tracking.mode,
            dir=Path(self.settings.runs).absolute(),
            id=self.run_id,
            # offline runs cannot be resumed: each attempt is whole, and the last one to be synced is shown
            resume="allow" if self.settings.tracking.mode == "online" else None,
            name=self.name[:128],  # longer ones are refused
            group=self.settings.study,
            job_type="train",
            tags=[f"{axis}={option}"[:64] for axis, option in self.labels.items()],
            config={**self.config, "seed": self.settings.seed},
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", finish_timeout_raises=True, **patience),
        )
        self.sent = self.run.starting_step  # an epoch is a step; run.step is 0 right after resuming (wandb 0.31)
        self.run.define_metric("epoch")
        self.run.define_metric("*", step_metric="epoch")

    def rows(self, curve: list[Epoch]) -> None:
        """Log epochs that W&B does not have yet."""
        with self._at_no_cost():
            if self.run is not None and not self.lost:
                for row in curve[self.sent :]:
                    self.run.log({key: value for key, value in asdict(row).items() if value is not None})
                    self.sent += 1

    def finished(self, record: Record, folder: RunFolder) -> None:
        """The whole curve, and the record's figures as the run's summary; online, its files as artifacts."""
        with self._at_no_cost():
            if self.run is None and not self.lost:  # trained in another process
                self._start()
        self.rows(record.curve)
        with self._at_no_cost():
            if self.run is not None and not self.lost:
                self._summary(record, folder)

    def _summary(self, record: Record, folder: RunFolder) -> None:
        self.run.summary.update(
            {
                "top1": record.accuracy.top1,
                "top5": record.accuracy.top5,
                "last5_top1": record.last5_top1,
                "packed": {**asdict(record.packed), "latency_ms": record.packed.median_latency_ms},
                "cost": asdict(record.cost),
                "weight_digest": record.weight_digest,
            }
        )
        if self.settings.tracking.mode == "online":
            import wandb

            for kind, path in (("record", folder.path / "record.json"), ("packed", folder.packed)):
                artifact = wandb.Artifact(f"{kind}-{record.run_id}", type=kind)
                artifact.add_file(str(path))
                self.run.log_artifact(artifact)

    def close(self, exit_code: int) -> None:
        """End the W&B run and wait, but not for ever, until the server has all of it."""
        run, self.run = self.run, None
        with self._at_no_cost():
            if run is not None:
                run.finish(exit_code=exit_code)

    @contextmanager
    def _at_no_cost(self) -> Iterator[None]:
        """Tell the first failure and give W&B up; the training and its record go on."""
        try:
            yield
        except Exception as error:
            if not self.lost:
                print(
                    f"W&B does not have all of run {self.run_id} ({_first_line(error)}); the run itself is not "
                    f"affected; send the rest with: wandb sync {Path(self.settings.runs) / 'wandb'}/*-{self.run_id}",
                    file=sys.stderr,
                    flush=True,
                )
            self.lost = True


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


def check_online(settings: Settings) -> None:
    """Refuse online tracking that cannot work, before anything starts. Raises SettingsError."""
    if settings.tracking.name == "wandb" and settings.tracking.mode == "online":
        check_key(settings)
        check_server()


def check_key(settings: Settings) -> None:
    """Online tracking without a key would ask a question; refuse it before anything starts."""
    if settings.tracking.name == "wandb" and settings.tracking.mode == "online" and "WANDB_API_KEY" not in os.environ:
        raise SettingsError(
            "tracking.mode=online needs the environment variable WANDB_API_KEY: set it or choose offline"
        )


def check_server() -> None:
    """Ask for any answer at all: W&B itself would try for ``init_timeout`` seconds, with the data already loaded."""
    import wandb

    chosen = wandb.setup().settings
    if chosen.http_proxy or chosen.https_proxy:  # W&B's own proxies are not ours to use
        return
    try:
        urllib.request.urlopen(chosen.base_url, timeout=FIRST_ANSWER).close()
    except urllib.error.HTTPError:
        pass  # an answer
    except OSError as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLError):  # W&B may know certificates that Python does not
            raise SettingsError(
                f"the W&B server {chosen.base_url} cannot be reached ({reason}): "
                "choose tracking.mode=offline and send the run later with wandb sync"
            ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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

    def on_train_end(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        self._end(trainer, exit_code=0)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._end(trainer, exit_code=1)

    def _end(self, trainer: pl.Trainer, exit_code: int) -> None:
        # of several processes, the one that goes on has no handle and takes the W&B run up anew: it must be free
        if trainer.is_global_zero and trainer.world_size > 1:
            self.tracker.close(exit_code)
