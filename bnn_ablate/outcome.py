"""One attempt at a run, and what came of it as a value that processes can send to each other."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bnn_ablate.data.errors import DataError
from bnn_ablate.identity import Ids
from bnn_ablate.pretraining import PretrainingError
from bnn_ablate.record import Epoch, Record, RecordError
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import CheckpointError, RunBusyError, RunFolder

#: What a person can put right: one sentence is enough, a traceback would only hide it.
PLAIN_ERRORS = (SettingsError, DataError, RecordError, RunBusyError, CheckpointError, PretrainingError)

#: ``refused``: a person can put right what kept it from its end, and the sentence says how. ``stopped``: somebody
#: asked, a checkpoint is there. ``busy``: another process is at it. ``disk full``: no room for the next file; what was
#: written before is whole.
Kind = Literal["done", "refused", "failed", "diverged", "stopped", "busy", "disk full"]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended; ``sentence`` tells it to a person, without the run's id and label."""

    kind: Kind
    sentence: str


@dataclass(frozen=True)
class Progress:
    """How far a training is, in optimizer steps, and its last finished epoch."""

    step: int
    steps: int
    row: Epoch | None


#: Tells how far a training is; must not fail.
Tell = Callable[[Progress], None]


def attempt(
    settings: Settings,
    ids: Ids,
    label: str,
    folder: RunFolder,
    *,
    job_type: str = "train",
    tell: Tell | None = None,
) -> Outcome:
    """Train in this process, from the last checkpoint where there is one; whatever happens is an outcome.

    ``folder`` is the run's; ``label`` and ``job_type`` are for W&B. Ctrl-C and SIGTERM end as ``stopped``, with a
    checkpoint behind them where training had begun.
    """
    from bnn_ablate.checkpoint import StoppedError
    from bnn_ablate.run import run

    try:
        return Outcome("done", accuracy_of(run(settings, ids, label, job_type=job_type, tell=tell)))
    except (StoppedError, KeyboardInterrupt, SystemExit):  # Lightning answers a second Ctrl-C with SystemExit
        return Outcome("stopped", "stopped")
    except RunBusyError as error:
        return Outcome("busy", str(error))
    except PLAIN_ERRORS as error:
        return Outcome("refused", str(error))
    except Exception as error:
        return failure(error, folder)


def accuracy_of(record: Record) -> str:
    """A result in a few words."""
    return f"test top-1 {100 * record.accuracy.top1:.2f} % of {record.accuracy.num_images} images"


def failure(error: Exception, folder: RunFolder) -> Outcome:
    """What went wrong, what is still whole, and where the traceback lies."""
    if disk_is_full(error):
        return Outcome(
            "disk full",
            "no space left on the disk of the runs; finished runs and the last checkpoint are whole: make space and "
            "repeat the command to continue",
        )
    status = folder.status()
    if status is not None and status.state == "diverged":
        return Outcome("diverged", str(status.error))
    said = f"{type(error).__name__}: {error}"
    if status is not None and status.state == "failed":
        return Outcome("failed", f"{said} (traceback in {folder.path / 'status.json'})")
    # it went wrong before or after the training, where the run's status keeps no traceback
    return Outcome("failed", f"{said}\n{''.join(traceback.format_exception(error)).rstrip()}")


def disk_is_full(error: BaseException) -> bool:
    """Whether the disk, or the person's share of it, has no room left."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
