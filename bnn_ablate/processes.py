"""Training in several processes, as it looks from the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch.distributed
from pytorch_lightning.strategies import DDPStrategy
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from bnn_ablate.checkpoint import StoppedError
from bnn_ablate.classifier import DivergedError


class SpawnedProcesses(DDPStrategy):
    """Training processes that are started anew and end their process group before they end themselves.

    Gloo's threads free the tensors of the last exchange, for which they need Python. Left to the end of the process
    they may find it closing, which aborts it with the training done (PyTorch pull request 179291). Lightning 2.6 ends
    the group of NCCL only.
    """

    def __init__(self) -> None:
        super().__init__(start_method="spawn")

    def teardown(self) -> None:
        super().teardown()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def as_one_process() -> Iterator[None]:
    """Pass Ctrl-C and SIGTERM on to the training processes, and let their outcomes come back as their own.

    A second signal, or one before there is a process, ends everything at once.

    A StoppedError or DivergedError in a training process is raised here as what it is; other errors keep torch's
    wrapping, which holds the whole traceback.
    """
    asked = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or not multiprocessing.active_children():
            raise KeyboardInterrupt
        asked = True
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except ProcessExitedException:
        if asked:  # a process that had not yet begun to train ends at once: there is nothing to save
            raise StoppedError from None
        raise
    except ProcessRaisedException as error:
        lines = str(error).strip().splitlines()
        if any(line.startswith(f"{StoppedError.__module__}.{StoppedError.__name__}") for line in lines):
            raise StoppedError from None
        name = f"{DivergedError.__module__}.{DivergedError.__name__}: "
        told = [line.removeprefix(name) for line in lines if line.startswith(name)]
        if told:
            raise DivergedError(told[-1]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
