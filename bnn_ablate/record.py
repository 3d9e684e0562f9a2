"""What a run leaves behind: one JSON file, strict in both directions.

Units are in the names; accuracies are fractions; dates are UTC in ISO 8601. What was not measured is null, never 0.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bnn_ablate.checked import STRICT
from bnn_ablate.epochs import Count as Count
from bnn_ablate.epochs import Curve
from bnn_ablate.epochs import Epoch as Epoch
from bnn_ablate.epochs import Share as Share

Checked = TypeVar("Checked")
Positive = Annotated[float, Field(gt=0)]
RunId = Annotated[str, Field(pattern="^[0-9a-f]{12}$")]


class RecordError(ValueError):
    """A record cannot be read; the message names the file and what is wrong with it."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class DataFacts:
    """The images that were used, by checksum and number."""

    name: str
    checksum: str
    num_train: Count
    num_holdout: Count
    num_test: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Accuracy:
    """The last epoch's network on the test set, evaluated in float32.

    ``correct_bits`` has one bit an image (1: the top-1 prediction is right), in the order of the test set, packed most
    significant bit first and base64-encoded; ``top5`` counts the ``min(5, classes)`` best.
    """

    num_images: Count
    top1: Share
    top5: Share
    correct_bits: str

    def __post_init__(self) -> None:
        bits = _bits(self.correct_bits, self.num_images)
        if self.num_images == 0 or bits.bit_count() / self.num_images != self.top1:
            raise ValueError(f"accuracy.top1={self.top1} is not the share of ones in accuracy.correct_bits")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BestHoldout:
    """The epoch that is best on the held-out training images, and its test accuracy: told beside the result."""

    epoch: Count
    holdout_top1: Share
    test_top1: Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Packed:
    """The network as bits on the CPU, on the same test images. All values are null until an engine has evaluated it.

    ``disagreeing_predictions`` counts the images on which it and the float network predict two classes,
    ``disagreeing_with_equal_signs`` those of them that differ while all binary convolutions read the same signs.
    ``flipped_sign_bits`` are those that differ of the ``sign_bits`` that the binary convolutions read, in the first
    ``sign_images`` test images. ``latency_ms`` are all samples of one image after ``warmup`` calls; where ``busy``, the
    machine had other work to do, and neither they nor ``images_per_second`` (in batches of ``throughput_batch``) are
    results.
    ``weight_bytes`` and ``work_bytes`` are memory at work, ``file_bytes`` is packed.safetensors.
    """

    status: Literal["not evaluated", "evaluated"]
    top1: Share | None
    top5: Share | None
    disagreeing_predictions: Count | None
    flipped_sign_bits: Count | None
    file_bytes: Count | None
    latency_ms: list[Positive] | None
    # Records of before there was an engine have none of the following.
    disagreeing_with_equal_signs: Count | None = None
    sign_bits: Count | None = None
    sign_images: Count | None = None
    weight_bytes: Count | None = None
    work_bytes: Count | None = None
    kernel: str | None = None
    threads: Count | None = None
    cpu: str | None = None
    warmup: Count | None = None
    busy: bool | None = None
    images_per_second: Positive | None = None
    throughput_batch: Count | None = None

    def __post_init__(self) -> None:
        names = [part.name for part in fields(self) if part.name != "status"]
        missing = [name for name in names if getattr(self, name) is None]
        if self.status == "not evaluated" and len(missing) < len(names):
            raise ValueError("packed.status is 'not evaluated', yet it holds values")
        if self.status == "evaluated" and missing:
            raise ValueError(f"packed.status is 'evaluated', yet values are missing: {', '.join(missing)}")
        if self.status == "evaluated" and not self.latency_ms:
            raise ValueError("packed.latency_ms holds no sample")

    @property
    def median_latency_ms(self) -> float | None:
        """Milliseconds for one image; None where they were not measured, or while other work ran."""
        return median(self.latency_ms) if self.latency_ms is not None and self.busy is False else None


#: The packed fields before an engine exists or has run.
NOT_PACKED: dict[str, Any] = {
    "status": "not evaluated",
    "top1": None,
    "top5": None,
    "disagreeing_predictions": None,
    "flipped_sign_bits": None,
    "file_bytes": None,
    "latency_ms": None,
}

