"""From a weight file of another program to a network of ours that computes the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from bnn_ablate.cost import Cost, count_cost
from bnn_ablate.interop.bitorch import SIGNATURES, BitorchFile
from bnn_ablate.interop.conventions import network_settings
from bnn_ablate.interop.errors import InteropError
from bnn_ablate.interop.foreign import ForeignFile
from bnn_ablate.interop.keras_file import SIGNATURE
from bnn_ablate.interop.larq import LarqFile
from bnn_ablate.interop.network_file import NetworkFacts, Source, fill, write_network
from bnn_ablate.models import build_network
from bnn_ablate.settings import BinaryDenseNetSizes, SettingsError

#: Pixels a side that costs are counted at where neither the file nor the caller says: what the stem was made for.
USUAL_SIZE = {"imagenet": 224, "cifar": 32, "cifar_2018": 32}


@dataclass(frozen=True)
class Converted:
    """A network in eval mode with the weights of a file.

    ``tensors`` is how many of the file's it took, ``size_from`` says where ``facts.image_size`` comes from.
    """

    network: nn.Module
    facts: NetworkFacts
    tensors: int
    size_from: str

    def cost(self) -> Cost:
        """What the network stores and computes for one image of ``facts.image_size``."""
        facts = self.facts
        return count_cost(self.network, (facts.in_channels, facts.image_size, facts.image_size))

    def rounds_maps(self) -> bool:
        """Whether maps of ``facts.image_size`` reach a transition's pooling at an odd size.

        There this network rounds up and both libraries down, so that its answers are not theirs. (Their ResNetE takes
        no such images at all.)
        """
        facts = self.facts
        # Stems halve with a border that rounds up, here as there.
        size = -(-facts.image_size // 4) if facts.design.stem.name == "imagenet" else facts.image_size
        if isinstance(facts.model, BinaryDenseNetSizes):
            halved = [after <= before for before, after in pairwise(facts.model.dilation)].count(True)
        else:
            halved = len(facts.model.channels) - 1
        return size % 2**halved != 0

    def write(self, path: Path) -> None:
        """Write a checkpoint for :func:`bnn_ablate.interop.load_network`, whole or not at all. Raises InteropError."""
        write_network(path, self.network, self.facts)


def convert(path: Path, model_name: str, overrides: Sequence[str] = (), *, image_size: int | None = None) -> Converted:
    """The network of a weight file of Larq Zoo (Keras's HDF5) or bitorch (torch's state_dict), told by their content.

    ``model_name`` is a file of conf/model (:data:`conventions.MODELS`), which the weights do not name; ``overrides``
    are those of the command line, see :func:`conventions.network_settings`. Stem, channels and classes come from the
    file's shapes, padding from its library; the weights are taken as they are, latent or signs, in float32.
    ``image_size`` is the side of the images in pixels, None for what the file or else its stem says.

    Raises InteropError where the file cannot be read, is of another kind, or has a tensor missing, one too many or of
    another shape than ``model_name`` needs; SettingsError where an override contradicts it.
    """
    content = _content(path)
    file = _opened(content, str(path))
    traits = file.traits()
    settings, config = network_settings(file.kind, model_name, traits.stem, overrides, file=str(path))
    if image_size is not None:
        size, size_from = image_size, "as given"
    elif traits.image_size is not None:
        size, size_from = traits.image_size, "as the file says"
    else:
        size, size_from = USUAL_SIZE[traits.stem], f"which the file does not say: the usual one of stem={traits.stem}"
    if size < 4:
        raise SettingsError(f"--image-size {size} must be at least 4")
    shapes = {"in_channels": traits.in_channels, "num_classes": traits.num_classes, "image_size": size}
    with torch.random.fork_rng(devices=[]):
        try:
            network = build_network(settings.model, settings.design, **shapes)
        except ValueError as error:  # sizes that leave nothing of a layer
            raise SettingsError(str(error)) from None
    own = network.state_dict()
    state = {
        key: tensor.as_torch(key, tuple(own[key].shape), str(path)) for key, tensor in file.matched(network).items()
    }
    # BatchNorm's counters of batches: Keras has none, and evaluation does not read them.
    counters = {key: torch.zeros_like(value) for key, value in own.items() if key.endswith("num_batches_tracked")}
    fill(network, {**counters, **state}, str(path))
    source = Source(file=path.name, sha256=hashlib.sha256(content).hexdigest(), kind=file.kind)
    facts = NetworkFacts(config=config, design=settings.design, model=settings.model, source=source, **shapes)
    return Converted(network=network.eval(), facts=facts, tensors=len(state), size_from=size_from)


def _content(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise InteropError(f"{path} is no file")
        return path.read_bytes()
    except OSError as error:
        raise InteropError(f"{path} cannot be read: {error.strerror}") from None


def _opened(content: bytes, name: str) -> ForeignFile:
    if content.startswith(SIGNATURE):
        return LarqFile(content, name)
    if content.startswith(SIGNATURES):
        return BitorchFile(content, name)
    raise InteropError(f"{name} is neither HDF5, as Keras saves weights, nor a file of torch.save")
