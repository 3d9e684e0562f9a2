"""One run from start to finish: lock, status, training, packing, evaluation, record. A recipe to read top to bottom."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from omegaconf import OmegaConf

from bnn_ablate import provenance
from bnn_ablate.atomic import write_atomically
from bnn_ablate.checkpoint import AtomicCheckpointIO, Saver, StoppedError
from bnn_ablate.classifier import Classifier, DivergedError
from bnn_ablate.console import say
from bnn_ablate.data import DataError, Splits, load_splits
from bnn_ablate.diagnostics import Diagnostics, diagnostics_file
from bnn_ablate.identity import Ids, ids_of, spelt
from bnn_ablate.layers import set_binary_forward
from bnn_ablate.models import fit_sizes, shapes_of
from bnn_ablate.outcome import Tell
from bnn_ablate.pretraining import PretrainingError, float_settings, pretrained_state, take_over
from bnn_ablate.processes import SpawnedProcesses, as_one_process
from bnn_ablate.progress import MetricsFile, ProgressDisplay, quiet_lightning
from bnn_ablate.record import Record
from bnn_ablate.result import check_engine, make_record
from bnn_ablate.settings import Settings, SettingsError, Trainer
from bnn_ablate.states import retry_hint, status_of
from bnn_ablate.store import RunBusyError, RunFolder, State, Store
from bnn_ablate.synced_norm import synchronise_norms
from bnn_ablate.tracking import TrackerCallback, WandbTracker, tracked, tracker_for
from bnn_ablate.trained import new_network
from bnn_ablate.wandb_access import check_online

#: How often a run looks whether the float network that another process trains is done.
SECONDS_BETWEEN_LOOKS = 2.0

#: Writes a state, with the error that led to it where there was one.
Report = Callable[..., None]


def run(
    settings: Settings,
    ids: Ids,
    label: str,
    *,
    job_type: str = "train",
    announce: str | None = None,
    tell: Tell | None = None,
) -> Record:
    """Train, pack, evaluate and record one run, or return the record it already has.

    With pretrain=relu and the like the float network's run comes first. ``ids`` are the run's own
    (:func:`bnn_ablate.identity.ids_of`); ``label`` names it in W&B, where ``job_type`` is train, or pretrain for such a
    float network; ``announce`` is said once it is sure that this process trains it; ``tell`` is told how far it is.
    Raises StoppedError (a checkpoint was written), DivergedError, RunBusyError, SettingsError, DataError, and whatever
    else went wrong; the run's status.json says the same, with the traceback.
    """
    check_online(settings)
    check_devices(settings.trainer)
    check_engine(settings)
    folder = Store(Path(settings.runs)).run(ids.run_id)
    with folder.lock():
        done = folder.record()  # another process may have finished it since the caller looked
        if done is not None:
            return done
        if announce is not None:
            say(announce)
        with reported(folder, settings, ids) as report:
            if not folder.checkpoint.exists():  # once begun, a training holds all it took over
                train_float_network(settings, ids)
            tracker = tracker_for(settings, ids, label, job_type)
            with tracked(tracker):
                provenance.pin_arithmetic(settings.trainer.threads)
                splits = load_splits(settings.data)
                status = folder.status()
                if status is None or status.state != "trained":
                    train(settings, ids, splits, folder, tracker, report, tell)
                    report("trained")
                record = make_record(settings, splits, folder, ids)
                folder.write_record(record)
                if tracker is not None:
                    tracker.finished(record, folder)
            report("done")
            return record


def check_devices(trainer: Trainer) -> None:
    """Refuse GPUs that are not there, before anything starts. Raises SettingsError."""
    if trainer.accelerator == "gpu" and torch.cuda.device_count() < trainer.devices:
        raise SettingsError(
            f"trainer.accelerator=gpu with trainer.devices={trainer.devices} needs as many GPUs and torch sees "
            f"{torch.cuda.device_count()}: choose fewer, or trainer=cpu"
        )
    processors = os.cpu_count()
    if trainer.accelerator == "cpu" and processors is not None and trainer.devices > max(2, processors):
        raise SettingsError(
            f"trainer.devices={trainer.devices} is more than the {processors} processors of this machine: choose fewer"
        )


@contextmanager
def reported(folder: RunFolder, settings: Settings, ids: Ids) -> Iterator[Report]:
    """Keep status.json true on every way out of a run. Yields the function that writes a state."""

    def report(state: State, error: BaseException | None = None) -> None:
        folder.write_status(status_of(settings, ids, state, error))

    try:
        write_atomically(folder.path / "config.yaml", config_yaml(settings).encode())
        yield report
    except (StoppedError, KeyboardInterrupt, SystemExit):  # Lightning turns KeyboardInterrupt into SystemExit
        status = folder.status()
        if status is None or status.state != "trained":
            report("stopped")
        raise
    except DivergedError as error:
        report("diverged", error)
        raise
    except Exception as error:
        if isinstance(error, DataError | SettingsError) and folder.forget_unless_begun():
            raise  # a slip of the keyboard leaves no run behind that tables would have to show
        # a training that is over stays "trained": a failure after it must never cost it
        status = folder.status()
        if status is None or status.state != "trained":
            try:
                report("failed", error)
            except OSError as second:  # the disk is full: the old status stays, the first error is told
                raise error from second
        raise


def train_float_network(settings: Settings, cell: Ids) -> None:
    """Train the float network that the run starts from, unless it is done; where another process is at it, wait.

    Raises PretrainingError where it cannot be had, and StoppedError and the like as :func:`run` does.
    """
    first = float_settings(settings)
    if first is None:
        return
    ids = ids_of(first, checksum=cell.checksum)
    folder = Store(Path(settings.runs)).run(ids.run_id)
    what = f"the float network of pretrain={settings.design.pretrain.name}"
    waiting = False
    while folder.record() is None:
        status = folder.status()
        if status is not None and status.state == "diverged":
            raise PretrainingError(f"{what}, run {ids.run_id}, diverged: {status.error}; {retry_hint(folder)}")
        try:
            run(first, ids, what, job_type="pretrain", announce=f"run {ids.run_id} starts  ({what})")
        except RunBusyError as busy:
            if not waiting:
                say(f"{what}: {busy}")
            waiting = True
            time.sleep(SECONDS_BETWEEN_LOOKS)
        except DivergedError as error:
            raise PretrainingError(f"{what}, run {ids.run_id}, diverged: {error}") from error


def train(
    settings: Settings,
    ids: Ids,
    splits: Splits,
    folder: RunFolder,
    tracker: WandbTracker | None,
    report: Report,
    tell: Tell | None,
) -> None:
    """Fit the network, from the last checkpoint where there is one; afterwards last.ckpt holds the last epoch."""
    trainer_settings = settings.trainer
    quiet_lightning()
    fitted = fit_sizes(settings.model, settings.design, **shapes_of(settings))
    if fitted.said is not None:
        say(f"run {ids.run_id}: {fitted.said}")
    network = new_network(settings)
    if settings.design.pretrain.name != "none" and not folder.checkpoint.exists():
        name, state = pretrained_state(settings, ids)
        take_over(network, state, name)
    parallel = trainer_settings.devices > 1
    if parallel:
        synchronise_norms(network)
    set_binary_forward(network, trainer_settings.binary_forward)
    if trainer_settings.compile:
        network.compile()
    module = Classifier(network, splits, settings)
    report("running")
    saver = Saver(folder.checkpoint, trainer_settings.checkpoint_minutes)
    diagnostics = Diagnostics(diagnostics_file(folder))
    callbacks: list[pl.Callback] = [MetricsFile(folder.metrics), ProgressDisplay(folder.path.name, tell), diagnostics]
    if tracker is not None:
        callbacks.append(TrackerCallback(tracker, diagnostics))
    callbacks.append(saver)
    trainer = pl.Trainer(
        max_epochs=settings.recipe.epochs,
        accelerator=trainer_settings.accelerator,
        devices=trainer_settings.devices,
        strategy=SpawnedProcesses() if parallel else "auto",
        precision="bf16-mixed" if settings.recipe.precision == "bf16" else "32-true",
        callbacks=callbacks,
        # the processes of a run are ours to start, also inside a job of SLURM, which Lightning would take to be its own
        plugins=[AtomicCheckpointIO(), LightningEnvironment()],
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,  # the module evaluates at the end of each epoch, which leaves no inner loop to resume
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    with as_one_process() if parallel else nullcontext():
        trainer.fit(module, ckpt_path=folder.checkpoint if folder.checkpoint.exists() else None, weights_only=True)


def config_yaml(settings: Settings) -> str:
    """The whole configuration of the run as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(spelt(settings)))
