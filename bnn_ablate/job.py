"""One job of the command line: settings, the record or the training, and the line that a person reads."""

from __future__ import annotations

import errno
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bnn_ablate.console import say
from bnn_ablate.data.errors import DataError
from bnn_ablate.identity import Ids, ids_of
from bnn_ablate.pretraining import PretrainingError
from bnn_ablate.record import Record, RecordError
from bnn_ablate.settings import Settings, SettingsError, read_settings
from bnn_ablate.store import CheckpointError, RunBusyError, RunFolder, Store
from bnn_ablate.study import add_run, asked

#: What a person can put right: one sentence is enough, a traceback would only hide it.
PLAIN_ERRORS = (SettingsError, DataError, RecordError, RunBusyError, CheckpointError, PretrainingError)


@dataclass
class Session:
    """What happened to the jobs of this process, for the exit code and the table at the end."""

    failures: int = 0
    store: Store | None = None
    study: str | None = None
    #: No further job can be kept: the rest of a sweep is left for another time.
    disk_full: bool = False


session = Session()


def perform(config: DictConfig) -> None:
    """Do one job. A failure is told and counted in ``session``, so that the other jobs of a sweep go on.

    Raises KeyboardInterrupt where a person or the cluster asked to stop.
    """
    if session.disk_full:
        return
    overrides = list(HydraConfig.get().overrides.task)
    label = " ".join(asked(overrides))
    folder = None
    try:
        settings = settings_of(config)
        store = Store(Path(settings.runs))
        ids = ids_of(settings)
        folder = store.run(ids.run_id)
        session.store, session.study = store, settings.study
        if settings.study is not None:
            add_run(store.studies, settings.study, overrides, folder.path.name)
        record = folder.record()
        if record is not None:
            say(done_line(record, label, "already done"))
        elif state_of(folder) == "diverged":
            session.failures += 1
            say(f"{diverged_line(folder, label)}; delete {folder.path} to train it again")
        else:
            say(f"run {folder.path.name} starts" + (f"  ({label})" if label else ""))
            say(done_line(train(settings, ids, label), "", "done"))
    except PLAIN_ERRORS as error:
        session.failures += 1
        say(f"error: {error}" + (f"  ({label})" if label else ""))
    except Exception as error:
        session.failures += 1
        say(failure_line(error, label, folder))
        session.disk_full = disk_is_full(error)


def settings_of(config: DictConfig) -> Settings:
    """The composed configuration as checked values; what is left out or cannot be resolved is a SettingsError."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise SettingsError(f"{missing[0]} has no default: give it as {missing[0]}=VALUE")
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise SettingsError(str(error).splitlines()[0]) from None
    return read_settings(plain)


def train(settings: Settings, ids: Ids, label: str) -> Record:
    """Train in this process. Ctrl-C and SIGTERM end as KeyboardInterrupt, with a checkpoint behind them."""
    from bnn_ablate.checkpoint import StoppedError
    from bnn_ablate.run import run

    try:
        return run(settings, ids, label)
    except (StoppedError, SystemExit):  # Lightning answers a second Ctrl-C with SystemExit
        raise KeyboardInterrupt from None


def done_line(record: Record, label: str, how: str) -> str:
    """A finished run in one line."""
    accuracy = record.accuracy
    return f"run {record.run_id} {how}: test top-1 {100 * accuracy.top1:.2f} % of {accuracy.num_images} images" + (
        f"  ({label})" if label else ""
    )


def state_of(folder: RunFolder) -> str | None:
    """The run's last state, None where it never started."""
    status = folder.status()
    return None if status is None else status.state


def diverged_line(folder: RunFolder, label: str) -> str:
    """A diverged run in one line."""
    status = folder.status()
    return f"run {folder.path.name} diverged: {status.error if status else ''}" + (f"  ({label})" if label else "")


def failure_line(error: Exception, label: str, folder: RunFolder | None) -> str:
    """What went wrong, what is still whole, and the traceback or where it lies."""
    what = f"run {folder.path.name} failed" if folder is not None else "failed"
    suffix = f"  ({label})" if label else ""
    if disk_is_full(error):
        return (
            f"{what}: no space left on the disk of the runs; finished runs and the last checkpoint are whole: "
            f"make space and repeat the command to continue{suffix}"
        )
    state = state_of(folder) if folder is not None else None
    if folder is not None and state == "diverged":
        return diverged_line(folder, label)
    if folder is not None and state == "failed":
        return f"{what}: {type(error).__name__}: {error} (traceback in {folder.path / 'status.json'}){suffix}"
    # it went wrong before or after the training, where the run's status keeps no traceback
    return f"{''.join(traceback.format_exception(error))}{what}: {type(error).__name__}: {error}{suffix}"


def disk_is_full(error: Exception) -> bool:
    """Whether the disk, or the person's share of it, has no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def table_of_study() -> str | None:
    """The table of the sweep that this process worked on, None for a single run."""
    if session.store is None or session.study is None:
        return None
    from bnn_ablate.report.tables import study_table

    try:
        return study_table(session.store.root, session.study)
    except RecordError as error:
        session.failures += 1
        return f"error: {error}"
