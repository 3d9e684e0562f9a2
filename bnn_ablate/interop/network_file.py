"""Checkpoints of one network: its state, and all that it takes to build it again."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import nn

from bnn_ablate.atomic import write_atomically
from bnn_ablate.checked import STRICT, PositiveInt
from bnn_ablate.design import AXES, Design
from bnn_ablate.interop.errors import InteropError, shown
from bnn_ablate.models import build_network
from bnn_ablate.older import completed
from bnn_ablate.safe_load import UnreadableError, load_safely
from bnn_ablate.settings import Model

KEY = "bnn_ablate_network"
#: Pixels a side; a file that says more would only fill the memory.
MAX_IMAGE_SIZE = 4096
PREFIX = "network."


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Source:
    """The file that a network was read from: its name without folder, the SHA-256 of its bytes, whose layout it has."""

    file: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    kind: Literal["larq", "bitorch"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetworkFacts:
    """What a checkpoint says of its network, which takes images (N, ``in_channels``, H, W) of floats.

    ``config`` holds the axes and the model, spelt as on the command line; ``design`` and ``model`` are the same as
    values. ``image_size``, pixels a side, is what costs are counted at; the network takes others too.
    """

    config: dict[str, Any]
    design: Design
    model: Model
    in_channels: PositiveInt
    num_classes: PositiveInt
    image_size: Annotated[int, Field(ge=4, le=MAX_IMAGE_SIZE)]
    source: Source


_FACTS = TypeAdapter(NetworkFacts)


def load_network(path: Path) -> tuple[nn.Module, NetworkFacts]:
    """The network of a checkpoint that :mod:`bnn_ablate.interop` wrote, in eval mode on the CPU, and its facts.

    The network takes images (N, ``in_channels``, H, W) and gives logits (N, ``num_classes``). Nothing is unpickled but
    tensors and plain values. Raises InteropError, a CheckpointError, with one sentence: the file cannot be read, is of
    another kind, or does not fit the network that it describes.
    """
    checkpoint = read_checkpoint(path)
    facts = _facts(checkpoint[KEY], path)
    state = checkpoint.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise InteropError(f"{path} holds no state_dict of a network")
    with torch.random.fork_rng(devices=[]):
        try:
            network = build_network(
                facts.model,
                facts.design,
                in_channels=facts.in_channels,
                num_classes=facts.num_classes,
                image_size=facts.image_size,
            )
        except ValueError as error:
            raise InteropError(f"{path} describes a network that cannot be built: {error}") from None
    fill(network, {key.removeprefix(PREFIX): value for key, value in state.items()}, str(path))
    return network.eval(), facts


def fill(network: nn.Module, state: Mapping[str, Any], file: str) -> None:
    """Give ``network`` all of its state. Raises InteropError that names the first tensor which does not fit."""
    own = network.state_dict()
    for key, value in own.items():
        there = state.get(key)
        if not isinstance(there, torch.Tensor):
            raise InteropError(f"{file} lacks {key}")
        if there.shape != value.shape:
            raise InteropError(
                f"{file}: {key} has the shape {tuple(there.shape)} where its network has {tuple(value.shape)}"
            )
    for key in state:
        if key not in own:
            raise InteropError(f"{file} holds {shown(key)}, which its network does not have")
    network.load_state_dict(dict(state))


def write_network(path: Path, network: nn.Module, facts: NetworkFacts) -> None:
    """Write a checkpoint, whole or not at all. Raises InteropError where it cannot be written."""
    plain = _FACTS.dump_python(facts, mode="json", exclude={"design", "model"})
    buffer = io.BytesIO()
    torch.save(
        {"state_dict": {f"{PREFIX}{key}": value for key, value in network.state_dict().items()}, KEY: plain}, buffer
    )
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise InteropError(f"{path} cannot be written: {error.strerror}") from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint that holds one network with its description. Raises InteropError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InteropError(f"{path} cannot be read: {error.strerror}") from None
    try:
        checkpoint = load_safely(content)
    except UnreadableError:
        raise InteropError(f"{path} is damaged, or no checkpoint") from None
    if not isinstance(checkpoint, dict) or KEY not in checkpoint:
        raise InteropError(f"{path} is no network that bnn_ablate.interop wrote: it has no {KEY}")
    return checkpoint


def _facts(plain: Any, path: Path) -> NetworkFacts:
    try:
        config = dict(plain["config"])
        # What the design gained since the file was written is at the value that it had without it.
        whole = completed(config)
        design = {axis: whole[axis] for axis in AXES if axis in whole}
        text = json.dumps({**plain, "design": design, "model": config["model"]}, allow_nan=False)
        return _FACTS.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise InteropError(
            f"{path} describes a network that is not known here: {shown(place)}: {first['msg']}"
        ) from None
    except (TypeError, ValueError, LookupError, AttributeError):
        raise InteropError(f"{path} does not describe its network as bnn_ablate.interop does") from None
