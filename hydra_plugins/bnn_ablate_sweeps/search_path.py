"""Where ``+sweeps=NAME`` is looked for: the checkout's folder sweeps/, beside conf/."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.search_path_plugin import SearchPathPlugin

CHECKOUT = Path(__file__).resolve().parent.parent.parent

#: The group, and the folder that holds its options.
SWEEPS = "sweeps"


class SweepsSource(FileConfigSource):
    """The files of sweeps/ and nothing else of the checkout.

    A group of Hydra is a folder inside a place of the search path, so the place is the checkout; as it is, its whole
    content, runs and virtual environment too, would be groups of options.
    """

    @staticmethod
    def scheme() -> str:
        return "sweeps"

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", SWEEPS) and super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        return str(PurePosixPath(config_path).parent) == SWEEPS and super().is_config(config_path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else [SWEEPS]
        return super().list(config_path, results_filter) if config_path == SWEEPS else []


class SweepsSearchPath(SearchPathPlugin):
    """Makes each file of sweeps/ an option of the group ``sweeps``."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("bnn_ablate", f"{SweepsSource.scheme()}://{CHECKOUT}")
