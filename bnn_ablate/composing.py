"""Configurations of conf/ composed outside ``python -m bnn_ablate``, for the commands that make no run."""

from __future__ import annotations

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from bnn_ablate.__main__ import CONF
from bnn_ablate.job import settings_of
from bnn_ablate.settings import Settings, SettingsError


def composed(fixed: Sequence[str], asked: Sequence[str]) -> DictConfig:
    """What these overrides compose, the program's own and then those that a person asked for.

    Raises SettingsError with one sentence about what was asked, and the valid options.
    """
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("config", [*fixed, *asked])
    except (HydraException, ValueError) as error:
        # Its own lines: what is wrong, the options there are, and places and addresses that help nobody here.
        lines = str(error).partition("Config search path")[0].partition("See https")[0].split("\n")
        text = " ".join(line.strip() for line in lines if line.strip())
        named = any(override in text for override in asked)
        raise SettingsError(text if named else f"{' '.join(asked)}: {text}") from None


def network_settings(overrides: Sequence[str]) -> Settings:
    """Settings of which only the network counts: a folder of images, and its recipe, need not be named.

    Raises SettingsError.
    """
    folder = "data=image_folder" in overrides
    # nothing is trained, but the default recipe is not one for folders
    config = composed(["recipe=imagenet_2018"] if folder else [], overrides)
    if OmegaConf.is_missing(config.data, "root"):
        config.data.root = None
    return settings_of(config)
