"""Results of the training benchmark in files: Markdown for people, JSON and CSV with every step, and a chart."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path

from bnn_ablate.atomic import write_atomically
from bnn_ablate.bench.training.chart import chart
from bnn_ablate.bench.training.results import Results
from bnn_ablate.bench.training.table import markdown

NAME = "training"


def write(results: Results, folder: Path) -> list[Path]:
    """Write all of it into ``folder``, in place of what an earlier benchmark left there; the files.

    Everything is made before the first file is written, and every file is whole or not there.
    """
    parts = {"md": markdown(results).encode(), "json": as_json(results).encode(), "csv": as_csv(results).encode()}
    parts |= chart(results)
    files = {folder / f"{NAME}.{ending}": part for ending, part in parts.items()}
    for file, part in files.items():
        write_atomically(file, part)
    return list(files)


def as_json(results: Results) -> str:
    """Everything; samples are seconds of a step by round, memory is in MiB."""
    return json.dumps(asdict(results), indent=1) + "\n"


def as_csv(results: Results) -> str:
    """A line a step; the ratio is to the reference's step of the same round."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    head = ["batch", "width", "threads", "contender", "ours", "round", "seconds", "cpu_seconds", "ratio", "cpu_ratio"]
    lines.writerow([*head, "resident_mib", "live_mib"])
    for group in results.groups:
        load, reference = group.load, group.rows[0].samples
        for row in group.rows:
            memory = [None, None] if row.memory is None else [row.memory.resident, row.memory.live]
            for i, sample in row.samples.items():
                ratios = [sample.wall / reference[i].wall, sample.cpu / reference[i].cpu]
                cells = [load.batch, load.features, load.threads, row.name, row.ours, i, sample.wall, sample.cpu]
                lines.writerow([*cells, *ratios, *memory])
    return text.getvalue()
