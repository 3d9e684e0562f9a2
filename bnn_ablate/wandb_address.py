"""Where W&B shows a run, kept in the run's folder: an address for people, on which no result depends."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from bnn_ablate.atomic import write_atomically
from bnn_ablate.checked import STRICT
from bnn_ablate.record import RecordError, RunId, read_checked

#: The file's name in the folder of a run.
FILE = "wandb.json"
#: http or https, a host, and a path of printable ASCII; no password before the host, no query (``?``), which may hold
#: a key, and no fragment (``#``).
Address = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]_-]+(/[!\"$->@-~]*)?$")]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WandbAddress:
    """The page ``url`` of run ``run_id``; the run's id in W&B is its last part, and an agent's is another one."""

    schema: Literal[1]
    run_id: RunId
    url: Address


_STORED: TypeAdapter[WandbAddress] = TypeAdapter(WandbAddress)


def write_address(folder: Path, url: str) -> None:
    """Keep the address in the folder of the run, in place of an earlier one, whole or not at all.

    A query and a fragment are left out. Raises OSError, and ValueError where it is no address.
    """
    page = urlsplit(url)._replace(query="", fragment="").geturl()
    address = WandbAddress(schema=1, run_id=folder.name, url=page)
    write_atomically(folder / FILE, (json.dumps(asdict(address), indent=1) + "\n").encode())


def read_address(folder: Path) -> str | None:
    """The address in the folder of a run, None where W&B gave it none.

    Raises RecordError, naming the file, where it is damaged or another run's, and OSError.
    """
    path = folder / FILE
    if not path.exists():
        return None
    address = read_checked(_STORED, path)
    if address.run_id != folder.name:
        raise RecordError(f"{path}: run_id: it is the address of run {address.run_id}")
    return address.url
