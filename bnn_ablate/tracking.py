"""W&B as a view of a run. The record is the source; nothing is ever read back from here."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from bnn_ablate.classifier import Classifier
from bnn_ablate.console import first_line
from bnn_ablate.diagnostics import Diagnostic, Diagnostics, by_epoch, read_diagnostics
from bnn_ablate.identity import Ids
from bnn_ablate.record import Epoch, Record
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import RunFolder, Store
from bnn_ablate.tracked_facts import closing_facts, opening_facts
from bnn_ablate.wandb_access import agents_run
from bnn_ablate.wandb_address import FILE, write_address

#: Seconds that W&B may keep a run waiting; its own are 90 to begin and forever to end. A variable WANDB_INIT_TIMEOUT or
#: WANDB_FINISH_TIMEOUT in the environment replaces them, as it does W&B's own.
PATIENCE = {"init_timeout": 30.0, "finish_timeout": 60.0}


def tracker_for(settings: Settings, ids: Ids, label: str, job_type: str) -> WandbTracker | None:
    """What tells W&B of a run; None where tracking=none.

    None also for the float network of a pretraining under a W&B agent: the agent's W&B run is that of the network which
    the sweep asked for, and whatever this process starts would be counted as that cell of the sweep.
    """
    if settings.tracking.name == "none" or (job_type == "pretrain" and agents_run() is not None):
        return None
    return WandbTracker(settings, ids.run_id, opening_facts(settings, ids, label, job_type))


class WandbTracker:
    """One W&B run for one run: config, curve, summary, and the record and the packed network as artifacts.

    ``facts`` are arguments of wandb.init. The run is a handle of its own (``reinit="create_new"``), closed whatever
    happens, so that several runs in one process never meet in it. Once open, nothing that W&B does costs the training:
    the first failure is told in one sentence and W&B is left alone from then on.
    """

    def __init__(self, settings: Settings, run_id: str, facts: dict[str, Any]) -> None:
        self.settings = settings
        self.run_id = run_id
        self.facts = facts
        agents = agents_run()
        self.wandb_id = run_id if agents is None else agents
        self.run: Any = None
        self.sent = 0
        self.lost = False

    def prepare(self) -> None:
        """Start W&B's service, which takes a quarter of a second, while the data is loaded."""

        def setup() -> None:
            with suppress(Exception):  # wandb.init meets it again, and tells it
                import wandb

                wandb.setup()

        threading.Thread(target=setup, daemon=True).start()

    def open(self) -> None:
        """Start the W&B run; offline it needs no account and asks no question. Raises SettingsError."""
        try:
            self._start()
        except Exception as error:  # wandb promises no narrower type
            raise SettingsError(
                f"W&B cannot start run {self.run_id}: {first_line(error)}; put that right or choose "
                "tracking.mode=offline or tracking=none"
            ) from error

    def _start(self) -> None:
        import wandb

        patience = {key: value for key, value in PATIENCE.items() if f"WANDB_{key}".upper() not in os.environ}
        self.run = wandb.init(
            **self.facts,
            project=self.settings.tracking.project,
            mode=self.settings.tracking.mode,
            dir=Path(self.settings.runs).absolute(),
            id=self.wandb_id,
            # offline runs cannot be resumed: each attempt is whole, and the last one to be synced is shown
            resume="allow" if self.settings.tracking.mode == "online" else None,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", finish_timeout_raises=True, **patience),
        )
        self.sent = self.run.starting_step  # an epoch is a step; run.step is 0 right after resuming (wandb 0.31)
        self.run.define_metric("epoch", hidden=True)  # a chart of it would be a diagonal
        self.run.define_metric("*", step_metric="epoch")
        if self.settings.tracking.mode == "online":
            self._keep_address(self.run.url)

    def _keep_address(self, url: str | None) -> None:
        """Put the address of the newest W&B run into the run's folder; without one, say so and go on."""
        if not url:  # W&B's word for a server that shows no pages is an empty one
            return
        folder = Store(Path(self.settings.runs)).run(self.run_id).path
        try:
            write_address(folder, url)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no plain address of http or https"
            print(
                f"the address of run {self.run_id} in W&B cannot be kept in {folder / FILE}: {reason}; the run itself "
                "is not affected",
                file=sys.stderr,
                flush=True,
            )

    def rows(self, curve: Sequence[Epoch], diagnostics: Iterable[Diagnostic]) -> None:
        """Log epochs that W&B does not have yet, each with its diagnostics."""
        with self._at_no_cost():
            if self.run is not None and not self.lost:
                measured = by_epoch(diagnostics)
                for row in curve[self.sent :]:
                    known = {key: value for key, value in asdict(row).items() if value is not None}
                    self.run.log({**known, **measured.get(row.epoch, {})})
                    self.sent += 1

    def finished(self, record: Record, folder: RunFolder) -> None:
        """The whole curve, the record's figures as the run's summary, and its files as artifacts."""
        with self._at_no_cost():
            if self.run is None and not self.lost:  # trained in another process
                self._start()
        self.rows(record.curve, read_diagnostics(folder))
        with self._at_no_cost():
            if self.run is not None and not self.lost:
                self._close_with(record, folder)

    def _close_with(self, record: Record, folder: RunFolder) -> None:
        import wandb

        if record.packed.top1 is not None and self.sent == len(record.curve):
            self.run.log({"epoch": record.curve[-1].epoch, "packed_top1": record.packed.top1})
            self.sent += 1
        self.run.summary.update(closing_facts(record))
        for kind, path in (("record", folder.path / "record.json"), ("packed", folder.packed)):
            artifact = wandb.Artifact(f"{kind}-{record.run_id}", type=kind)
            # neither file changes any more: it is sent from where it lies, now or by `wandb sync`, and never copied
            artifact.add_file(str(path), policy="immutable", skip_cache=True)
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
                    f"W&B does not have all of run {self.run_id} ({first_line(error)}); the run itself is not "
                    f"affected; send the rest with: wandb sync {Path(self.settings.runs) / 'wandb'}/*-{self.wandb_id}",
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
    tracker.prepare()
    try:
        yield
    except BaseException:
        tracker.close(exit_code=1)
        raise
    tracker.close(exit_code=0)


class TrackerCallback(pl.callbacks.Checkpoint):
    """Sends the curve from the process that trains; Lightning calls it once the epoch's row is there.

    ``diagnostics`` has to be called before it.
    """

    def __init__(self, tracker: WandbTracker, diagnostics: Diagnostics) -> None:
        self.tracker = tracker
        self.diagnostics = diagnostics

    def on_train_start(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            self.tracker.open()
            self.tracker.rows(pl_module.curve, self.diagnostics.lines)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            self.tracker.rows(pl_module.curve, self.diagnostics.lines)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        self._end(trainer, exit_code=0)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._end(trainer, exit_code=1)

    def _end(self, trainer: pl.Trainer, exit_code: int) -> None:
        # of several processes, the one that goes on has no handle and takes the W&B run up anew: it must be free
        if trainer.is_global_zero and trainer.world_size > 1:
            self.tracker.close(exit_code)


def show_done(settings: Settings, ids: Ids, label: str, record: Record, folder: RunFolder) -> None:
    """Send a run that was trained before as the W&B run which an agent expects of this process."""
    tracker = tracker_for(settings, ids, label, "train")
    with tracked(tracker):
        if tracker is not None:
            tracker.finished(record, folder)
