"""A run's settings and its network: with the initial weights of its seed, and as its last checkpoint holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn
from yaml import YAMLError

from bnn_ablate.checkpoint import AtomicCheckpointIO
from bnn_ablate.job import settings_of
from bnn_ablate.models import build_network, shapes_of
from bnn_ablate.older import completed
from bnn_ablate.record import Epoch
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import RunFolder


@dataclass(frozen=True)
class Trained:
    """What the last checkpoint of a finished training holds; ``places`` has one entry a process that trained."""

    network: nn.Module
    curve: list[Epoch]
    steps: int
    started: str
    places: list[dict[str, Any]]
    peak_memory_bytes: int | None


def new_network(settings: Settings) -> nn.Module:
    """The network with the initial weights of the run's seed, in channels_last; the global generator is given back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        try:
            network = build_network(settings.model, settings.design, **shapes_of(settings))
        except ValueError as error:  # sizes that leave nothing of a layer, or cannot be matched
            raise SettingsError(str(error)) from None
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return network


def saved_settings(folder: RunFolder, overrides: Sequence[str] = ()) -> Settings:
    """The settings in a run's folder, whatever axes there were then, with ``overrides``. Raises SettingsError."""
    config_file = folder.path / "config.yaml"
    try:
        saved: Any = OmegaConf.to_container(OmegaConf.load(config_file))
        config = OmegaConf.create(completed(saved))
    except (YAMLError, OSError, TypeError, ValueError):
        raise SettingsError(f"{config_file} is missing or damaged") from None
    try:
        config.merge_with(OmegaConf.from_dotlist(list(overrides)))
    except YAMLError:
        raise SettingsError(f"{' '.join(overrides)} cannot be read: give values such as data.root=FOLDER") from None
    return settings_of(config)


def load_trained(settings: Settings, folder: RunFolder) -> Trained:
    """Network, curve and steps, and where they were made, as the last checkpoint holds them."""
    checkpoint = AtomicCheckpointIO().load_checkpoint(folder.checkpoint)
    network = new_network(settings)
    prefix = "network."
    network.load_state_dict(
        {key.removeprefix(prefix): value for key, value in checkpoint["state_dict"].items() if key.startswith(prefix)}
    )
    facts = checkpoint["bnn_ablate"]
    return Trained(
        network=network.eval(),
        curve=[Epoch(**row) for row in facts["curve"]],
        steps=checkpoint["global_step"],
        started=facts["started"],
        places=facts["places"],
        peak_memory_bytes=facts["peak_memory_bytes"],
    )
