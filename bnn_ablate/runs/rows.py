"""Runs as a tidy table: a row a run or a row an epoch, numbers as they are in the records, what is missing None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from bnn_ablate.record import Epoch, Packed, Record
from bnn_ablate.report.rows import error_of
from bnn_ablate.runs.entries import Entry
from bnn_ablate.runs.table import EXPLAINED
from bnn_ablate.runs.words import value_of

Kind = Literal["int", "float", "bool", "text"]


@dataclass(frozen=True)
class Column:
    """A name, what its values are, and the values in the order of the rows."""

    name: str
    kind: Kind
    values: tuple[Any, ...]


#: The first columns of either table; by them a file is known to be one of ours.
NAMED = ("run_id", "cell_id", "seed", "state")

OfRecord = tuple[str, Kind, Callable[[Record], Any]]
OfPacked = tuple[str, Kind, Callable[[Packed], Any]]

#: Accuracies are fractions as in records.
RECORD: tuple[OfRecord, ...] = (
    ("top1", "float", lambda record: record.accuracy.top1),
    ("top5", "float", lambda record: record.accuracy.top5),
    ("last5_top1", "float", lambda record: record.last5_top1),
    ("best_holdout_epoch", "int", lambda record: record.best_holdout and record.best_holdout.epoch),
    ("best_holdout_top1", "float", lambda record: record.best_holdout and record.best_holdout.holdout_top1),
    ("best_holdout_test_top1", "float", lambda record: record.best_holdout and record.best_holdout.test_top1),
    ("num_train", "int", lambda record: record.data.num_train),
    ("num_holdout", "int", lambda record: record.data.num_holdout),
    ("num_test", "int", lambda record: record.data.num_test),
    ("params", "int", lambda record: record.cost.params),
    ("params_binary", "int", lambda record: record.cost.params_binary),
    ("size_bits", "int", lambda record: record.cost.size_bits),
    ("macs_float", "int", lambda record: record.cost.macs_float),
    ("macs_binary", "int", lambda record: record.cost.macs_binary),
    ("steps", "int", lambda record: record.steps),
)

#: Times are there only where nothing else ran.
PACKED: tuple[OfPacked, ...] = (
    ("packed_top1", "float", lambda packed: packed.top1),
    ("packed_top5", "float", lambda packed: packed.top5),
    ("packed_disagreeing_predictions", "int", lambda packed: packed.disagreeing_predictions),
    ("packed_disagreeing_with_equal_signs", "int", lambda packed: packed.disagreeing_with_equal_signs),
    ("packed_flipped_sign_bits", "int", lambda packed: packed.flipped_sign_bits),
    ("packed_sign_bits", "int", lambda packed: packed.sign_bits),
    ("packed_file_bytes", "int", lambda packed: packed.file_bytes),
    ("packed_weight_bytes", "int", lambda packed: packed.weight_bytes),
    ("packed_work_bytes", "int", lambda packed: packed.work_bytes),
    ("packed_median_latency_ms", "float", lambda packed: packed.median_latency_ms),
    ("packed_images_per_second", "float", lambda packed: None if packed.busy else packed.images_per_second),
    ("packed_throughput_batch", "int", lambda packed: packed.throughput_batch),
    ("packed_kernel", "text", lambda packed: packed.kernel),
    ("packed_threads", "int", lambda packed: packed.threads),
    ("packed_cpu", "text", lambda packed: packed.cpu),
)

#: Where, when and with what; beside it stand the versions, a column a package.
PROVENANCE: tuple[OfRecord, ...] = (
    ("started", "text", lambda record: record.provenance.started),
    ("finished", "text", lambda record: record.provenance.finished),
    ("host", "text", lambda record: record.provenance.host),
    ("cpu", "text", lambda record: record.provenance.cpu),
    ("gpu", "text", lambda record: record.provenance.gpu),
    ("devices", "int", lambda record: record.provenance.devices),
    ("threads", "int", lambda record: record.provenance.threads),
    ("compiled", "bool", lambda record: record.provenance.compiled),
    ("resumes", "int", lambda record: record.provenance.resumes),
    ("notes", "text", lambda record: "; ".join(record.provenance.notes) if record.provenance.notes else None),
    ("peak_memory_bytes", "int", lambda record: record.provenance.peak_memory_bytes),
    ("commit", "text", lambda record: record.provenance.commit),
    ("dirty", "bool", lambda record: record.provenance.dirty),
    ("results_version", "int", lambda record: record.results_version),
    ("data_checksum", "text", lambda record: record.data.checksum),
    ("weight_digest", "text", lambda record: record.weight_digest),
    ("pretrained_by", "text", lambda record: record.pretrained_by),
)


def run_columns(entries: Sequence[Entry]) -> list[Column]:
    """A row a run: ids and state, settings, accuracies, cost, packed network, times, provenance, error."""
    records = [entry.record for entry in entries]
    versions = dict.fromkeys(name for record in records if record is not None for name in record.provenance.versions)
    return [
        *_names(entries),
        *_settings(entries),
        *_of(records, RECORD),
        *_of([entry.run.packed for entry in entries], PACKED),
        Column("epochs_done", "int", tuple(len(entry.curve) for entry in entries)),
        Column("train_seconds", "float", tuple(entry.train_seconds for entry in entries)),
        Column("updated", "text", tuple(entry.updated.isoformat(timespec="seconds") for entry in entries)),
        *_of(records, PROVENANCE),
        *(Column(f"version.{name}", "text", tuple(_version(record, name) for record in records)) for name in versions),
        Column("error", "text", tuple(error_of(each.run) if each.state in EXPLAINED else None for each in entries)),
    ]


def epoch_columns(entries: Sequence[Entry]) -> list[Column]:
    """A row an epoch, counted from 0 as in records: ids and state, settings, and the row of the curve."""
    repeated = [(entry, row) for entry in entries for row in entry.curve]
    of_runs = {id(entry): place for place, entry in enumerate(entries)}
    columns = [
        Column(one.name, one.kind, tuple(one.values[of_runs[id(entry)]] for entry, _ in repeated))
        for one in (*_names(entries), *_settings(entries))
    ]
    rows = [asdict(row) for _, row in repeated]
    for field in fields(Epoch):
        kind: Kind = "int" if field.name == "epoch" else "float"
        columns.append(Column(field.name, kind, tuple(row[field.name] for row in rows)))
    return columns


def _names(entries: Sequence[Entry]) -> list[Column]:
    return [
        Column("run_id", "text", tuple(entry.id for entry in entries)),
        Column("cell_id", "text", tuple(entry.run.cell_id for entry in entries)),
        Column("seed", "int", tuple(entry.run.seed for entry in entries)),
        Column("state", "text", tuple(entry.state for entry in entries)),
        Column("studies", "text", tuple(" ".join(entry.studies) if entry.studies else None for entry in entries)),
    ]


def _settings(entries: Sequence[Entry]) -> list[Column]:
    """Every choice (axes, model, data, recipe), and each other setting in which the runs differ."""
    names = dict.fromkeys(name for entry in entries for name in entry.leaves if name != "seed")
    found = []
    for name in names:
        texts = [entry.leaves.get(name) for entry in entries]
        says = [text for text, entry in zip(texts, entries, strict=True) if entry.leaves]
        if "." not in name or len(set(says)) > 1:
            found.append(_typed(name, texts))
    return found


def _typed(name: str, texts: Sequence[str | None]) -> Column:
    """A column of numbers or truths where all its values are such, else of texts; null is a missing value."""
    values = [None if text is None else value_of(text) for text in texts]
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return Column(name, "bool", tuple(values))
    if kinds == {int}:
        return Column(name, "int", tuple(values))
    if kinds and kinds <= {int, float}:
        return Column(name, "float", tuple(None if value is None else float(value) for value in values))
    return Column(
        name, "text", tuple(None if value is None else text for value, text in zip(values, texts, strict=True))
    )


def _of(sources: Sequence[Any], columns: Sequence[tuple[str, Kind, Callable[[Any], Any]]]) -> list[Column]:
    return [
        Column(name, kind, tuple(None if source is None else value(source) for source in sources))
        for name, kind, value in columns
    ]


def _version(record: Record | None, name: str) -> str | None:
    return None if record is None else record.provenance.versions.get(name)
