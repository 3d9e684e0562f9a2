"""Which run is this? The id of a run is a hash of whatever decides its result, and of nothing else.

Two configurations with the same run id give the same result, so asking for a done run returns its record; the cell id
is the same hash without the seed, so runs of one cell differ by chance only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bnn_ablate.data.identity import data_checksum
from bnn_ablate.settings import BinaryDenseNetSizes, Settings, SettingsError, with_growth

#: Raised by hand when a change of the code alters results; the golden run in tests/test_training.py says when.
RESULTS_VERSION = 1

_SETTINGS = TypeAdapter(Settings)


@dataclass(frozen=True)
class Ids:
    """A run's names, found once: looking again, an image folder might have changed."""

    run_id: str
    cell_id: str
    checksum: str
    #: SHA-256 of the checkpoint given as pretrain.from.
    checkpoint: str | None


def ids_of(settings: Settings, *, checksum: str | None = None) -> Ids:
    """``run_id``: 12 hex digits of the SHA-256 over :func:`identity`; ``cell_id``: likewise without the seed.

    ``checksum`` is the images', where it was found before.
    """
    payload = identity(settings, checksum=checksum)
    name = _digest(payload)
    del payload["seed"]
    return Ids(
        run_id=name,
        cell_id=_digest(payload),
        checksum=payload["data"]["checksum"],
        checkpoint=payload["design"].get("pretrain", {}).get("checkpoint"),
    )


def identity(settings: Settings, *, checksum: str | None = None) -> dict[str, Any]:
    """What decides the result, as plain values: design, model, data with the images' checksum, recipe and seed.

    Where a value cannot matter because another one switches it off, it is left out. Raises SettingsError where a given
    checkpoint cannot be read.
    """
    payload = hashed_fields(settings)
    payload["data"]["checksum"] = data_checksum(settings.data) if checksum is None else checksum
    payload["results_version"] = RESULTS_VERSION
    _settle_design(payload, settings)
    if settings.data.holdout == 0:
        del payload["data"]["seed"]
    if not settings.recipe.normalize:
        del payload["data"]["mean"], payload["data"]["std"]
    return payload


def _settle_design(payload: dict[str, Any], settings: Settings) -> None:
    """One spelling for designs that say the same, and the bytes of a checkpoint in place of its path."""
    design = settings.design
    if design.weights.name == design.activations.name == "float":
        del payload["design"]["grad"]  # nothing is binarised
    elif design.activations.name == "float" and design.latent.name == "free":
        del payload["design"]["grad"]["clip"]  # which acts on signs of activations and on clamped weights
    if isinstance(settings.model, BinaryDenseNetSizes) and design.growth.match in ("none", "published"):
        payload["model"] = hashed_fields(with_growth(settings.model, design.growth))
        payload["design"].pop("growth", None)
    if design.downsample.reduction is not None:
        payload["model"]["reduction"] = payload["design"]["downsample"].pop("reduction")
    if design.pretrain.from_file is not None:
        payload["design"]["pretrain"]["checkpoint"] = file_digest(Path(design.pretrain.from_file))
        payload["design"]["pretrain"]["name"] = "file"  # a label: the bytes say what it is
        del payload["design"]["init"]  # all initial weights are replaced
    if design.pretrain.recipe == settings.recipe:
        payload["design"]["pretrain"]["recipe"] = None  # which says the same


def file_digest(path: Path) -> str:
    """SHA-256 of the bytes of a given checkpoint."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SettingsError(f"pretrain.from={path} cannot be read: {error.strerror}") from None


def hashed_fields(value: Any) -> Any:
    """A dataclass as a dict of its hashed fields, recursively; other values as they are.

    Left out: fields marked ``not_hashed``, and fields marked ``hashed_from`` that hold what older runs had.
    """
    if not is_dataclass(value):
        return list(value) if isinstance(value, tuple) else value
    kept = {}
    for field in fields(value):
        content = getattr(value, field.name)
        if "not_hashed" in field.metadata:
            continue
        if "older_runs_had" in field.metadata and content == field.metadata["older_runs_had"](value):
            continue
        kept[field.metadata.get("hashed_as", field.name)] = hashed_fields(content)
    return kept


def canonical_json(payload: Any) -> str:
    """One spelling for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def _digest(payload: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()[:12]


def plain_config(settings: Settings, ids: Ids) -> dict[str, Any]:
    """Everything that decides the result, and the labels of model and recipe, spelt as on the command line.

    Axes stand at the top level; the trainer, the tracking and places on disk are left out, a given checkpoint is named
    by its bytes. Lists stay lists.
    """
    config = spelt(settings)
    for name in ("trainer", "tracking", "runs", "study", "analysis"):
        del config[name]
    del config["data"]["root"], config["data"]["download"]
    if ids.checkpoint is not None:
        config["pretrain"]["from"] = f"sha256:{ids.checkpoint}"
    return config


def spelt(settings: Settings) -> dict[str, Any]:
    """All settings as plain values, spelt as on the command line: axes at the top level, lists for tuples."""
    config = _SETTINGS.dump_python(settings, mode="json", by_alias=True)
    return {**config.pop("design"), **config}


def labels(settings: Settings) -> dict[str, str]:
    """The chosen option of every axis, the model, the data and the recipe, by name."""
    others = ("trainer", "tracking", "analysis")
    return {k: v["name"] for k, v in spelt(settings).items() if isinstance(v, dict) and k not in others}
