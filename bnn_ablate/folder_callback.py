"""Hydra's part of a single run: the folder of runs is there, or one sentence says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from bnn_ablate.sweep.sweeping import writable


class FolderCallback(Callback):
    """Makes the folder before Hydra does, which would show a traceback."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with writable(Path(config.runs)):
            Path(config.runs).mkdir(parents=True, exist_ok=True)
