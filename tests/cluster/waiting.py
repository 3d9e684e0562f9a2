"""Waiting for servers that are being started."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], bool], what: str, log: Path, seconds: float) -> None:
    """Return once ``condition`` holds; after ``seconds`` a RuntimeError says ``what`` and how ``log`` ends."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise RuntimeError(f"{what} after {seconds:.0f} s; {log} ends with\n{tail}")
        time.sleep(0.2)
