"""Weight files in the layouts of Larq Zoo and bitorch, and what their networks compute, from their sources' facts.

Written from larq/zoo (``literature/resnet_e.py``, ``densenet.py``) and hpi-xnor/bitorch 0.4.1 (``models/resnet_e.py``,
``densenet.py``, ``common_layers.py``): which layers, in which order, under which names. Nothing here asks our code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: Our names of a layer's tensors, Keras's, and Keras's axes of the first one in torch's order.
PARTS = {
    "conv2d": (("weight",), ("kernel",)),
    "quant_conv2d": (("weight",), ("kernel",)),
    "batch_normalization": (
        ("weight", "bias", "running_mean", "running_var"),
        ("gamma", "beta", "moving_mean", "moving_variance"),
    ),
    "dense": (("weight", "bias"), ("kernel", "bias")),
}


@dataclass(frozen=True)
class Made:
    """A layer: Keras's class, our name, bitorch's, and the shape of its weight in torch's order."""

    keras: str
    ours: str
    bitorch: str
    shape: tuple[int, ...]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by our names of the tensors."""
        ours = PARTS[self.keras][0]
        return {f"{self.ours}.{part}": self.shape if part == "weight" else self.shape[:1] for part in ours}


@dataclass(frozen=True)
class Block:
    """Layers that a network has between two additions: the body's, and the shortcut's."""

    body: Sequence[Made]
    shortcut: Sequence[Made] = ()


@dataclass
class Net:
    """A network of a library by its blocks; ``values`` are its tensors by our names."""

    blocks: list[Block]
    values: dict[str, Tensor] = field(default_factory=dict)

    def layers(self) -> list[Made]:
        """In the order of the source, which makes a block's shortcut before its body."""
        return [made for block in self.blocks for made in (*block.shortcut, *block.body)]

    def layers_by_depth(self) -> list[Made]:
        """In the order of Keras's files: branches of a block take turns, the body first."""
        ordered: list[Made] = []
        for block in self.blocks:
            for place, made in enumerate(block.body):
                ordered += [made, *block.shortcut[place : place + 1]]
        return ordered

    def numbered(self) -> Net:
        """Every tensor filled with a number of its own, which takes no room."""
        shapes = [item for made in self.layers() for item in made.shapes().items()]
        self.values = {name: torch.tensor(float(n + 1)).expand(shape) for n, (name, shape) in enumerate(shapes)}
        return self

    def random(self, seed: int) -> Net:
        """Weights and statistics of sizes at which all layers matter."""
        generator = torch.Generator().manual_seed(seed)
        for made in self.layers():
            for name, shape in made.shapes().items():
                value = torch.randn(shape, generator=generator)
                if name.endswith("running_var"):
                    value = value.abs() + 0.5
                elif made.keras == "batch_normalization" and name.endswith(".weight"):
                    value = 1 + 0.2 * value
                elif len(shape) > 1:
                    value = value / math.sqrt(value[0].numel())
                self.values[name] = value
        return self


def resnet_e(
    library: str,
    pairs: Sequence[int],
    channels: Sequence[int],
    *,
    kernel: int,
    classes: int,
    in_channels: int = 3,
) -> Net:
    """ResNetE: Larq's 3x3 stem has no BatchNorm, bitorch's has; the 7x7 has one behind the ReLU's and the pool's."""
    features = channels[0]
    norms = {("larq", 3): [], ("bitorch", 3): [1], ("larq", 7): [1, 4], ("bitorch", 7): [1, 4]}[library, kernel]
    stem = [Made("conv2d", "stem.0", "features.0", (features, in_channels, kernel, kernel))]
    stem += [Made("batch_normalization", f"stem.{n}", f"features.{n}", (features,)) for n in norms]
    blocks = [Block(stem)]
    for stage, (count, out) in enumerate(zip(pairs, channels, strict=True)):
        for block in range(2 * count):
            ours = f"stages.{stage}.{block}"
            theirs = f"features.{stage + (2 if kernel == 3 else 5)}.{block}"
            body = [
                Made("quant_conv2d", f"{ours}.body.0", f"{theirs}.body.0", (out, features, 3, 3)),
                Made("batch_normalization", f"{ours}.body.1", f"{theirs}.body.1", (out,)),
            ]
            shortcut = [
                Made("conv2d", f"{ours}.shortcut.1", f"{theirs}.downsample.1", (out, features, 1, 1)),
                Made("batch_normalization", f"{ours}.shortcut.2", f"{theirs}.downsample.2", (out,)),
            ]
            blocks.append(Block(body, shortcut if features != out else ()))
            features = out
    blocks.append(Block([Made("dense", "head.3", "output_layer", (classes, features))]))
    return Net(blocks)


