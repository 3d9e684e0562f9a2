"""What status.json says of a run, made from the run's settings."""

from __future__ import annotations

import os
import socket
import traceback

from bnn_ablate.identity import Ids, plain_config
from bnn_ablate.settings import Settings
from bnn_ablate.store import RunFolder, State, Status, job_id, now


def status_of(
    settings: Settings, ids: Ids, state: State, error: BaseException | None = None, *, sentence: str | None = None
) -> Status:
    """The status of a run in ``state``, as this process would write it now.

    ``error`` is what led to it; ``sentence`` says so where the error was another process'.
    """
    if error is not None:
        sentence = f"{type(error).__name__}: {error}"
    return Status(
        run_id=ids.run_id,
        cell_id=ids.cell_id,
        seed=settings.seed,
        state=state,
        config=plain_config(settings, ids),
        host=socket.gethostname(),
        pid=os.getpid(),
        job_id=job_id(),
        updated=now(),
        error=sentence,
        traceback=None if error is None else "".join(traceback.format_exception(error)),
    )


def retry_hint(folder: RunFolder) -> str:
    """How a person has a run trained again that is not by itself."""
    return f"to train it again: python -m bnn_ablate.runs retry {folder.path.name} runs={folder.path.parent}"
