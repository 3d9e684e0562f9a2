"""HDF5 in the layout of Keras's ``save_weights``, or of a whole model saved by Keras: layers and their tensors."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, takewhile
from typing import Any

import torch
from torch import Tensor

from bnn_ablate.interop.errors import InteropError, shown
from bnn_ablate.interop.foreign import ForeignTensor

SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: Keras's weights of a layer, and the names and axes that torch's have: kernels are HWIO, dense kernels (in, out).
WEIGHTS: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
    "convolution": {"kernel": ("weight", (3, 2, 0, 1))},
    "BatchNorm": {
        "gamma": ("weight", (0,)),
        "beta": ("bias", (0,)),
        "moving_mean": ("running_mean", (0,)),
        "moving_variance": ("running_var", (0,)),
    },
    "Dense layer": {"kernel": ("weight", (1, 0)), "bias": ("bias", (0,))},
}


@dataclass(frozen=True)
class Layer:
    """A layer with weights: its tensors by the last part of their names (kernel, gamma, ...)."""

    name: str
    kind: str
    tensors: dict[str, ForeignTensor]

    @property
    def first(self) -> ForeignTensor:
        """The tensor whose shape tells layers of a kind apart."""
        return next(self.tensors[weight] for weight in WEIGHTS[self.kind] if weight in self.tensors)


class KerasFile:
    """The layers of a file that have weights, in its order. Values are read when they are asked for.

    ``config`` is the configuration of each layer by name where a whole model was saved, else empty. ``name`` stands in
    sentences. Nothing outside of the file is read, whatever it links to. Raises InteropError.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        self._h5py = _h5py(name)
        with self._readable():
            self._file = self._h5py.File(io.BytesIO(content), "r")
            self.layers = list(self._layers())
            self.config = self._config()

    def _layers(self) -> Iterator[Layer]:
        root = self._file
        if not _has_names(root.attrs, "layer_names") and "model_weights" in root:
            root = self._child(root, "model_weights")
        if not _has_names(root.attrs, "layer_names"):
            raise InteropError(
                f"{self.name} is HDF5 without Keras's list of layers (layer_names): save it with "
                "model.save_weights('NAME.h5') of tf.keras"
            )
        listed = set()
        for layer in self._names(root.attrs, "layer_names"):
            group = self._child(root, layer)
            weights = self._names(group.attrs, "weight_names") if _has_names(group.attrs, "weight_names") else []
            tensors = {}
            for weight in weights:
                listed.add(f"{layer}/{weight}")
                part = weight.rpartition("/")[2].partition(":")[0]
                if part in tensors:
                    raise InteropError(f"{self.name}: the layer {shown(layer)} has two tensors {shown(part)}")
                tensors[part] = self._tensor(group, weight)
            if tensors:
                yield self._layer(layer, tensors)
        for path in self._datasets(root):
            if path not in listed:
                raise InteropError(f"{self.name} holds {shown(path)}, which is in none of its layers")

    def _layer(self, name: str, tensors: dict[str, ForeignTensor]) -> Layer:
        """The layer with what is known of its kind; what is in no layer of these networks is refused."""
        kernel = tensors.get("kernel")
        if any(weight in tensors for weight in WEIGHTS["BatchNorm"]):
            kind = "BatchNorm"
        elif kernel is not None and len(kernel.shape) in (2, 4):
            kind = "convolution" if len(kernel.shape) == 4 else "Dense layer"
        else:
            first = next(iter(tensors.values()))
            raise InteropError(
                f"{self.name} holds {shown(first.name)} of shape {first.shape}, which these networks do not have"
            )
        for part, tensor in tensors.items():
            if part not in WEIGHTS[kind]:
                raise InteropError(f"{self.name} holds {shown(tensor.name)}, which a {kind} here does not have")
        for part in WEIGHTS[kind]:
            if part not in tensors:
                raise InteropError(f"{self.name} lacks {part} of its {kind} {shown(name)}")
        placed = {
            part: ForeignTensor(tensor.name, tensor.shape, WEIGHTS[kind][part][1], tensor.load)
            for part, tensor in tensors.items()
        }
        return Layer(name, kind, placed)

    def _tensor(self, group: Any, path: str) -> ForeignTensor:
        dataset = self._child(group, path)
        if not hasattr(dataset, "shape") or dataset.shape is None:
            raise InteropError(f"{self.name}: {shown(path)} is no tensor")
        if dataset.external or dataset.is_virtual:
            raise InteropError(f"{self.name}: {shown(path)} keeps its values in another file")
        return ForeignTensor(path, tuple(dataset.shape), (), partial(self._values, dataset, path))

    def _values(self, dataset: Any, path: str) -> Tensor:
        with self._readable():
            if dataset.dtype.kind != "f":
                raise InteropError(f"{self.name}: {shown(path)} holds {dataset.dtype} where weights are floating point")
            return torch.from_numpy(dataset[()].astype("float32"))

    def _child(self, group: Any, path: str) -> Any:
        """What lies at ``path`` under ``group`` in this file; links that lead elsewhere are not followed."""
        here = group
        for step in path.split("/"):
            if not isinstance(here, self._h5py.Group) or step in ("", ".", "..") or step not in here:
                raise InteropError(f"{self.name} lacks {shown(path)}, which it lists")
            if not isinstance(here.get(step, getlink=True), self._h5py.HardLink):
                raise InteropError(f"{self.name}: {shown(path)} is a link, which is not followed")
            here = here[step]
        return here

    def _names(self, attributes: Any, name: str) -> list[str]:
        """A list of names. Keras breaks long ones into name0, name1, ..."""
        if name in attributes:
            pieces = [attributes[name]]
        else:
            numbers = takewhile(lambda number: f"{name}{number}" in attributes, count())
            pieces = [attributes[f"{name}{number}"] for number in numbers]
        names = [entry.decode() if isinstance(entry, bytes) else entry for piece in pieces for entry in piece]
        if not all(isinstance(entry, str) for entry in names):
            raise InteropError(f"{self.name}: {name} is no list of names")
        return names

    def _datasets(self, root: Any) -> list[str]:
        found: list[str] = []

        def note(path: str, item: Any) -> None:
            if hasattr(item, "shape"):
                found.append(path)

        root.visititems(note)
        return found

    def _config(self) -> dict[str, dict[str, Any]]:
        """The configuration of each layer by name, where a whole model was saved; else nothing."""
        if "model_config" not in self._file.attrs:
            return {}
        text = self._file.attrs["model_config"]
        try:
            layers = json.loads(text)["config"]["layers"]
            return {layer["config"]["name"]: dict(layer["config"]) for layer in layers}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InteropError(f"{self.name}: its model_config cannot be read") from None

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Whatever HDF5 says of a damaged file becomes one sentence."""
        try:
            yield
        except InteropError:
            raise
        except (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
            raise InteropError(f"{self.name} is a damaged HDF5 file: {shown(error)}") from None


def _h5py(file: str) -> Any:
    try:
        import h5py
    except ImportError:
        raise InteropError(
            f"{file} is HDF5, and h5py is not installed to read it: pip install -e '.[interop]'"
        ) from None
    return h5py


def _has_names(attributes: Any, name: str) -> bool:
    return name in attributes or f"{name}0" in attributes
