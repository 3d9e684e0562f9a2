"""Each group in a process of its own, and each contender's memory in another.

TensorFlow's threads and glibc's allocator are set once a process, and torch.compile keeps what it compiled: so no group
meets what an earlier one left.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

from bnn_ablate.allocator import keep_freed_memory
from bnn_ablate.bench.measure import Sample
from bnn_ablate.bench.training.contenders import Load
from bnn_ablate.bench.training.memory import from_line
from bnn_ablate.bench.training.results import Group, Memory, Row

Allocator = Literal["kept", "as-it-comes"]


class ProcessError(RuntimeError):
    """A process of the benchmark failed; the message is its last words."""


def group_of(names: Iterable[str], load: Load, *, rounds: int, allocator: Allocator, profiles: bool) -> Group:
    """Measure contenders by their names in a process of its own. Raises ProcessError."""
    more = ["--rounds", str(rounds), *(["--profile"] if profiles else []), "--contenders", *names]
    return group_from(json.loads(_answer("group", load, allocator, more)))


def with_memory(group: Group, *, allocator: Allocator) -> Group:
    """The group with the memory of every contender that was measured, or in its note why there is none."""
    return replace(
        group, rows=tuple(_with_memory(row, group.load, allocator) if row.samples else row for row in group.rows)
    )


def _with_memory(row: Row, load: Load, allocator: Allocator) -> Row:
    try:
        return replace(row, memory=from_line(_answer("memory", load, allocator, ["--contender", row.name])))
    except ProcessError as error:
        return replace(row, note=f"memory: {error}")


def _answer(mode: str, load: Load, allocator: Allocator, more: Sequence[str]) -> str:
    """The last line that ``python -m bnn_ablate.bench MODE`` prints; libraries may print before."""
    command = [sys.executable, "-m", "bnn_ablate.bench", mode, "--batch", str(load.batch)]
    command += ["--width", str(load.features), "--threads", str(load.threads), "--allocator", allocator, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        last = said[-1] if said else "no word"
        raise ProcessError(f"{mode} of {load.title} ended with code {done.returncode}: {last}")
    return done.stdout.splitlines()[-1]


def set_allocator(allocator: Allocator) -> None:
    """Let the process keep what it frees, or leave that to its C library. Raises ValueError where it cannot."""
    if allocator == "kept" and not keep_freed_memory():
        raise ValueError(
            "--allocator kept is a setting of glibc, which this process does not run on: choose as-it-comes"
        )


def as_text(group: Group) -> str:
    """On one line, for :func:`group_from`."""
    return json.dumps(asdict(group))


def group_from(read: dict[str, Any]) -> Group:
    """The group of which ``read`` is the JSON."""
    rows = tuple(
        Row(
            **{
                **row,
                "samples": {int(i): Sample(**sample) for i, sample in row["samples"].items()},
                "memory": None if row["memory"] is None else Memory(**row["memory"]),
            }
        )
        for row in read["rows"]
    )
    return Group(Load(**read["load"]), rows, read["others"])
