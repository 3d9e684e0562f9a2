"""What a training benchmark found: contenders that took turns in the same rounds, and the memory of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from bnn_ablate.bench.measure import Samples
from bnn_ablate.bench.training.contenders import Load

Clock = Literal["wall", "cpu"]


@dataclass(frozen=True)
class Memory:
    """MiB of one contender in a process of its own.

    ``resident`` is what two steps add at their peak to what loading left: pages of the process, so with everything
    that no tensor holds, a compiler's memory for instance. ``live`` are the tensors that a later step makes, at their
    peak; None where they are not torch's.
    """

    resident: float
    live: float | None


@dataclass(frozen=True)
class Ratio:
    """Over rounds."""

    median: float
    least: float
    largest: float


@dataclass(frozen=True)
class Row:
    """One contender by its name. ``samples`` are seconds of steps; where there are none, ``note`` says why."""

    name: str
    title: str
    ours: bool
    note: str
    samples: Samples = field(default_factory=dict)
    memory: Memory | None = None
    #: Where the time of a step goes, where that was asked for.
    profile: str | None = None


@dataclass(frozen=True)
class Group:
    """Contenders under one load; the first row is the reference."""

    load: Load
    rows: tuple[Row, ...]
    #: Processors that others used meanwhile; None where that is unknown.
    others: float | None

    def seconds(self, row: Row, clock: Clock) -> float:
        """The median step."""
        return median(getattr(sample, clock) for sample in row.samples.values())

    def images_per_second(self, row: Row) -> float:
        return self.load.batch / self.seconds(row, "wall")

    def ratio(self, row: Row, clock: Clock) -> Ratio:
        """How many times as long as the reference's step of the same round: 0.5 is half of its time."""
        reference = self.rows[0].samples
        ratios = [getattr(sample, clock) / getattr(reference[i], clock) for i, sample in row.samples.items()]
        return Ratio(median(ratios), min(ratios), max(ratios))


@dataclass(frozen=True)
class Results:
    facts: dict[str, str]
    groups: tuple[Group, ...]
