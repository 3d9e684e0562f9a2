"""What the child processes of the tests do: train, and be killed or stopped at a chosen point.

Few imports: every child loads this module anew.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from bnn_ablate.identity import ids_of
from bnn_ablate.settings import Settings


def train(settings: Settings) -> None:
    from bnn_ablate.run import run

    run(settings, ids_of(settings), "tiny")


def train_and_die_at_step(settings: Settings, step: int, number: int) -> None:
    """Send ``number`` to ourselves when that training step (from 0, over all epochs) begins."""
    at_step(step, lambda: os.kill(os.getpid(), number))
    exit_as_the_command_line_does(settings)


def at_step(step: int, action: Callable[[], None]) -> None:
    """Do ``action`` when that training step begins."""
    from bnn_ablate.classifier import Classifier

    original = Classifier.training_step

    def training_step(self, batch, batch_idx):
        if self.global_step == step:
            action()
        return original(self, batch, batch_idx)

    Classifier.training_step = training_step


def train_and_count_trainings(settings: Settings, path: str) -> None:
    """Append what the activations of each network are that this process begins to train."""
    from bnn_ablate import run

    original = run.new_network

    def new_network(settings):
        with open(path, "a") as file:  # short appends do not mix
            file.write(f"{settings.design.activations.name}\n")
        return original(settings)

    run.new_network = new_network  # load_trained has its own
    train(settings)


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


def train_and_fail_to_pack(settings: Settings) -> None:
    from bnn_ablate import result

    def write_packed(*_):
        raise ZeroDivisionError("on purpose")

    result.write_packed = write_packed
    train(settings)


def exit_as_the_command_line_does(settings: Settings) -> None:
    from bnn_ablate.outcome import attempt
    from bnn_ablate.store import Store

    ids = ids_of(settings)
    outcome = attempt(settings, ids, "tiny", Store(Path(settings.runs)).run(ids.run_id))
    if outcome.kind != "done":
        os._exit(130 if outcome.kind == "stopped" else 1)


def command_line(arguments: list[str], output: str) -> None:
    """``python -m bnn_ablate`` with these arguments; what it prints goes to the file ``output``."""
    stream = open(output, "a")  # noqa: SIM115 - lives as long as the process
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.argv = ["bnn_ablate", *arguments]
    from bnn_ablate.__main__ import main

    main()


def command_line_stopped_at_step(arguments: list[str], output: str, step: int) -> None:
    """The same with a Ctrl-C in that training step."""
    at_step(step, lambda: os.kill(os.getpid(), signal.SIGINT))
    command_line(arguments, output)


def command_line_failing_at_step(arguments: list[str], output: str, step: int) -> None:
    """The same with an error in that training step."""

    def fail() -> None:
        raise ZeroDivisionError("on purpose")

    at_step(step, fail)
    command_line(arguments, output)


def command_line_on_a_full_disk(arguments: list[str], output: str, writes: int) -> None:
    """The same on a disk that is full from the ``writes``-th checkpoint (from 1) on."""
    import errno

    original = os.fsync
    seen = 0

    def fsync(descriptor):
        nonlocal seen
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        seen += "last.ckpt" in name
        if seen >= writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        return original(descriptor)

    os.fsync = fsync
    command_line(arguments, output)


def train_one_that_tells_where_it_is(job, connection, gpus) -> None:
    """A process of a sweep whose training says what it sees, in print and as its outcome."""
    from bnn_ablate.outcome import Outcome
    from bnn_ablate.sweep import child

    def attempt(*_, **__):
        print("printed")
        os.system("echo by another program")
        print("to standard error", file=sys.stderr)
        own_group = os.getpgrp() == os.getpid()
        return Outcome("done", f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {own_group}")

    child.attempt = attempt
    child.train_one(job, connection, gpus)


def print_on_a_full_disk(path: str) -> None:
    """What a process of a sweep prints where there is no room; exit code 0 if nothing came of it."""
    from pathlib import Path

    from bnn_ablate.sweep.child import write_output_to

    write_output_to(Path(path))
    print("lost" * 10_000)
    print("lost", file=sys.stderr, flush=True)
