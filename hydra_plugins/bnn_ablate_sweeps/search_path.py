"""Where ``+sweeps=NAME`` is looked for: the checkout's folder sweeps/, beside conf/."""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

#: A group is a folder inside a place of the search path, so the place is the folder that holds sweeps/.
CHECKOUT = Path(__file__).resolve().parent.parent.parent


class SweepsSearchPath(SearchPathPlugin):
    """Makes each file of sweeps/ an option of the group ``sweeps``."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("bnn_ablate", CHECKOUT.as_uri())
