"""All that is known of one run: as text for a person, as plain values for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from textwrap import wrap
from typing import Any

import yaml

from bnn_ablate.record import Packed, Record, plain
from bnn_ablate.report.numbers import MIB, counted, duration, one_line, percent, significant
from bnn_ablate.report.rows import combined_macs
from bnn_ablate.runs.curve import curve_lines
from bnn_ablate.runs.entries import Entry, RunsError, read_config
from bnn_ablate.runs.files import file_sizes, output_tail, printable, size_text, wandb_folders
from bnn_ablate.runs.table import age, entry_json, state_text

#: The most characters of a row of plots: a wider one shows no more.
PLOT_WIDTH = 118


def show_text(entry: Entry, now: datetime, width: int) -> str:
    """What it is, what became of it, its curve, and what it said; our own lines fit ``width``."""
    parts = ["\n".join(_facts(entry, now, width))]
    config = _yaml(entry, width)
    parts.append(f"configuration\n{_indented(config)}")
    if entry.curve:
        parts.append("\n".join(curve_lines(entry.curve, min(width, PLOT_WIDTH))))
    if entry.status is not None and entry.status.traceback is not None:
        parts.append(f"traceback\n{_indented(entry.status.traceback)}")
    said = output_tail(entry.folder.path)
    if said:
        parts.append(f"last lines of {entry.folder.output}\n" + _indented("\n".join(said)))
    return "\n\n".join(parts)


def _facts(entry: Entry, now: datetime, width: int) -> list[str]:
    record, status, holder = entry.record, entry.status, entry.holder
    lines = [f"run {entry.id}: {state_text(entry)}"]

    def tell(name: str, text: str) -> None:
        lines.extend(wrap(f"  {name:<12}{text}", width, subsequent_indent=" " * 14, break_on_hyphens=False))

    if entry.run.error is not None:
        tell("error", one_line(entry.run.error))
    if entry.run.problem is not None:
        tell("problem", one_line(entry.run.problem))
    tell("seed", "unknown" if entry.run.seed is None else str(entry.run.seed))
    tell("cell", "unknown" if entry.run.cell_id is None else entry.run.cell_id)
    tell("study", ", ".join(entry.studies) if entry.studies else "none")
    tell("updated", f"{entry.updated.isoformat(timespec='seconds')} ({age((now - entry.updated).total_seconds())} ago)")
    if status is not None:
        job = "" if status.job_id is None else f", job {status.job_id}"
        tell("written by", f"process {status.pid} on {status.host}{job}")
    if holder is not None:
        tell("worked on", f"by {holder.holder}, last sign of life {age(now.timestamp() - holder.touched)} ago")
    planned = "?" if entry.epochs is None else entry.epochs
    spent = "" if entry.train_seconds is None else f", {duration(entry.train_seconds)} of training"
    tell("epochs", f"{len(entry.curve)} of {planned}{spent}")
    if record is not None:
        _tell_record(record, entry.run.packed, tell)
    tell("files", ", ".join(f"{name} {size_text(size)}" for name, size in file_sizes(entry.folder.path).items()))
    if entry.run.wandb_address is not None:
        tell("W&B", entry.run.wandb_address)
    for place in wandb_folders(entry):
        tell("W&B", f"{place.name.rpartition('-')[2]} ({place})")
    return lines


def _tell_record(record: Record, packed: Packed | None, tell: Any) -> None:
    accuracy, cost, made = record.accuracy, record.cost, record.provenance
    tell(
        "top-1",
        f"{percent(100 * accuracy.top1)} % of {accuracy.num_images} images (top-5 {percent(100 * accuracy.top5)} %, "
        f"last five epochs {percent(100 * record.last5_top1)} %)",
    )
    if record.best_holdout is not None:
        best = record.best_holdout
        tell("held out", f"best at epoch {best.epoch + 1}: {percent(100 * best.holdout_top1)} %")
    if packed is not None and packed.top1 is not None:
        tell("packed", f"{percent(100 * packed.top1)} %, {_disagreeing(packed)}")
        latency = packed.median_latency_ms
        timed = "not measured on a quiet machine" if latency is None else f"{significant(latency)} ms an image"
        tell("latency", f"{timed} (kernel {packed.kernel}, {counted(packed.threads or 0, 'thread')}, {packed.cpu})")
    tell("size", f"{significant(cost.size_bits / MIB)} MiB, {significant(combined_macs(record) / 1e6)} M MACs")
    dirty = " with changes" if made.dirty else ""
    tell(
        "made by", f"commit {'unknown' if made.commit is None else made.commit[:12]}{dirty}, on {made.host}, {made.cpu}"
    )
    tell("from", f"{made.started} to {made.finished}, taken up again {counted(made.resumes, 'time')}")
    for note in made.notes:
        tell("note", note)
    if record.pretrained_by is not None:
        tell("weights of", f"run {record.pretrained_by}")


def _disagreeing(packed: Packed) -> str:
    return f"{counted(packed.disagreeing_predictions or 0, 'prediction')} other than the float network's"


def _yaml(entry: Entry, width: int) -> str:
    """The whole configuration, a choice a line; where its file is gone, what the record or status says of it."""
    config = whole_config(entry)
    if not config:
        return "no file says it"
    text: str = yaml.safe_dump(dict(config), sort_keys=False, default_flow_style=None, width=width, allow_unicode=True)
    return text.rstrip("\n")


def whole_config(entry: Entry) -> Mapping[str, Any]:
    """config.yaml, which alone has the trainer and places on disk; where it is damaged, what else says the settings."""
    try:
        return read_config(entry.folder)
    except RunsError:
        return entry.run.config


def show_json(entry: Entry) -> dict[str, Any]:
    """The list's values, and beside them status, record, curve, sizes, W&B's folders and the last lines of output."""
    record = None if entry.record is None else plain(entry.record)
    return {
        **entry_json(entry),
        "config": whole_config(entry),
        "status": None if entry.status is None else asdict(entry.status),
        "last_sign_of_life": None if entry.holder is None else entry.holder.touched,
        "record": record,
        "packed": None if entry.run.packed is None else asdict(entry.run.packed),
        "curve": [asdict(row) for row in entry.curve],
        "files": file_sizes(entry.folder.path),
        "wandb_address": entry.run.wandb_address,
        "wandb": [str(path) for path in wandb_folders(entry)],
        "output": output_tail(entry.folder.path),
    }


def _indented(text: str) -> str:
    return "\n".join(f"  {printable(line)}" for line in text.splitlines())
