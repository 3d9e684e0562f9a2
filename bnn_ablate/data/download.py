"""stub"""

from __future__ import annotations

from pathlib import Path

from bnn_ablate.data.errors import DataError
from bnn_ablate.data.sources import RemoteFile


def fetch(base_url: str, remote: RemoteFile, root: Path) -> None:
    raise DataError("download is not there yet")
