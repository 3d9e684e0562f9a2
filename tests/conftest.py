"""Shared pieces: composed settings, a network small enough to train in a second, and processes that can be killed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from bnn_ablate.settings import Settings

CONF = Path(__file__).parent.parent / "conf"

#: Six steps an epoch, three epochs.
TINY_TRAINING = (
    "data=synthetic",
    "data.image_size=8",
    "data.limit_train=96",
    "data.limit_test=24",
    "recipe.batch_size=16",
    "recipe.epochs=3",
    "recipe/augment=crop_flip",
    "tracking=none",
)

#: A ResNetE of four binary convolutions.
TINY_SIZES = ("model.blocks_per_stage=[1,1]", "model.channels=[8,16]", "model.stem_features=8")

#: A run of half a second.
TINY = (*TINY_TRAINING, *TINY_SIZES)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--binary-forward",
        choices=("packed", "float"),
        default="packed",
        help="how runs compute binary convolutions where a test does not say so itself",
    )


def composed(*overrides: str, hydra: bool = False) -> DictConfig:
    """The configuration that this command line composes, with Hydra's own part where asked for."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=hydra)


@pytest.fixture(scope="session")
def make_settings(request: pytest.FixtureRequest) -> Callable[..., Settings]:
    """Checked settings of a command line, remembered: Hydra takes a fifth of a second, and many tests ask the same."""
    from bnn_ablate.job import settings_of

    forward = request.config.getoption("--binary-forward")
    always = [] if forward == "packed" else [f"trainer.binary_forward={forward}"]
    return cache(lambda *overrides: settings_of(composed(*always, *overrides)))


@pytest.fixture(scope="session")
def forkserver() -> Any:
    """Makes processes that have torch loaded; whoever starts the first one decides for all, so there is one fixture."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bnn_ablate.run", "interruptions", "wandb", "wandb.sdk.launch"])
    return context


@pytest.fixture(scope="session")
def forked(forkserver: Any) -> Callable[..., int]:
    """Run a function in a process of its own; returns its exit code (-9: killed)."""

    def call(function: Callable[..., Any], *arguments: Any) -> int:
        process = forkserver.Process(target=function, args=arguments)
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode

    return call