#: Packed fields that the same weights and images decide; the others depend on machine, kernel and threads.
DECIDED = (
    *("top1", "top5", "disagreeing_predictions", "disagreeing_with_equal_signs"),
    *("flipped_sign_bits", "sign_bits", "sign_images", "file_bytes"),
)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CostFacts:
    """Size and work of the network (bnn_ablate/cost.py); MACs of convolutions for one image."""

    params: Count
    params_binary: Count
    size_bits: Count
    macs_float: Count
    macs_binary: Count


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Provenance:
    """Where, when and with what the training began; none of it enters the run id. ``notes`` say what changed later."""

    commit: str | None
    dirty: bool | None
    versions: dict[str, str]
    host: str
    cpu: str
    gpu: str | None
    devices: Count
    threads: Count
    #: By torch.compile, whose fused sums may round differently.
    compiled: bool
    started: str
    finished: str
    train_seconds: Annotated[float, Field(ge=0)]
    #: How often the run was taken up again from a checkpoint.
    resumes: Count
    #: What differed among the parts of a resumed run (code, versions, CPU, threads, ...): then the last bits may.
    notes: list[str]
    #: Of the process that trained (the first of several): resident memory, or its GPU's; null where it is unknown.
    peak_memory_bytes: Count | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Record:
    """One finished run."""

    schema: Literal[1]
    run_id: RunId
    cell_id: RunId
    results_version: Count
    seed: Count
    #: Everything that decides the result, as in the run id, and the labels of model and recipe.
    config: dict[str, Any]
    data: DataFacts
    accuracy: Accuracy
    #: Mean test top-1 of the last five epochs (all, where there are fewer).
    last5_top1: Share
    best_holdout: BestHoldout | None
    packed: Packed
    cost: CostFacts
    #: The model's sizes as they were built, where growth or bottleneck chose others than config.model's.
    built: dict[str, Any] | None = None
    #: The run of the float network whose weights this one started from. Records before pretrain have neither of these.
    pretrained_by: RunId | None = None
    #: SHA-256 over names and bytes of the trained network's state.
    weight_digest: str
    steps: Count
    curve: Annotated[Sequence[Epoch], Curve]
    provenance: Provenance

    def __post_init__(self) -> None:
        if not _is_finite(self.config):  # values of any type: nothing else here refuses their NaN
            raise ValueError("config holds NaN or infinity")


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or isfinite(value)


_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def record_to_json(record: Record) -> str:
    """The record as indented JSON, the same text for the same record."""
    return json.dumps(plain(record), indent=1, sort_keys=True, allow_nan=False) + "\n"


def plain(record: Record) -> dict[str, Any]:
    """The record as plain values, as its file has them."""
    return {**asdict(replace(record, curve=[])), "curve": [asdict(row) for row in record.curve]}


def read_record(path: Path) -> Record:
    """Read record.json; anything unknown, missing or of the wrong type is a RecordError that names the file."""
    return read_checked(_RECORD, path)


def read_checked(kind: TypeAdapter[Checked], path: Path) -> Checked:
    """Read a JSON file of one kind. Raises RecordError with the file, the field, and what is wrong with it."""
    try:
        return kind.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f".{step}" for step in first["loc"]).removeprefix(".")
        raise RecordError(f"{path}: {where}{': ' if where else ''}{first['msg']}") from None


def same_result(a: Record, b: Record) -> bool:
    """Equal in everything but time, place and latency: ids, config, weights, accuracies, curve.

    A record of before the packed network was evaluated does not contradict one of after.
    """
    both_packed = a.packed.status == b.packed.status == "evaluated"
    return _timeless(a) == _timeless(b) and (not both_packed or _decided(a.packed) == _decided(b.packed))


def _timeless(record: Record) -> dict[str, Any]:
    values = plain(record)
    del values["provenance"], values["packed"]
    for row in values["curve"]:
        del row["seconds"]
    return values


def _decided(packed: Packed) -> list[Any]:
    return [getattr(packed, name) for name in DECIDED]


def pack_bits(correct: list[bool]) -> str:
    """One bit an image, most significant first, base64."""
    bits = "".join("1" if value else "0" for value in correct)
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return base64.b64encode(bytes(int(padded[i : i + 8], 2) for i in range(0, len(padded), 8))).decode()


def unpack_bits(text: str, num_images: int) -> list[bool]:
    """The inverse of :func:`pack_bits`; ValueError where ``text`` does not hold ``num_images`` bits."""
    return [bit == "1" for bit in f"{_bits(text, num_images):0{num_images}b}"] if num_images else []


def _bits(text: str, num_images: int) -> int:
    """The bits as one number, the first image's the most significant; a report reads thousands of records this way."""
    content = base64.b64decode(text, validate=True)
    if len(content) != -(-num_images // 8):
        raise ValueError(f"{len(content)} bytes do not hold one bit for each of {num_images} images")
    padding = 8 * len(content) - num_images
    bits = int.from_bytes(content)
    if bits & ((1 << padding) - 1):
        raise ValueError(f"a bit is set behind those of the {num_images} images")
    return bits >> padding
