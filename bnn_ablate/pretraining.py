"""Where a run with pretrain=... takes its first weights from: a float network's run, or a given checkpoint.

Source: Bethge et al. 2019 (arXiv 1906.08637), ablation of training from scratch against fine-tuning.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnn_ablate.design import Activations, Grad, Latent, Output, Pretrain, Scaling, Weights
from bnn_ablate.identity import Ids, ids_of, spelt
from bnn_ablate.settings import Settings, SettingsError
from bnn_ablate.store import Store

if TYPE_CHECKING:
    from torch import Tensor, nn


class PretrainingError(RuntimeError):
    """The float network that a run starts from cannot be had; the message says why and what to do."""


def float_settings(settings: Settings) -> Settings | None:
    """The run of the float network that ``settings`` starts from; None where it needs none.

    Whatever belongs to binarisation is at one value, so that runs which differ in it only share the float network.
    """
    design, pretrain = settings.design, settings.design.pretrain
    if pretrain.from_file is not None or pretrain.name == "none" or pretrain.name == "file":
        return None
    return replace(
        settings,
        recipe=settings.recipe if pretrain.recipe is None else pretrain.recipe,
        design=replace(
            design,
            weights=Weights(name="float"),
            activations=Activations(name="float", function=pretrain.name),
            scaling=Scaling(name="none", gradient=False),
            output=Output(name="signed"),
            grad=Grad(name="ste", clip=1.0),
            latent=Latent(name="free"),
            padding=replace(design.padding, name="zero"),
            pretrain=Pretrain(name="none", from_file=None, recipe=None),
        ),
    )


def pretrained_state(settings: Settings, ids: Ids) -> tuple[str, dict[str, Tensor]]:
    """The network's state to start from, and what to call it in a sentence.

    ``ids`` are the run's own, with the SHA-256 that a given file had when they were made. Raises
    SettingsError where there is no such checkpoint any more, or it holds no network.
    """
    first = float_settings(settings)
    if first is None:
        path, name = (
            Path(str(settings.design.pretrain.from_file)),
            f"pretrain.from={settings.design.pretrain.from_file}",
        )
    else:
        run_id = ids_of(first, checksum=ids.checksum).run_id
        path = Store(Path(settings.runs)).run(run_id).checkpoint
        name = f"the checkpoint of run {run_id}"
        if not path.exists():
            raise SettingsError(
                f"run {run_id}, the float network of pretrain={settings.design.pretrain.name}, is done but {path} is "
                f"gone: delete {path.parent} to train it again"
            )
    state, described = network_state(path, name, ids.checkpoint)
    own = spelt(settings)
    for axis in ("padding", "order"):  # which the names and shapes of tensors do not show
        if axis in described and described[axis] != own[axis]:
            raise SettingsError(
                f"{name} is a network with {axis}={_shown(described[axis])} and this run has "
                f"{axis}={_shown(own[axis])}: choose the same"
            )
    return name, state


def _shown(choice: dict[str, Any]) -> str:
    """An axis as on the command line, its name and its other fields."""
    return " ".join([choice["name"], *(f"{key}={value}" for key, value in choice.items() if key != "name")])


def network_state(path: Path, name: str, digest: str | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of the network in a checkpoint of ours, without their prefix, and what the file says of its design.

    ``name`` stands in the sentences.
    """
    import torch

    from bnn_ablate.safe_load import UnreadableError, load_safely

    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name} cannot be read: {error.strerror}") from None
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise SettingsError(f"{name} changed after the run's id was made of it: repeat the command")
    try:
        checkpoint = load_safely(content)
        state: Any = checkpoint["state_dict"]
        described = checkpoint.get("bnn_ablate_network", {}).get("config", {})
        found = {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
    except (UnreadableError, LookupError, TypeError, AttributeError):
        raise SettingsError(
            f"{name} is no checkpoint of a network: give a run's last.ckpt or what bnn_ablate.interop wrote"
        ) from None
    ordinary = (isinstance(value, torch.Tensor) and value.layout == torch.strided for value in found.values())
    if not found or not all(ordinary):
        raise SettingsError(f"{name} holds no network: give a run's last.ckpt or what bnn_ablate.interop wrote")
    return found, described


def take_over(network: nn.Module, state: dict[str, Tensor], name: str) -> None:
    """Give ``network`` the latent weights, float weights and BatchNorm state of ``state``, all of them.

    Learned scaling factors that ``state`` lacks start at the alpha of the weights taken over. Raises SettingsError that
    names the first tensor which is missing, one too many, or of another shape.
    """
    from bnn_ablate.layers import reset_scales_

    own = network.state_dict()
    scales = {key for key in own if key.rpartition(".")[2] == "scale"}
    for key in own:
        if key not in state and key not in scales:
            hint = "; networks of other libraries need model.input_norm=false" if key.startswith("input_norm.") else ""
            raise SettingsError(f"{name} has no tensor {key}: it is another network's{hint}")
    for key, value in state.items():
        if key not in own:
            raise SettingsError(f"{name} holds {key}, which this network has not: it is another network's")
        if value.shape != own[key].shape:
            raise SettingsError(
                f"{name} holds {key} of shape {tuple(value.shape)} where this network has {tuple(own[key].shape)}"
            )
    network.load_state_dict(state, strict=False)
    if not scales <= state.keys():
        reset_scales_(network)
