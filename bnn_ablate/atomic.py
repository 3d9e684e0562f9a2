"""A file that is whole or not there."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any


def write_atomically(path: Path, *parts: Any) -> None:
    """Write buffers one after the other: ``path`` holds all of it or what it held before, even after a power cut."""
    # not the process id alone: two hosts that share the folder may both have it
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
