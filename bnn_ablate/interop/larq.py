"""Weights of Larq Zoo, from files of Keras.

Source: larq/zoo, ``larq_zoo/literature/resnet_e.py`` and ``densenet.py``. Layers are matched in the order of the file,
which is how Keras itself loads them: their names count what was built before in the same session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from typing import Any

from torch import Tensor, nn

from bnn_ablate.interop.errors import InteropError, shown
from bnn_ablate.interop.foreign import ForeignFile, ForeignTensor, Traits, stem_of
from bnn_ablate.interop.keras_file import WEIGHTS, KerasFile, Layer
from bnn_ablate.layers import QuantizedConv2d

#: A layer of ours with weights, and its name in the network.
Slot = tuple[str, nn.Module]


class LarqFile(ForeignFile):
    """A network of Larq Zoo's."""

    kind = "larq"

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        keras = KerasFile(content, name)
        self.layers, self.config = keras.layers, keras.config

    def traits(self) -> Traits:
        first = next((layer for layer in self.layers if layer.kind == "convolution"), None)
        if first is None:
            raise InteropError(f"{self.name} holds no convolution: it is no network of Larq Zoo")
        last = next((layer for layer in self.layers if layer.kind == "Dense layer"), None)
        if last is None:
            raise InteropError(
                f"{self.name} lacks the classifier, a Dense layer with kernel and bias (include_top=False?)"
            )
        kernel, _, in_channels, _ = first.first.shape
        # Larq Zoo has no BatchNorm behind its 3x3.
        stem = stem_of(kernel, norm=False, file=self.name)
        return Traits(stem, in_channels, last.first.shape[1], self._image_size())

    def _image_size(self) -> int | None:
        for config in self.config.values():
            shape = config.get("batch_input_shape", config.get("batch_shape"))
            if isinstance(shape, list) and len(shape) == 4 and isinstance(shape[1], int) and shape[1] == shape[2]:
                return shape[1]
        return None

    def matched(self, network: nn.Module) -> dict[str, ForeignTensor]:
        slots = _slots(network)
        as_loaded, as_written = _by_depth(slots), _by_source(slots)
        ours = as_written if self._misfit(as_loaded) is not None and self._misfit(as_written) is None else as_loaded
        misfit = self._misfit(ours)
        if misfit is not None:
            raise InteropError(f"{self.name} {self._complaint(ours, misfit)}")
        found = {}
        for layer, (name, module) in zip(self.layers, ours, strict=True):
            self._refuse_other_layer(layer, name, module)
            for part, tensor in layer.tensors.items():
                found[f"{name}.{WEIGHTS[layer.kind][part][0]}"] = tensor
        return found

    def _misfit(self, ours: Sequence[Slot]) -> int | None:
        """The first place where the file's layers depart from ``ours`` in kind or shape; None where none does."""
        for place, (layer, (_, module)) in enumerate(zip(self.layers, ours, strict=False)):
            if layer.kind != _kind(module) or layer.first.torch_shape() != _shape(module):
                return place
        return None if len(self.layers) == len(ours) else min(len(self.layers), len(ours))

    def _complaint(self, ours: Sequence[Slot], place: int) -> str:
        """What is wrong at ``place``: a layer is missing, one too many, or of another shape."""
        numbers = f"it has {len(self.layers)} layers with weights and the network {len(ours)}"
        if len(self.layers) < len(ours):
            name, module = ours[place]
            return f"lacks the {_kind(module)} {name} with a weight of torch's shape {_shape(module)}: {numbers}"
        tensor = self.layers[place].first
        if len(self.layers) > len(ours):
            return f"holds {shown(tensor.name)} of shape {tensor.shape}, one too many: {numbers}"
        name, module = ours[place]
        if self.layers[place].kind == _kind(module):
            return f"does not fit: {tensor.misfit(f'{name}.weight', _shape(module))}"
        return f"holds {shown(tensor.name)} where the {_kind(module)} {name} should stand"

    def _refuse_other_layer(self, layer: Layer, name: str, module: nn.Module) -> None:
        """Refuse a layer of the right shape that computes something else, as far as the file says."""
        base = re.sub(r"_\d+$", "", layer.name)
        binary = isinstance(module, QuantizedConv2d)
        if base == ("conv2d" if binary else "quant_conv2d"):
            ours, theirs = ("binary", "float") if binary else ("float", "binary")
            raise InteropError(f"{self.name}: {shown(layer.name)} is {theirs} where {name} is {ours}")
        config = self.config.get(layer.name, {})
        for key, ours in _expected_config(module).items():
            theirs = config.get(key, ours)
            if theirs != ours:
                raise InteropError(
                    f"{self.name}: {shown(layer.name)} has {key}={shown(theirs)} where {name} has {ours}: "
                    "it is another network"
                )


def _slots(network: nn.Module) -> list[Slot]:
    """The layers of ``network`` that have weights, by name; in a block the body's stand before the shortcut's."""
    return [(name, module) for name, module in network.named_modules() if _kind(module) is not None]


def _by_depth(slots: Sequence[Slot]) -> list[Slot]:
    """Keras's own order: by depth, so that the two branches of a block take turns, the body first."""
    turns = [zip_longest(body, shortcut) for body, shortcut in _branches(slots)]
    return [slot for turn in turns for pair in turn for slot in pair if slot is not None]


def _by_source(slots: Sequence[Slot]) -> list[Slot]:
    """The order of Larq Zoo's source, by which Keras numbers layers: a block's shortcut, then its body."""
    return [slot for body, shortcut in _branches(slots) for slot in (*shortcut, *body)]


def _branches(slots: Sequence[Slot]) -> Iterator[tuple[list[Slot], list[Slot]]]:
    """Body and shortcut of each block; a layer outside of blocks is a body of its own."""
    for _, members in groupby(slots, key=lambda slot: re.split(r"\.(?:body|shortcut)\.", slot[0])[0]):
        block = list(members)
        yield (
            [slot for slot in block if ".shortcut." not in slot[0]],
            [slot for slot in block if ".shortcut." in slot[0]],
        )


def _shape(module: nn.Module) -> tuple[int, ...]:
    """The shape of a layer's weight."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return tuple(weight.shape)


def _kind(module: nn.Module) -> str | None:
    if isinstance(module, QuantizedConv2d | nn.Conv2d):
        return "convolution"
    if isinstance(module, nn.BatchNorm2d):
        return "BatchNorm"
    return "Dense layer" if isinstance(module, nn.Linear) else None


def _expected_config(module: nn.Module) -> dict[str, Any]:
    """What a saved model must say of a layer that computes what ours does."""
    if isinstance(module, nn.BatchNorm2d):
        return {"epsilon": module.eps}
    if isinstance(module, QuantizedConv2d):
        stride, dilation = [module.stride] * 2, [module.dilation] * 2
        return {"strides": stride, "dilation_rate": dilation, "padding": "same", "pad_values": 0.0, "use_bias": False}
    if isinstance(module, nn.Conv2d):
        return {"strides": list(module.stride), "dilation_rate": list(module.dilation), "use_bias": False}
    return {}
