"""Results in files: Markdown for people, JSON and CSV with every sample for programs, and charts."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bnn_ablate.atomic import write_atomically
from bnn_ablate.bench import machine
from bnn_ablate.bench.chart import write_charts
from bnn_ablate.bench.results import Results
from bnn_ablate.bench.tables import markdown
from bnn_ablate.console import say


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Tell what the system refuses within as a sentence about ``--out``. Raises ValueError."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written: {error.strerror}") from error


def make_folder(out: Path) -> None:
    """Make ``out`` before anything is measured for it. Raises ValueError where it could not be written to."""
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def announce(facts: Mapping[str, str]) -> None:
    """Say on what machine a benchmark begins, and whether others are at work on it."""
    for name, value in facts.items():
        say(f"{name}: {value}")
    busy = machine.idle_check()
    if busy is not None and busy >= machine.BUSY:
        say(f"warning: others use {busy:.2f} processors now: times will be disturbed")


def write(results: Results, folder: Path) -> list[Path]:
    """Write all of it into ``folder``, in place of what an earlier benchmark left there; the files."""
    texts = {"bench.md": markdown(results), "bench.json": as_json(results), "bench.csv": as_csv(results)}
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
    charts = [file for group in results.groups for file in write_charts(group, folder, results.facts)]
    return [*(folder / name for name in texts), *charts]


def as_json(results: Results) -> str:
    """Everything; samples are seconds of a whole batch by round."""
    return json.dumps(asdict(results), indent=1) + "\n"


def as_csv(results: Results) -> str:
    """A line a sample."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["size", "batch", "threads", "network", "engine", "ours", "round", "seconds", "cpu_seconds"])
    for group in results.groups:
        for row in group.rows:
            for i, sample in row.samples.items():
                cells = [group.size, group.batch, group.threads, row.network, row.engine, row.ours, i]
                lines.writerow([*cells, sample.wall, sample.cpu])
    return text.getvalue()
