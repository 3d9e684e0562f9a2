"""A contrast of cell means as it was estimated."""

from __future__ import annotations

from dataclasses import dataclass

from bnn_ablate.report.stats.student import t_quantile


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """``value`` points with the standard error ``se`` on ``df`` degrees of freedom.

    ``n`` is the number of runs in the thinnest of its cells. ``se`` and ``df`` are None where nothing repeats,
    so that chance cannot be told from effect.

    ``se`` is 0 where runs repeat and chance has moved none of them apart (``no_spread``): all seeds gave the same
    number of right images, or two settings are one network. A t statistic would be a division by 0, so there is
    neither interval nor p, and nothing is proven: that chance was not seen is not to say that there is none.
    """

    value: float
    se: float | None
    df: float | None
    n: int

    @property
    def no_spread(self) -> bool:
        """Runs repeat and do not differ but by cell and seed."""
        return self.se == 0

    def interval(self, level: float) -> tuple[float, float] | None:
        """The two-sided Student-t interval at ``level`` (0.95, say), in points; None where there is no spread."""
        if self.se is None or self.df is None or self.no_spread:
            return None
        half_width = t_quantile(self.df, (1 + level) / 2) * self.se
        return self.value - half_width, self.value + half_width

    @property
    def p(self) -> float | None:
        """Two-sided p-value of "there is no effect"; below 0.05 exactly where the 95 % interval excludes 0."""
        return self.p_beyond(0)

    def p_beyond(self, margin: float) -> float | None:
        """p-value of "the effect is ``margin`` points at most, either way"; below 0.05 exactly where the 95 % interval
        lies wholly beyond the margin. None where there is no interval."""
        if self.se is None or self.df is None or self.no_spread:
            return None
        from scipy.special import stdtr

        return min(1.0, 2 * float(stdtr(self.df, (margin - abs(self.value)) / self.se)))
