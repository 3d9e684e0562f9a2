"""What an inference benchmark found: groups of contenders that were measured in the same rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from bnn_ablate.bench.measure import Samples
from bnn_ablate.evaluations import LayerTime


@dataclass(frozen=True)
class Spread:
    """A median with the quartiles around it."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high))


def title_of(size: int, batch: int, threads: int) -> str:
    """A group in words."""
    return f"{size}x{size}, batch {batch}, {threads} thread{'s' if threads > 1 else ''}"


@dataclass(frozen=True)
class Row:
    """One contender. ``samples`` are seconds of whole batches; where there are none, ``note`` says why.

    ``against`` is the network of ours that its ratios are to.
    """

    network: str
    engine: str
    ours: bool
    against: str
    note: str
    samples: Samples = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Contenders for ``batch`` images of ``size`` pixels a side on ``threads`` threads, first ours of each network."""

    size: int
    batch: int
    threads: int
    rows: tuple[Row, ...]
    #: Processors that others used meanwhile; None where that is unknown.
    others: float | None

    @property
    def title(self) -> str:
        return title_of(self.size, self.batch, self.threads)

    @property
    def key(self) -> str:
        return f"{self.size}px-batch{self.batch}-threads{self.threads}"

    def ours(self, network: str) -> Row:
        return next(row for row in self.rows if row.ours and row.network == network)

    def milliseconds(self, row: Row) -> Spread:
        """An image's part of a call."""
        return spread([sample.wall * 1e3 / self.batch for sample in row.samples.values()])

    def cpu_milliseconds(self, row: Row) -> Spread:
        """An image's part of a call in time of processors, all threads together."""
        return spread([sample.cpu * 1e3 / self.batch for sample in row.samples.values()])

    def ratio(self, row: Row, against: str | None = None) -> Spread:
        """How many times as long as ours, round by round; ``against`` another of our networks than the row's."""
        ours = self.ours(row.against if against is None else against).samples
        return spread([sample.wall / ours[i].wall for i, sample in row.samples.items()])

    def cpu_ratio(self, row: Row) -> Spread:
        """How many times as much of processors' time as ours, round by round."""
        ours = self.ours(row.against).samples
        return spread([sample.cpu / ours[i].cpu for i, sample in row.samples.items()])

    def best(self, network: str, engine: str = "") -> Row | None:
        """The fastest contender for ``network`` other than ours whose engine begins so."""
        rows = [
            row
            for row in self.rows
            if row.network == network and not row.ours and row.samples and row.engine.startswith(engine)
        ]
        return min(rows, key=lambda row: self.milliseconds(row).median, default=None)

    def networks(self) -> list[tuple[str, list[Row]]]:
        """Rows by network, in their order."""
        return [(name, list(rows)) for name, rows in groupby(self.rows, key=lambda row: row.network)]


@dataclass(frozen=True)
class Layers:
    """Where the time of one image goes in a packed network on one thread, and the memory that it takes."""

    network: str
    kernel: str
    size: int
    steps: tuple[LayerTime, ...]
    popcount_peak: float
    #: Binary convolutions of 3x3 and more, with everything fused into them.
    binary_macs: int
    binary_seconds: float
    weight_bytes: int
    work_bytes: int

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)

    @property
    def binary_share(self) -> float | None:
        """Share of the popcount peak that the binary convolutions reach; None where there are none."""
        if self.binary_seconds == 0:
            return None
        return self.binary_macs / self.binary_seconds / self.popcount_peak


@dataclass(frozen=True)
class Results:
    facts: dict[str, str]
    groups: tuple[Group, ...]
    layers: tuple[Layers, ...]
