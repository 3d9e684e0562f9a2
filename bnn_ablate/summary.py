"""``python -m bnn_ablate.summary [group=option ...]``: a network layer by layer, and what it stores and computes.

Takes the overrides of ``python -m bnn_ablate`` and trains nothing: no data is read and no run is made.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bnn_ablate.composing import network_settings
from bnn_ablate.cost import Cost, count_cost
from bnn_ablate.layers import BinaryConv2d, QuantizedConv2d
from bnn_ablate.models import Fitted, build_network, fit_sizes, shapes_of
from bnn_ablate.settings import Settings, SettingsError

HEADINGS = ("layer", "kind", "output", "precision", "parameters", "bits", "MACs", "binary MACs")


@dataclass(frozen=True)
class Row:
    """One layer. ``output`` has no batch axis; ``precision`` is weight x activation bits, empty without weights."""

    name: str
    kind: str
    output: tuple[int, ...]
    precision: str
    params: int
    bits: int
    macs_float: int
    macs_binary: int


def layers_of(network: nn.Module, image_shape: tuple[int, int, int]) -> list[Row]:
    """A row a layer in the order of the forward pass of one image (C, H, W); counted by the rules of :class:`Cost`."""
    names = {module: name for name, module in network.named_modules()}
    rows: list[Row] = []

    def note(layer: nn.Module, _: Any, output: Tensor) -> None:
        rows.append(_row(names[layer], layer, tuple(output.shape[1:])))

    leaves = [layer for layer in network.modules() if not any(True for _ in layer.children())]
    hooks = [layer.register_forward_hook(note) for layer in leaves if not isinstance(layer, nn.Identity)]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *image_shape))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return rows


def _row(name: str, layer: nn.Module, output: tuple[int, ...]) -> Row:
    params = sum(parameter.numel() for parameter in layer.parameters())
    binary_params, macs, precision, kind = 0, 0, "", type(layer).__name__
    binary = isinstance(layer, BinaryConv2d)
    if isinstance(layer, QuantizedConv2d | nn.Conv2d):
        macs = layer.weight.numel() * output[1] * output[2]
        kernel, stride = layer.weight.shape[2], layer.stride if isinstance(layer.stride, int) else layer.stride[0]
        kind = f"{kind} {kernel}x{kernel}" + (f"/{stride}" if stride > 1 else "")
        precision = "32 x 32"
    if isinstance(layer, QuantizedConv2d):
        binary_params = layer.weight.numel() if layer.binary_weights else 0
        activations = 1 if layer.design.activations.name == "sign" else 32
        precision = f"{1 if layer.binary_weights else 32} x {activations}"
    elif isinstance(layer, nn.Linear):
        precision = "32 x 32"
    return Row(
        name=name,
        kind=kind,
        output=output,
        precision=precision,
        params=params,
        bits=binary_params + 32 * (params - binary_params),
        macs_float=0 if binary else macs,
        macs_binary=macs if binary else 0,
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as text, numbers to the right."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]

    def shown(line: Sequence[str]) -> str:
        left = [text.ljust(width) for text, width in zip(line[:4], widths[:4], strict=True)]
        right = [text.rjust(width) for text, width in zip(line[4:], widths[4:], strict=True)]
        return "  ".join([*left, *right]).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([shown(lines[0]), rule, *(shown(line) for line in lines[1:])])


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (row.params, row.bits, row.macs_float, row.macs_binary)
    size = "x".join(str(side) for side in row.output)
    return (row.name, row.kind, size, row.precision, *(f"{number:,}" if number else "" for number in numbers))


def totals(cost: Cost) -> str:
    """What the whole network stores and computes."""
    params = f"{cost.params:,} = {cost.params_binary:,} binary + {cost.params_float:,} float"
    work = f"{cost.macs_float:,} float + {cost.macs_binary:,} binary"
    return "\n".join(
        [
            f"parameters          {params}",
            f"stored              {cost.size_mib:.3f} MiB (1 bit a binary weight, 32 each other parameter)",
            f"running statistics  {cost.running_stats:,} (of BatchNorm, not in the above)",
            f"MACs                {work} = {cost.macs_combined:,.0f} combined (64 binary as one)",
        ]
    )


def network_of(settings: Settings) -> tuple[nn.Module, tuple[int, int, int], Fitted]:
    """The network of a run, untrained, the shape (C, H, W) of its images, and its sizes. Raises SettingsError."""
    data = settings.data
    shapes = shapes_of(settings)
    try:
        fitted = fit_sizes(settings.model, settings.design, **shapes)
        network = build_network(settings.model, settings.design, **shapes)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    return network, (len(data.mean), data.image_size, data.image_size), fitted


def main(arguments: Sequence[str]) -> int:
    """Print the table; exit code 0, or 1 where a setting is wrong."""
    if any(text in ("-h", "--help") for text in arguments):
        print(f"{__doc__}\n    python -m bnn_ablate.summary model=binary_densenet28 data=image_folder")
        return 0
    try:
        network, image_shape, fitted = network_of(network_settings(arguments))
    except SettingsError as error:
        print(f"error: {error}")
        return 1
    if fitted.said is not None:
        print(f"{fitted.said}\n")
    print(table(layers_of(network, image_shape)))
    print(f"\nfor one image of {'x'.join(map(str, image_shape))}:\n{totals(count_cost(network, image_shape))}")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a word
    sys.exit(main(sys.argv[1:]))
