"""State dicts of bitorch: ResnetE18 and 34, DenseNet28, 37 and 45, dilated or not.

Source: hpi-xnor/bitorch 0.4.1, ``bitorch/models/resnet_e.py``, ``densenet.py`` and ``common_layers.py``. Tensors are
matched by name, and whatever all names begin with (``_model.``, ``model._model.``, ...) is left out.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bnn_ablate.interop.errors import InteropError, shown
from bnn_ablate.interop.foreign import ForeignFile, ForeignTensor, Traits, stem_of
from bnn_ablate.models.resnet_e import ResNetE
from bnn_ablate.safe_load import UnreadableError, load_safely

#: How files begin that torch.save writes: zip, and a pickle before torch 1.6.
SIGNATURES = (b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19")

FIRST = "features.0.weight"
COUNTER = "num_batches_tracked"


class BitorchFile(ForeignFile):
    """The tensors of a state_dict by their names without the common prefix."""

    kind = "bitorch"

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        state = self._state(content)
        # The first layer of a DenseNet's block is called features.0 too, and is a BatchNorm.
        firsts = [key for key, value in state.items() if f".{key}".endswith(f".{FIRST}") and value.ndim == 4]
        if not firsts:
            raise InteropError(f"{name} lacks {FIRST}, the kernel of the stem: it is no ResnetE or DenseNet of bitorch")
        self.prefix = min(firsts, key=len).removesuffix(FIRST)
        for key in state:
            if not key.startswith(self.prefix):
                raise InteropError(
                    f"{name} holds {shown(key)}, which does not begin with {shown(self.prefix)} as the others"
                )
        self.tensors = {
            key.removeprefix(self.prefix): ForeignTensor(
                key, tuple(value.shape), tuple(range(value.ndim)), partial(self._dense, key, value)
            )
            for key, value in state.items()
        }

    def _state(self, content: bytes) -> dict[str, Tensor]:
        try:
            state: Any = load_safely(content)
        except UnreadableError as error:
            if "weights_only" in str(error) or "WeightsUnpickler" in str(error):
                raise InteropError(
                    f"{self.name} holds objects beside tensors, which are not loaded: save model.state_dict() alone"
                ) from None
            raise InteropError(f"{self.name} is damaged, or no file of torch.save") from None
        if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
            state = state["state_dict"]
        if not isinstance(state, dict) or not state:
            raise InteropError(f"{self.name} holds no state_dict: save model.state_dict()")
        for key, value in state.items():
            if not isinstance(key, str) or not isinstance(value, Tensor):
                raise InteropError(f"{self.name} holds {shown(key)}, which is no tensor: save model.state_dict()")
        return state

    def _dense(self, key: str, value: Tensor) -> Tensor:
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise InteropError(f"{self.name}: {shown(key)} is not stored as an ordinary tensor")
        return value.detach()

    def traits(self) -> Traits:
        first = self.tensors[FIRST]
        last = next(
            (self.tensors[key] for key in ("output_layer.weight", "output.weight") if key in self.tensors), None
        )
        if last is None or len(last.shape) != 2:
            raise InteropError(
                f"{self.name} lacks the classifier: {shown(self.prefix)}output_layer.weight of a ResnetE, or "
                f"{shown(self.prefix)}output.weight of a DenseNet"
            )
        norm = any(f"features.1.{part}" in self.tensors for part in ("weight", "bias", "running_mean", "running_var"))
        stem = stem_of(first.shape[2], norm=norm, file=self.name)
        return Traits(stem, first.shape[1], last.shape[0], None)

    def matched(self, network: nn.Module) -> dict[str, ForeignTensor]:
        names = {key: _name(key, network) for key in network.state_dict()}
        for name in names.values():
            if name not in self.tensors and not name.endswith(COUNTER):
                raise InteropError(f"{self.name} lacks {shown(self.prefix + name)}")
        expected = set(names.values())
        for name, tensor in self.tensors.items():
            if name not in expected:
                raise InteropError(
                    f"{self.name} holds {shown(tensor.name)} of shape {tensor.shape}, which the network does not have"
                )
        return {key: self.tensors[name] for key, name in names.items() if not name.endswith(COUNTER)}


def _name(key: str, network: nn.Module) -> str:
    """bitorch's name, without prefix, of our tensor ``key``."""
    part, number, *rest = key.split(".")
    if isinstance(network, ResNetE):
        if part == "stem":
            return ".".join(("features", number, *rest))
        if part == "head":
            return ".".join(("output_layer", *rest))
        block, branch, *tensor = rest
        stage = len(network.stem) + int(number)
        return ".".join(("features", str(stage), block, {"shortcut": "downsample"}.get(branch, branch), *tensor))
    if part == "stem":
        return ".".join(("features", number, *rest))
    if part == "head":
        return ".".join(("finalize.0" if number == "0" else "output", *rest))
    # Dense blocks and the transitions between them take turns in our stages.
    stage = int(number) // 2 + 1
    if int(number) % 2 == 1:
        return ".".join((f"features.Transition_{stage}", *rest))
    layer, branch, *tensor = rest
    place = {"norm": "0", "conv": "1"}[branch]
    return ".".join((f"features.DenseBlock_{stage}.DenseLayer_{int(layer) + 1}.features", place, *tensor))
