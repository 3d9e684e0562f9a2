"""The words that the evaluate command takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from bnn_ablate.latency import BATCH
from bnn_ablate.packed.engine import MAX_THREADS
from bnn_ablate.packed.library import chosen_kernel
from bnn_ablate.settings import Settings, SettingsError

What = Literal["run", "checkpoint", "packed"]
WHATS = ("run", "checkpoint", "packed")
OPTIONS = ("kernel", "threads", "batch")
#: What decides the test images, their preparation, and how many are looked at at a time.
EVALUATION = (
    *("data", "data.root", "data.download", "data.image_size", "data.num_classes", "data.limit_test"),
    *("data.mean", "data.std"),
    *("recipe", "recipe.batch_size", "recipe.normalize", "recipe/augment"),
    *("recipe.augment.resize", "recipe.augment.filter", "trainer.threads", "trainer.workers"),
)
#: What a run may be given, whose configuration says the rest.
OF_RUNS = ("data.root", "trainer.threads")
MAX_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to evaluate: ``name`` is the id of a run in the folder ``runs``, or ``all``, or a file.

    ``kernel`` None is the fastest, ``threads`` None those of the settings; ``others`` are overrides of settings.
    """

    what: What
    name: str
    runs: Path
    kernel: str | None
    threads: int | None
    batch: int
    others: tuple[str, ...]

    def of_run(self, run_id: str) -> Asked:
        """The same of one run."""
        return replace(self, name=run_id)

    def engine_threads(self, settings: Settings) -> int:
        """Raises SettingsError where those of the settings are too many."""
        if self.threads is not None:
            return self.threads
        if settings.trainer.threads > MAX_THREADS:
            raise SettingsError(f"trainer.threads={settings.trainer.threads} is more than {MAX_THREADS}: choose fewer")
        return settings.trainer.threads


def read_words(arguments: Sequence[str]) -> Asked:
    """Raises SettingsError with one sentence about the first word that is wrong."""
    given: dict[str, str] = {}
    others = []
    for text in arguments:
        key, _, value = text.partition("=")
        if key not in (*WHATS, *OPTIONS, "runs"):
            others.append(text)
        elif key in given:
            raise SettingsError(f"{key}= can be given once")
        elif not value:
            raise SettingsError(f"{key}= is empty: give {key}=VALUE")
        else:
            given[key] = value
    named = [key for key in WHATS if key in given]
    if len(named) != 1:
        raise SettingsError("give one of run=ID, run=all, checkpoint=FILE and packed=FILE")
    what, name = cast(What, named[0]), given[named[0]]
    if what == "run":
        for text in others:
            if text.partition("=")[0] not in OF_RUNS:
                raise SettingsError(
                    f"{text} does not apply to run={name}: a run may only be given data.root, trainer.threads, "
                    "kernel, threads, batch and runs"
                )
    else:
        if "runs" in given:
            others.append(f"runs={given['runs']}")
        for text in others:
            if text.partition("=")[0] not in EVALUATION:
                raise SettingsError(f"{text} does not apply to {what}={name}: only {', '.join(EVALUATION)} are read")
    kernel = given.get("kernel")
    try:
        chosen_kernel(kernel)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    asked = Asked(
        what=what,
        name=name,
        runs=Path(given.get("runs", "runs")),
        kernel=kernel,
        threads=_whole("threads", given["threads"], MAX_THREADS) if "threads" in given else None,
        batch=_whole("batch", given["batch"], MAX_BATCH) if "batch" in given else BATCH,
        others=tuple(others),
    )
    if what == "run" and name != "all" and re.fullmatch("[0-9a-f]{12}", name) is None:
        raise SettingsError(f"run={name} is no run: give the 12 hexadecimal digits of its id, or all")
    return asked


def _whole(key: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
        raise SettingsError(f"{key}={text} must be a whole number from 1 to {most}")
    return int(text)