def densenet(
    layers: Sequence[int],
    reduced: Sequence[int],
    *,
    kernel: int,
    classes: int,
    dilation: Sequence[int] = (1, 1, 1, 1),
    growth: int = 64,
    features: int = 64,
    in_channels: int = 3,
) -> Net:
    """BinaryDenseNet, whose transition i leaves ``reduced[i]`` features; bitorch counts a pooling that is there."""
    chain = [Made("conv2d", "stem.0", "features.0", (features, in_channels, kernel, kernel))]
    if kernel == 7:
        chain.append(Made("batch_normalization", "stem.1", "features.1", (features,)))
    for stage, count in enumerate(layers):
        for layer in range(count):
            ours = f"stages.{2 * stage}.{layer}"
            theirs = f"features.DenseBlock_{stage + 1}.DenseLayer_{layer + 1}.features"
            chain.append(Made("batch_normalization", f"{ours}.norm", f"{theirs}.0", (features,)))
            chain.append(Made("quant_conv2d", f"{ours}.conv", f"{theirs}.1", (growth, features, 3, 3)))
            features += growth
        if stage < len(layers) - 1:
            ours, theirs = f"stages.{2 * stage + 1}", f"features.Transition_{stage + 1}"
            conv = 3 if dilation[stage + 1] == 1 else 2
            chain.append(Made("batch_normalization", f"{ours}.0", f"{theirs}.0", (features,)))
            chain.append(Made("conv2d", f"{ours}.{conv}", f"{theirs}.{conv}", (reduced[stage], features, 1, 1)))
            features = reduced[stage]
    chain.append(Made("batch_normalization", "head.0", "finalize.0", (features,)))
    chain.append(Made("dense", "head.4", "output", (classes, features)))
    return Net([Block(chain)])


# --- files ---------------------------------------------------------------------------------------------------------


def keras_names(net: Net, first: int) -> dict[str, str]:
    """Keras's names by ours: each class is counted in the order of the source, from ``first``."""
    counts: dict[str, int] = {}
    names = {}
    for made in net.layers():
        number = counts.get(made.keras, first)
        names[made.ours] = made.keras if number == 0 else f"{made.keras}_{number}"
        counts[made.keras] = number + 1
    return names


