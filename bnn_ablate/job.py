"""One job of the command line: settings, the record or the training, and the line that a person reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bnn_ablate.console import say
from bnn_ablate.identity import ids_of
from bnn_ablate.outcome import PLAIN_ERRORS, Outcome, accuracy_of, attempt
from bnn_ablate.record import Record, RecordError
from bnn_ablate.settings import Settings, SettingsError, read_settings
from bnn_ablate.states import retry_hint
from bnn_ablate.store import Status, Store
from bnn_ablate.study import add_run, asked
from bnn_ablate.wandb_access import agents_run


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
    suffix = f"  ({label})" if label else ""
    try:
        settings = settings_of(config)
        store = Store(Path(settings.runs))
        ids = ids_of(settings)
        folder = store.run(ids.run_id)
        session.store, session.study = store, settings.study
        if settings.study is not None:
            words = asked(overrides, folder=settings.data.name == "image_folder")
            add_run(store.studies, settings.study, words, folder.path.name)
        record = folder.record()
        status = folder.status()
    except PLAIN_ERRORS as error:
        session.failures += 1
        say(f"error: {error}{suffix}")
        return
    if record is not None:
        if agents_run() is not None:
            from bnn_ablate.tracking import show_done

            show_done(settings, ids, label, record, folder)
        say(done_line(record, label, "already done"))
    elif status is not None and status.state == "diverged":
        session.failures += 1
        say(f"{diverged_line(status)}; {retry_hint(folder)}{suffix}")
    else:
        say(f"run {folder.path.name} starts{suffix}")
        outcome = attempt(settings, ids, label, folder)
        if outcome.kind == "stopped":
            raise KeyboardInterrupt
        session.failures += outcome.kind != "done"
        session.disk_full = outcome.kind == "disk full"
        say(outcome_line(folder.path.name, outcome) + suffix)


def settings_of(config: DictConfig) -> Settings:
    """The composed configuration as checked values; what is left out or cannot be resolved is a SettingsError."""
    return read_settings(plain_of(config))


def plain_of(config: DictConfig) -> Any:
    """The composed configuration as plain values; what is left out or cannot be resolved is a SettingsError."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise SettingsError(f"{missing[0]} has no default: give it as {missing[0]}=VALUE")
    try:
        return OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise SettingsError(str(error).splitlines()[0]) from None


def done_line(record: Record, label: str, how: str) -> str:
    """A finished run in one line."""
    return f"run {record.run_id} {how}: {accuracy_of(record)}" + (f"  ({label})" if label else "")


def outcome_line(run_id: str, outcome: Outcome) -> str:
    """What became of a run in one line, or with the traceback that lies nowhere else."""
    match outcome.kind:
        case "done" | "diverged" | "failed":
            return f"run {run_id} {outcome.kind}: {outcome.sentence}"
        case "refused":
            return f"error: {outcome.sentence}"
        case "disk full":
            return f"run {run_id} failed: {outcome.sentence}"
        case "stopped" | "busy":
            return outcome.sentence


def diverged_line(status: Status) -> str:
    """A diverged run in one line."""
    return f"run {status.run_id} diverged: {status.error}"


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
