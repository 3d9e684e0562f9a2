"""``python -m bnn_ablate [-m] group=option ...``: one run, or the grid.

Nothing heavy is imported here: help, a wrong setting and the answer of a finished run must not wait for torch.
"""

from __future__ import annotations

import errno
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bnn_ablate.data.errors import DataError
from bnn_ablate.identity import run_id
from bnn_ablate.record import Record, RecordError
from bnn_ablate.settings import Settings, SettingsError, read_settings
from bnn_ablate.store import RunBusyError, RunFolder, Store
from bnn_ablate.study import add_run, asked

#: The design space lies beside the package in the checkout; absolute, so that any folder will do to start from.
CONF = Path(__file__).parent.parent / "conf"

#: What a person can put right: one sentence is enough, a traceback would only hide it.
PLAIN_ERRORS = (SettingsError, DataError, RecordError, RunBusyError)


class SweepEndedError(BaseException):
    """No further job can succeed. Not an Exception: Hydra would catch it and start the next job."""


@dataclass
class Session:
    """What happened to the jobs of this process, for the exit code and the table at the end."""

    failures: int = 0
    store: Store | None = None
    study: str | None = None


session = Session()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def job(config: DictConfig) -> None:
    """One run. A failure is told and counted here, so that the other jobs of a sweep go on."""
    overrides = list(HydraConfig.get().overrides.task)
    label = " ".join(asked(overrides))
    folder = None
    try:
        settings = settings_of(config)
        store = Store(Path(settings.runs))
        folder = store.run(run_id(settings))
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
            say(done_line(train(settings, label), label, "done"))
    except PLAIN_ERRORS as error:
        session.failures += 1
        say(f"error: {error}" + (f"  ({label})" if label else ""))
    except Exception as error:
        session.failures += 1
        say(failure_line(error, label, folder))
        if disk_is_full(error):
            raise SweepEndedError from error


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


def train(settings: Settings, label: str) -> Record:
    """Train in this process. Ctrl-C and SIGTERM end as KeyboardInterrupt, with a checkpoint behind them."""
    from bnn_ablate.checkpoint import StoppedError
    from bnn_ablate.run import run

    try:
        return run(settings, label)
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


def say(text: str) -> None:
    """Results and refusals go to standard output, at once, so that a log shows them in order."""
    print(text, flush=True)


def main() -> None:
    """Run the command line. Exit code 0: all done; 1: a run failed or a setting was wrong; 130: interrupted."""
    try:
        job()
    except KeyboardInterrupt:
        say("stopped; repeat the same command to continue where it stopped")
        sys.exit(130)
    except SweepEndedError:
        pass  # told already
    except OSError as error:
        say(failure_line(error, "", None))
        sys.exit(1)
    if session.store is not None and session.study is not None:
        from bnn_ablate.report.tables import study_table

        say("\n" + study_table(session.store.root, session.study))
    sys.exit(1 if session.failures else 0)


if __name__ == "__main__":
    main()
