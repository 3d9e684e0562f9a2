"""What ``python -m bnn_ablate.scaling_error`` leaves in a run's folder: how far binary outputs are from float ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from bnn_ablate.atomic import write_atomically
from bnn_ablate.checked import STRICT
from bnn_ablate.record import Count, RunId, read_checked

#: The file's name in the folder of a run.
FILE = "scaling_error.json"
Error = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Errors:
    """Relative errors |y - y_float| / |y_float| of a layer's output, Euclidean over images, channels and pixels.

    ``binary``: y = W_b * X_b; ``alpha``: alpha y; ``alpha_k``: alpha K y, as scaling=channel and xnor.
    """

    binary: Error
    alpha: Error
    alpha_k: Error


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LayerErrors:
    """The errors of one binary convolution, as it is and after a BatchNorm with the statistics of these images."""

    name: str
    before_norm: Errors
    after_norm: Errors


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ScalingErrors:
    """The errors of a run's binary convolutions on its first ``images`` test images.

    ``weight_digest`` as in the record says of which weights.
    """

    schema: Literal[1]
    run_id: RunId
    weight_digest: str
    images: Count
    layers: list[LayerErrors]


_STORED: TypeAdapter[ScalingErrors] = TypeAdapter(ScalingErrors)


def write_errors(path: Path, errors: ScalingErrors) -> None:
    """Write the file whole or not at all."""
    write_atomically(path, (json.dumps(asdict(errors), indent=1, allow_nan=False) + "\n").encode())


def read_errors(path: Path) -> ScalingErrors:
    """Read the file as strictly as a record. Raises RecordError that names it."""
    return read_checked(_STORED, path)