def write_keras(
    path: Path,
    net: Net,
    *,
    first: int = 0,
    whole: str | None = None,
    chunks: int = 0,
    as_bytes: bool = False,
    order: Iterable[Made] | None = None,
) -> dict[str, str]:
    """A file of ``save_weights``, or, with the JSON ``whole``, of a whole model; returns the layers' names by ours.

    ``chunks`` breaks the list of layers as Keras does with long ones; ``as_bytes`` writes names as TensorFlow 1 did.
    """
    names = keras_names(net, first)
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.16.0", "tensorflow"
        root = file
        if whole is not None:
            file.attrs["model_config"] = whole
            file.create_group("optimizer_weights").create_dataset("Adam/iterations:0", data=7)
            root = file.create_group("model_weights")
        listed = ["input_1"]
        root.create_group("input_1").attrs["weight_names"] = []
        for n, made in enumerate(net.layers_by_depth() if order is None else order):
            name = names[made.ours]
            group = root.create_group(name)
            ours, theirs = PARTS[made.keras]
            written = [f"{name}/{part}:0" for part in theirs]
            for ours_part, weight in zip(ours, written, strict=True):
                write_tensor(group, weight, net.values[f"{made.ours}.{ours_part}"])
            group.attrs["weight_names"] = np.array([w.encode() for w in written]) if as_bytes else written
            listed.append(name)
            if n % 8 == 0:
                root.create_group(f"add_{n}").attrs["weight_names"] = []
                listed.append(f"add_{n}")
        root.create_group("top_level_model_weights").attrs["weight_names"] = []
        texts: Any = np.array([text.encode() for text in listed]) if as_bytes else listed
        if chunks:
            for n in range(chunks):
                root.attrs[f"layer_names{n}"] = texts[n * len(listed) // chunks : (n + 1) * len(listed) // chunks]
        else:
            root.attrs["layer_names"] = texts
    return names


def write_tensor(group: Any, name: str, value: Tensor) -> None:
    """A tensor in Keras's order of axes; one value throughout is left to HDF5's fill value."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0)}.get(value.ndim, tuple(range(value.ndim)))
    value = value.permute(axes)
    if value.numel() > 1 and not any(value.stride()):
        group.create_dataset(name, shape=tuple(value.shape), dtype="f4", fillvalue=value.flatten()[0].item())
    else:
        group.create_dataset(name, data=value.numpy())


def bitorch_state(net: Net, prefix: str = "_model.") -> dict[str, Tensor]:
    """The state_dict that bitorch saves."""
    state: dict[str, Tensor] = {}
    for made in net.layers():
        for name in made.shapes():
            state[f"{prefix}{made.bitorch}.{name.rpartition('.')[2]}"] = net.values[name]
        if made.keras == "batch_normalization":
            state[f"{prefix}{made.bitorch}.num_batches_tracked"] = torch.tensor(3)
    return state


# --- what the networks compute -----------------------------------------------------------------------------------


@dataclass
class Reference:
    """A library's network as plain functions: ``border`` pads binary convolutions, ``same`` is TensorFlow's rule."""

    values: dict[str, Tensor]
    border: float
    same: bool

    def padded(self, x: Tensor, kernel: int, stride: int, dilation: int, value: float) -> Tensor:
        edges = []
        for size in (x.shape[3], x.shape[2]):
            reach = (kernel - 1) * dilation
            outputs = math.ceil(size / stride)
            total = max((outputs - 1) * stride + reach + 1 - size, 0) if self.same else reach
            edges += [total // 2, total - total // 2]
        return F.pad(x, edges, value=value)

    def conv(self, x: Tensor, name: str, *, stride: int = 1) -> Tensor:
        weight = self.values[f"{name}.weight"]
        return F.conv2d(self.padded(x, weight.shape[2], stride, 1, 0.0), weight, stride=stride)

    def binary(self, x: Tensor, name: str, *, stride: int = 1, dilation: int = 1) -> Tensor:
        weight = self.values[f"{name}.weight"]
        signs = self.padded(torch.where(x >= 0, 1.0, -1.0), 3, stride, dilation, self.border)
        return F.conv2d(signs, torch.where(weight >= 0, 1.0, -1.0), stride=stride, dilation=dilation)

    def norm(self, x: Tensor, name: str) -> Tensor:
        scale, shift, mean, variance = (
            self.values[f"{name}.{part}"].view(-1, 1, 1) for part in PARTS["batch_normalization"][0]
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift

    def stem(self, x: Tensor) -> Tensor:
        if self.values["stem.0.weight"].shape[2] == 3:
            x = self.conv(x, "stem.0")
            return self.norm(x, "stem.1") if "stem.1.weight" in self.values else x
        x = self.norm(self.conv(x, "stem.0", stride=2), "stem.1").relu()
        x = F.max_pool2d(self.padded(x, 3, 2, 1, -math.inf), 3, 2)
        return self.norm(x, "stem.4") if "stem.4.weight" in self.values else x

    def classified(self, x: Tensor, name: str) -> Tensor:
        return x.relu().mean((2, 3)) @ self.values[f"{name}.weight"].T + self.values[f"{name}.bias"]

    def resnet_e(self, x: Tensor, pairs: Sequence[int]) -> Tensor:
        x = self.stem(x)
        for stage, count in enumerate(pairs):
            for block in range(2 * count):
                name = f"stages.{stage}.{block}"
                stride, residual = 1, x
                if f"{name}.shortcut.1.weight" in self.values:
                    stride = 2
                    residual = self.norm(self.conv(F.avg_pool2d(x, 2), f"{name}.shortcut.1"), f"{name}.shortcut.2")
                x = self.norm(self.binary(x, f"{name}.body.0", stride=stride), f"{name}.body.1") + residual
        return self.classified(x, "head.3")

    def densenet(self, x: Tensor, layers: Sequence[int], dilation: Sequence[int]) -> Tensor:
        x = self.stem(x)
        for stage, count in enumerate(layers):
            if stage > 0:
                name = f"stages.{2 * stage - 1}"
                x = self.norm(x, f"{name}.0")
                pooled = dilation[stage] == 1
                x = (F.max_pool2d(x, 2) if pooled else x).relu()
                x = self.conv(x, f"{name}.{3 if pooled else 2}")
            for layer in range(count):
                name = f"stages.{2 * stage}.{layer}"
                new = self.binary(self.norm(x, f"{name}.norm"), f"{name}.conv", dilation=dilation[stage])
                x = torch.cat((x, new), 1)
        return self.classified(self.norm(x, "head.0"), "head.4")
