"""What a run leaves behind: one JSON file, strict in both directions.

Units are in the names; accuracies are fractions; dates are UTC in ISO 8601. What was not measured is null, never 0.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bnn_ablate.checked import STRICT

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
RunId = Annotated[str, Field(pattern="^[0-9a-f]{12}$")]


class RecordError(ValueError):
    """A record cannot be read; the message names the file and what is wrong with it."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Epoch:
    """One row of the training curve. ``lr`` is the rate of the epoch's last step."""

    epoch: Count
    lr: Annotated[float, Field(ge=0)]
    train_loss: float
    train_top1: Share
    test_loss: float
    test_top1: Share
    test_top5: Share
    holdout_top1: Share | None
    #: Share of latent weights whose gradient is 0; null where no window on weights freezes them.
    frozen_weights: Share | None
    seconds: Annotated[float, Field(ge=0)]


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
        bits = unpack_bits(self.correct_bits, self.num_images)
        if self.num_images == 0 or sum(bits) / self.num_images != self.top1:
            raise ValueError(f"accuracy.top1={self.top1} is not the share of ones in accuracy.correct_bits")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BestHoldout:
    """The epoch that is best on the held-out training images, and its test accuracy: told beside the result."""

    epoch: Count
    holdout_top1: Share
    test_top1: Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Packed:
    """The network as bits on the CPU. All values are null until an engine has evaluated it."""

    status: Literal["not evaluated", "evaluated"]
    top1: Share | None
    top5: Share | None
    disagreeing_predictions: Count | None
    flipped_sign_bits: Count | None
    file_bytes: Count | None
    latency_ms: list[float] | None

    def __post_init__(self) -> None:
        values = [value for key, value in asdict(self).items() if key != "status"]
        if self.status == "not evaluated" and any(value is not None for value in values):
            raise ValueError("packed.status is 'not evaluated', yet it holds values")
        if self.status == "evaluated" and any(value is None for value in values):
            raise ValueError("packed.status is 'evaluated', yet values are missing")


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
    curve: list[Epoch]
    provenance: Provenance

    def __post_init__(self) -> None:
        try:
            json.dumps(self.config, allow_nan=False)  # values of any type: nothing else here refuses their NaN
        except ValueError:
            raise ValueError("config holds NaN or infinity") from None


_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def record_to_json(record: Record) -> str:
    """The record as indented JSON, the same text for the same record."""
    return json.dumps(asdict(record), indent=1, sort_keys=True, allow_nan=False) + "\n"


def read_record(path: Path) -> Record:
    """Read record.json; anything unknown, missing or of the wrong type is a RecordError that names the file."""
    try:
        return _RECORD.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f".{step}" for step in first["loc"]).removeprefix(".")
        raise RecordError(f"{path}: {where}{': ' if where else ''}{first['msg']}") from None


def same_result(a: Record, b: Record) -> bool:
    """Equal in everything but time, place and latency: ids, config, weights, accuracies, curve."""
    return _timeless(a) == _timeless(b)


def _timeless(record: Record) -> dict[str, Any]:
    plain = asdict(replace(record, curve=[replace(row, seconds=0.0) for row in record.curve]))
    del plain["provenance"], plain["packed"]["latency_ms"]
    return plain


def pack_bits(correct: list[bool]) -> str:
    """One bit an image, most significant first, base64."""
    bits = "".join("1" if value else "0" for value in correct)
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return base64.b64encode(bytes(int(padded[i : i + 8], 2) for i in range(0, len(padded), 8))).decode()


def unpack_bits(text: str, num_images: int) -> list[bool]:
    """The inverse of :func:`pack_bits`; ValueError where ``text`` does not hold ``num_images`` bits."""
    content = base64.b64decode(text, validate=True)
    if len(content) != -(-num_images // 8):
        raise ValueError(f"{len(content)} bytes do not hold one bit for each of {num_images} images")
    bits = "".join(f"{byte:08b}" for byte in content)
    return [bit == "1" for bit in bits[:num_images]]
