"""Hydra's sweepers of ours: each job is composed once, and finished runs never reach a launcher."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.bnn_ablate_sweeps.search_path import CHECKOUT


class GridSweeper(Sweeper):
    """Every combination of the swept values; ``params`` are overrides that the command line may replace."""

    #: Stands before the names of studies of the same overrides that another sweeper makes.
    way = ""

    def __init__(self, params: dict[str, str]) -> None:
        self.params = params
        self.launcher: Launcher
        self.config: DictConfig
        self.hydra_context: HydraContext

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from bnn_ablate.sweep.sweeping import sweep

        given = [f"{key}={value}" for key, value in self.params.items()]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*given, *arguments])
        loader = self.hydra_context.config_loader
        return sweep(overrides, self.expand, self.launcher, loader, self.config, way=self.way)

    def expand(self, overrides: Sequence[Override]) -> list[tuple[str, ...]]:
        """The overrides of each job."""
        from bnn_ablate.sweep.expand import grid

        return grid(overrides)


class OneFactorSweeper(GridSweeper):
    """A baseline, and from it one change at a time: the ablation that papers mean.

    Each value of an override with several values, and each of ``params``, is tried alone; overrides in ``crossed`` are
    combined with all of it.
    """

    def __init__(self, params: dict[str, str], crossed: list[str]) -> None:
        super().__init__(params)
        self.crossed = crossed
        others = [key for key in crossed if key != "seed"]
        self.way = "-".join(["one_factor", *(re.sub("[^A-Za-z0-9]+", "_", key) for key in others)])

    def expand(self, overrides: Sequence[Override]) -> list[tuple[str, ...]]:
        from bnn_ablate.sweep.expand import one_factor

        return one_factor(overrides, factors=list(self.params), crossed=list(self.crossed))


# conf/hydra/sweeper/grid.yaml says why. Hydra loads its own plugins first, so ours is the one that stays.
ConfigStore.instance().store(
    group="hydra/sweeper", name="basic", node=OmegaConf.load(CHECKOUT / "conf/hydra/sweeper/grid.yaml")
)
