"""The packed network beside the float network that it was made from: answers, signs, bytes and times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnn_ablate.evaluation import Evaluation, Tally, inference, logits_of
from bnn_ablate.latency import Timing
from bnn_ablate.layers import BinaryConv2d
from bnn_ablate.packed import PackedNetwork
from bnn_ablate.packed.file import write_graph
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.lower import lower
from bnn_ablate.processor import cpu_name
from bnn_ablate.record import Packed

#: Test images, the first ones, whose signs are compared: a share of 1e-4 shows in far fewer, and all signs of a large
#: test set take as long as its float evaluation once more.
SIGN_IMAGES = 512
#: Images whose signs are held at a time, one byte each: some MB an image of 224 pixels.
SIGNS_AT_A_TIME = 16


@dataclass(frozen=True)
class Comparison:
    """Both networks on the same images.

    ``disagreeing`` counts images with two predictions, ``disagreeing_with_equal_signs`` those of them that have two
    while every binary convolution reads the same signs. ``flipped`` of the ``sign_bits`` that the binary convolutions
    read differ, over the first ``sign_images`` images.
    """

    floats: Evaluation
    packed: Evaluation
    disagreeing: int
    disagreeing_with_equal_signs: int
    flipped: int
    sign_bits: int
    sign_images: int


def write_packed(path: Path, network: nn.Module, image_shape: tuple[int, int, int]) -> None:
    """Lower a network in eval mode and write its packed file, whole or not at all.

    Raises LoweringError for a network that no packed one can stand for.
    """
    write_graph(path, fold(lower(network, image_shape)))


def compare(
    network: nn.Module,
    packed: PackedNetwork,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    sign_images: int = SIGN_IMAGES,
) -> Comparison:
    """Evaluate ``network``, wherever it is, and ``packed`` in one pass over the images."""
    floats, bits = Tally(), Tally()
    disagreeing = equal = flipped = sign_bits = looked_at = 0
    with inference(network):
        for images, labels in batches:
            ours = floats.add(logits_of(network, images), labels)
            theirs = bits.add(packed(images.cpu()), labels.cpu())
            apart = torch.nonzero(ours != theirs).flatten()
            disagreeing += len(apart)
            here = min(len(images), sign_images - looked_at)
            # all signs of the first images; beyond those, only where they may explain a disagreement
            chosen = torch.cat((torch.arange(here), apart[apart >= here]))
            flips, again, bits_an_image = flipped_signs(network, packed, images[chosen.to(images.device)])
            # Float sums depend on how many images they run beside: only a pass that is apart with equal signs says so.
            equal += int(((flips == 0) & (again != theirs[chosen]))[torch.isin(chosen, apart)].sum())
            flipped += int(flips[:here].sum())
            sign_bits += here * bits_an_image
            looked_at += here
    return Comparison(
        floats=floats.evaluation,
        packed=bits.evaluation,
        disagreeing=disagreeing,
        disagreeing_with_equal_signs=equal,
        flipped=flipped,
        sign_bits=sign_bits,
        sign_images=looked_at,
    )


@torch.no_grad()
def flipped_signs(network: nn.Module, packed: PackedNetwork, images: Tensor) -> tuple[Tensor, Tensor, int]:
    """For each image how many of the signs that binary convolutions read differ (N,), and how many signs there are.

    Between them, the classes that the float network predicts in the pass whose signs were read (N,).

    Raises RuntimeError where the two networks do not have the same binary convolutions.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, BinaryConv2d)}
    parts = [torch.zeros(0, dtype=torch.int64)]
    predicted = [torch.zeros(0, dtype=torch.int64)]
    bits = 0
    for first in range(0, len(images), SIGNS_AT_A_TIME):
        some = images[first : first + SIGNS_AT_A_TIME]
        reader = _SignReader(packed.signs(some.cpu()), len(some))
        hooks = [layer.register_forward_pre_hook(reader.hook(name)) for name, layer in layers.items()]
        try:
            predicted.append(logits_of(network, some).argmax(1).cpu())
        finally:
            for hook in hooks:
                hook.remove()
        if reader.signs:
            raise RuntimeError(f"the float network lacks the binary convolutions {', '.join(reader.signs)}")
        parts.append(reader.flips)
        bits = reader.bits
    return torch.cat(parts), torch.cat(predicted), bits


class _SignReader:
    """Counts, as a float network runs, where what its layers read has another sign than ``signs`` (True: -1)."""

    def __init__(self, signs: dict[str, NDArray[np.bool_]], images: int) -> None:
        self.signs = dict(signs)
        self.flips = torch.zeros(images, dtype=torch.int64)
        self.bits = 0
        self._calls: dict[str, int] = {}

    def hook(self, name: str) -> Any:
        def read(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # a layer that is called again is name#2, as in the graph
            calls = self._calls[name] = self._calls.get(name, 0) + 1
            place = name if calls == 1 else f"{name}#{calls}"
            if place not in self.signs:
                raise RuntimeError(f"the packed network lacks the binary convolution {place}")
            negative = (inputs[0] < 0).cpu()
            self.flips += (negative != torch.from_numpy(self.signs.pop(place))).flatten(1).sum(1)
            self.bits += negative[0].numel()

        return read


def packed_facts(comparison: Comparison, packed: PackedNetwork, timing: Timing, file_bytes: int) -> Packed:
    """What a record says of a packed network."""
    count, _, hits, top5 = comparison.packed.sums
    return Packed(
        status="evaluated",
        top1=hits / count,
        top5=top5 / count,
        disagreeing_predictions=comparison.disagreeing,
        disagreeing_with_equal_signs=comparison.disagreeing_with_equal_signs,
        flipped_sign_bits=comparison.flipped,
        sign_bits=comparison.sign_bits,
        sign_images=comparison.sign_images,
        file_bytes=file_bytes,
        weight_bytes=packed.weight_bytes,
        work_bytes=packed.work_bytes,
        kernel=packed.kernel,
        threads=packed.threads,
        cpu=cpu_name(),
        latency_ms=timing.latency_ms,
        warmup=timing.warmup,
        busy=timing.busy,
        images_per_second=timing.images_per_second,
        throughput_batch=timing.throughput_batch,
    )
