"""Hydra's part of a study: before a sweep's first job, write down every job that is planned."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from bnn_ablate.record import RecordError
from bnn_ablate.study import default_name, plan_jobs


class StudyCallback(Callback):
    """Names the sweep, plans its jobs, and passes the name on to each of them as ``study=NAME``."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with one_sentence(config):
            Path(config.runs).mkdir(parents=True, exist_ok=True)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        overrides = list(config.hydra.overrides.task)
        name = config.study
        if name is None:
            name = default_name(overrides)
            # What stands in hydra.overrides.hydra is applied to every job that is composed, by whichever launcher.
            with open_dict(config):
                OmegaConf.update(config, "hydra.overrides.hydra", [*config.hydra.overrides.hydra, f"study={name}"])
        parsed = OverridesParser.create().parse_overrides(overrides)
        (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        with one_sentence(config):
            plan_jobs(Path(config.runs) / "studies", name, [list(job) for job in jobs])


@contextmanager
def one_sentence(config: DictConfig) -> Iterator[None]:
    """Leave with a sentence where the runs' folder cannot be written or read; Hydra would show a traceback."""
    try:
        yield
    except OSError as error:
        print(f"error: runs={config.runs} cannot be written: {error.strerror}", flush=True)
        sys.exit(1)
    except RecordError as error:
        print(f"error: {error}", flush=True)
        sys.exit(1)
