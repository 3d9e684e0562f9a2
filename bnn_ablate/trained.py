"""A run's settings and its network: with the initial weights of its seed, and as its last checkpoint holds it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn
from yaml import YAMLError

from bnn_ablate.checkpoint import AtomicCheckpointIO
from bnn_ablate.job import settings_of
from bnn_ablate.models import build_network, shapes_of
from bnn_ablate.older import completed
from bnn_ablate.record import Epoch, RecordError
from bnn_ablate.runs.words import SHORTEST
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import CheckpointError, RunFolder, Store


class LoadError(ValueError):
    """The network of a run cannot be had; the message is one sentence that names the run and its store."""


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


def load_run(run_id: str, runs: str | Path = "runs") -> nn.Module:
    """The trained network of a run in the store ``runs``, in eval mode on the CPU, with the weights of its last epoch.

    images (N, C, H, W), float32, prepared as the run's recipe says -> logits (N, classes). Its ``settings`` are the
    run's (:class:`bnn_ablate.settings.Settings`). ``run_id`` may be cut to its first four digits. Raises LoadError
    where no run, or more than one, is meant, where its training is not over, and where a file is missing or damaged.
    """
    folder = _named(run_id, Path(runs))
    try:
        status = folder.status()
        state = "done" if folder.has_record else "begun" if status is None else status.state
        if state not in ("trained", "done"):
            raise LoadError(f"run {folder.path.name} in {runs} is {state}: only the network of a trained run is loaded")
        settings = saved_settings(folder)
        network = load_trained(settings, folder).network
    except (SettingsError, CheckpointError, RecordError, OSError) as error:
        raise LoadError(f"run {folder.path.name} in {runs} cannot be loaded: {error}") from error
    except (RuntimeError, KeyError, TypeError) as error:  # what a checkpoint of something else makes of our reader
        raise LoadError(
            f"run {folder.path.name} in {runs} cannot be loaded: {folder.checkpoint} does not hold the network that "
            "config.yaml describes"
        ) from error
    network.settings = settings  # type: ignore[assignment]  # torch's stubs know tensors and modules only
    return network


def _named(run_id: str, root: Path) -> RunFolder:
    """The one folder of a run whose name begins with ``run_id``. Raises LoadError."""
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST},12}}", run_id):
        raise LoadError(f"{run_id!r} names no run in {root}: give {SHORTEST} to 12 hexadecimal digits of its id")
    found = sorted(path.name for path in root.glob(f"{run_id}*") if re.fullmatch("[0-9a-f]{12}", path.name))
    if not found:
        raise LoadError(f"run {run_id} is not there in {root}{'' if root.is_dir() else ', which is no folder'}")
    if len(found) > 1:
        raise LoadError(f"run {run_id} is the beginning of {len(found)} ids in {root}: {', '.join(found)}")
    return Store(root).run(found[0])
