"""What ``python -m bnn_ablate.evaluate`` adds to a run's folder: a file each time, beside the record."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from bnn_ablate.atomic import write_atomically
from bnn_ablate.checked import STRICT
from bnn_ablate.record import Accuracy, Count, Packed, Record, RunId, read_checked


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

    The record's own. Times that were measured while other work ran are replaced by those of the newest evaluation by
    the same kernel and threads on a quiet machine, where there is one; a record of before there was an engine by
    the newest evaluation. Raises RecordError where an evaluation that is needed cannot be read.
    """
    own = record.packed
    if own.busy is False:
        return own
    later = [read_evaluation(path) for path in sorted(folder.glob("*.json"), reverse=True)]
    found = [each.packed for each in later if each.weight_digest == record.weight_digest]
    quiet = [packed for packed in found if packed.busy is False]
    if own.status == "not evaluated":
        return next(iter((*quiet, *found, own)))
    alike = [packed for packed in quiet if (packed.kernel, packed.threads) == (own.kernel, own.threads)]
    return next(iter((*alike, own)))
