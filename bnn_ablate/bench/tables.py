"""Results as Markdown, which the terminal shows too."""

from __future__ import annotations

from collections.abc import Sequence

from bnn_ablate.bench.machine import others_text
from bnn_ablate.bench.peers import FLOAT32, INT8
from bnn_ablate.bench.results import Group, Layers, Results, Row, Spread
from bnn_ablate.layer_profile import profile_text

EXPLAINED = """\
Times are those of one image, its part of the batch: medians, with quartiles in brackets. Ratios are to our own packed
network of the same round (float networks: to our first network), medians and quartiles over rounds; 2.00 is twice as
long. Contenders take turns in one process. "cpu" is time of processors, all threads together, which others on the
machine disturb less. "Equal" are answers that differ from ours by rounding: where a sum that is nearly zero has another
sign the untrained network goes another way."""


def markdown(results: Results) -> str:
    """The whole report."""
    parts = ["# Inference", "", *(f"- {name}: {value}" for name, value in results.facts.items()), "", EXPLAINED, ""]
    if len(results.groups) > 0:
        parts += ["## In short", "", summary(results.groups), ""]
    for group in results.groups:
        parts += [f"## {group.title}", "", group_table(group), ""]
    for layers in results.layers:
        parts += [f"## {layers.network}, {layers.size}x{layers.size}, step by step", "", layer_table(layers), ""]
    return "\n".join(parts)


def summary(groups: Sequence[Group]) -> str:
    """A line for each of our networks, image size, batch and number of threads."""
    alone = {
        (name, group.size, group.batch): group.milliseconds(group.ours(name)).median
        for group in groups
        if group.threads == 1
        for name in _ours(group)
    }
    others = ["OpenVINO packed", "int8 ResNet18", "float32 ResNet18", "1 thread"]
    cells = [["network", "image", "batch", "threads", "ms", *others]]
    for group in groups:
        for name in _ours(group):
            ours = group.milliseconds(group.ours(name)).median
            key = (name, group.size, group.batch)
            cells.append(
                [name, str(group.size), str(group.batch), str(group.threads), f"{ours:.3f}"]
                + [
                    _times(group, group.best(network, engine), name)
                    for network, engine in ((name, "OpenVINO packed"), (INT8, ""), (FLOAT32, ""))
                ]
                + [f"{alone[key] / ours:.2f}" if key in alone and group.threads > 1 else ""]
            )
    return (
        table(cells, right=range(1, 9))
        + "\n\nColumns after ms: how many times as long others take (the fastest engine of each), and one thread."
    )


def group_table(group: Group) -> str:
    """All contenders of a group, and those that are missing."""
    cells = [["", "ms/image", "", "ratio", "", "cpu ms", "ratio", "rounds", "answers"]]
    for network, rows in group.networks():
        for row in rows:
            name = f"{'**' if row.ours else ''}{network}, {row.engine}{'**' if row.ours else ''}"
            if row.samples:
                measured = [*_spread(group.milliseconds(row), 3), *_spread(group.ratio(row), 2)]
                cpu = [f"{group.cpu_milliseconds(row).median:.3f}", f"{group.cpu_ratio(row).median:.2f}"]
                cells.append([name, *measured, *cpu, str(len(row.samples)), row.note])
            else:
                cells.append([name, *[""] * 7, row.note])
    return table(cells, right=range(1, 8)) + f"\n\nMeanwhile {others_text(group.others)}."


def layer_table(layers: Layers) -> str:
    """Each step's time and share, and what all binary convolutions reach together."""
    share = "" if layers.binary_share is None else f", {layers.binary_share:.0%} of the popcount peak"
    speed = layers.binary_macs / max(layers.binary_seconds, 1e-12) / 1e9
    binary = f"{layers.binary_seconds * 1e3:.3f} ms, {speed:.0f} GMAC/s{share}"
    return f"""```
{profile_text(layers.steps)}
```

One image, one thread, kernel {layers.kernel}: {layers.seconds * 1e3:.3f} ms.
Binary convolutions of 3x3 and more with all that is fused into them: {binary}.
The peak is that of popcounts on one core, {layers.popcount_peak / 1e9:.0f} GMAC/s as measured here; the MACs of a stem
are those of a plain convolution, of which Winograd's filtering needs fewer.
Memory above the weights ({layers.weight_bytes / 2**20:.2f} MiB): {layers.work_bytes / 2**20:.2f} MiB."""


def table(cells: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    """Cells with a head as a Markdown table whose columns are aligned; those of ``right`` to the right."""
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(cells[0]))]
    rule = ["-" * (width - 1) + (":" if i in right else "-") for i, width in enumerate(widths)]
    lines = [
        " | ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (cells[0], rule, *cells[1:])
    ]
    return "\n".join(f"| {line} |" for line in lines)


def _ours(group: Group) -> list[str]:
    return [row.network for row in group.rows if row.ours]


def _times(group: Group, row: Row | None, network: str) -> str:
    return "" if row is None else f"{group.ratio(row, network).median:.2f}"


def _spread(values: Spread, digits: int) -> list[str]:
    return [f"{values.median:.{digits}f}", f"[{values.low:.{digits}f}, {values.high:.{digits}f}]"]
