"""What ``python -m bnn_ablate.evaluate`` adds to a run's folder: a file each time, beside the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from bnn_ablate.atomic import write_atomically
from bnn_ablate.checked import STRICT
from bnn_ablate.record import DECIDED, Accuracy, Count, Packed, Record, RunId, read_checked


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LayerTime:
    """One step of the packed network: the median of its ``seconds`` for one image, and its MACs.

    ``names`` are the layers that it computes at once. ``share_of_peak`` is of the binary MACs that as many cores could
    do as the network has threads; null for steps that are no binary convolution.
    """

    kind: str
    names: list[str]
    seconds: Annotated[float, Field(ge=0)]
    macs: Count
    share_of_peak: Annotated[float, Field(ge=0)] | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StoredEvaluation:
    """One evaluation of a run; ``weight_digest`` as in the record says of which weights."""

    schema: Literal[1]
    run_id: RunId
    weight_digest: str
    time: str
    host: str
    commit: str | None
    dirty: bool | None
    versions: dict[str, str]
    accuracy: Accuracy
    packed: Packed
    layers: list[LayerTime]


_STORED: TypeAdapter[StoredEvaluation] = TypeAdapter(StoredEvaluation)


def write_evaluation(folder: Path, evaluation: StoredEvaluation) -> Path:
    """Write a file of a new name into ``folder``, made where it is not there; names sort by time."""
    folder.mkdir(exist_ok=True)
    packed = evaluation.packed
    when = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = folder / f"{when}-{packed.kernel}-{packed.threads}-{packed.throughput_batch}.json"
    write_atomically(path, (json.dumps(asdict(evaluation), indent=1, allow_nan=False) + "\n").encode())
    return path


def read_evaluation(path: Path) -> StoredEvaluation:
    """Read one file as strictly as a record. Raises RecordError that names it."""
    return read_checked(_STORED, path)


def packed_results(record: Record, folder: Path) -> Packed:
    """The packed results that count for a run, whose later evaluations lie in ``folder``.

    The record's own. Where its times were measured while other work ran, times, place and memory are those of the
    newest evaluation by the same kernel and threads on a quiet machine, if there is one; what weights and images decide
    stays. A record of before there was an engine takes the newest evaluation whose float network is right on the same
    images, of a quiet machine if there is one. Files are read from the newest on, until one is found. Raises
    RecordError where one of these cannot be read.
    """
    own = record.packed
    if own.busy is False:
        return own
    later = _later(record, folder)
    if own.status == "evaluated":
        place = (own.kernel, own.threads)
        # times depend on the network's shape, not on its values: another one in its place has other bytes
        quiet = (
            each.packed for each in later if each.packed.busy is False and each.packed.file_bytes == own.file_bytes
        )
        found = next((packed for packed in quiet if (packed.kernel, packed.threads) == place), None)
        return own if found is None else _with_times_of(found, own)
    newest = None
    for each in later:
        if _right(each.accuracy) == _right(record.accuracy):
            if each.packed.busy is False:
                return each.packed
            newest = each.packed if newest is None else newest
    return own if newest is None else newest


def _later(record: Record, folder: Path) -> Iterator[StoredEvaluation]:
    """The evaluations of the record's own weights, from the newest on, each read when it is asked for."""
    for path in sorted(folder.glob("*.json"), reverse=True):
        evaluation = read_evaluation(path)
        if evaluation.weight_digest == record.weight_digest:
            yield evaluation


def _right(accuracy: Accuracy) -> tuple[int, str]:
    """Which images are right: other images, or another kind of CPU, show here."""
    return accuracy.num_images, accuracy.correct_bits


def _with_times_of(later: Packed, own: Packed) -> Packed:
    kept = ("status", *DECIDED)
    return replace(own, **{part.name: getattr(later, part.name) for part in fields(Packed) if part.name not in kept})
