"""Results of the training benchmark as Markdown, which the terminal shows too."""

from __future__ import annotations

from collections.abc import Sequence

from bnn_ablate.bench.machine import others_text
from bnn_ablate.bench.tables import table
from bnn_ablate.bench.training.networks import IMAGE
from bnn_ablate.bench.training.results import Group, Results, Row

EXPLAINED = f"""\
A step is forward, cross-entropy, backward and Adam on images of {IMAGE[1]}x{IMAGE[2]}; times are medians. Ratios are to
the step of the float ResNet18, eager and channels_last, in the same round: medians, with the least and the largest over
rounds in brackets; 0.50 is half of its time. Contenders take turns in one process. "cpu" is time of processors, all
threads together, which others on the machine disturb less. Width is the features of the first stage; all others follow.
"resident" is what two steps add at their peak to a process of their own that has loaded its library, the memory of a
compiler included; "live" is the peak of the tensors that a step makes, without what kernels allocate themselves."""


def markdown(results: Results) -> str:
    """The whole report."""
    parts = ["# Training", "", *(f"- {name}: {value}" for name, value in results.facts.items()), "", EXPLAINED, ""]
    if len(results.groups) > 1:
        parts += ["## Ratios in short", "", summary(results.groups), ""]
    for group in results.groups:
        parts += [f"## {group.load.title}", "", group_table(group), ""]
    return "\n".join(parts)


def summary(groups: Sequence[Group]) -> str:
    """The median ratio of every contender that was measured in a group, by its name, and a line a group."""
    names = list(dict.fromkeys(row.name for group in groups for row in group.rows if row.samples))
    cells = [["", *names]]
    for group in groups:
        found = {row.name: f"{group.ratio(row, 'wall').median:.2f}" for row in group.rows if row.samples}
        cells.append([group.load.title, *(found.get(name, "") for name in names)])
    return table(cells, right=range(1, len(names) + 1))


def group_table(group: Group) -> str:
    """All contenders of a group, and those that are missing."""
    head = ["", "images/s", "wall ms", "ratio", "", "cpu ms", "ratio", "", "resident MiB", "live MiB", ""]
    cells = [head]
    for row in group.rows:
        if row.samples:
            cells.append([_title(row), *_times(group, row), *_memory(row), row.note])
        else:
            cells.append([_title(row), *[""] * (len(head) - 2), row.note])
    rounds = len(group.rows[0].samples)
    return table(cells, right=range(1, len(head) - 1)) + (
        f"\n\n{rounds} round{'s' if rounds > 1 else ''}; meanwhile {others_text(group.others)}."
    )


def _times(group: Group, row: Row) -> list[str]:
    wall, cpu = group.ratio(row, "wall"), group.ratio(row, "cpu")
    return [
        f"{group.images_per_second(row):.1f}",
        f"{group.seconds(row, 'wall') * 1e3:.0f}",
        f"{wall.median:.2f}",
        f"[{wall.least:.2f}, {wall.largest:.2f}]",
        f"{group.seconds(row, 'cpu') * 1e3:.0f}",
        f"{cpu.median:.2f}",
        f"[{cpu.least:.2f}, {cpu.largest:.2f}]",
    ]


def _memory(row: Row) -> list[str]:
    if row.memory is None:
        return ["", ""]
    return [f"{row.memory.resident:.0f}", "" if row.memory.live is None else f"{row.memory.live:.0f}"]


def _title(row: Row) -> str:
    return f"**{row.title}**" if row.ours else row.title
