"""What the child processes of the tests do: train, and be killed or stopped at a chosen point.

Few imports: every child loads this module anew.
"""

from __future__ import annotations

import os
import signal

from bnn_ablate.settings import Settings


def train(settings: Settings) -> None:
    from bnn_ablate.run import run

    run(settings, "tiny")


def train_and_die_at_step(settings: Settings, step: int, number: int) -> None:
    """Send ``number`` to ourselves when that training step (from 0, over all epochs) begins."""
    from bnn_ablate.classifier import Classifier

    original = Classifier.training_step

    def training_step(self, batch, batch_idx):
        if self.global_step == step:
            os.kill(os.getpid(), number)
        return original(self, batch, batch_idx)

    Classifier.training_step = training_step
    exit_as_the_command_line_does(settings)


def train_and_die_in_call(settings: Settings, name: str, suffix: str, call: int) -> None:
    """SIGKILL at the ``call``-th (from 1) use of os.``name`` on a file ending in ``suffix``, before it happens."""
    original = getattr(os, name)
    seen = 0

    def dying(first, *rest):
        nonlocal seen
        target = str(rest[0]) if rest else os.readlink(f"/proc/self/fd/{first}")
        if suffix in target:
            seen += 1
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)
        return original(first, *rest)

    setattr(os, name, dying)
    train(settings)


def train_and_die_in_evaluation(settings: Settings, call: int) -> None:
    from bnn_ablate import classifier

    original = classifier.evaluate
    seen = 0

    def evaluate(network, batches):
        nonlocal seen
        seen += 1
        if seen == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(network, batches)

    classifier.evaluate = evaluate
    train(settings)


def exit_as_the_command_line_does(settings: Settings) -> None:
    from bnn_ablate.__main__ import train as train_or_interrupt

    try:
        train_or_interrupt(settings, "tiny")
    except KeyboardInterrupt:
        os._exit(130)
