"""Ctrl-C and SIGTERM as numbers that a loop looks at, so that neither ends it at any odd place."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any


class Interrupts:
    """Counts both signals in place of their usual effect, and is ready to be waited for when one comes.

    A context manager; ``woken`` is a descriptor to wait for.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        self.woken, self._wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(self._wake, False)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._count)
        self._wakeup_before = signal.set_wakeup_fd(self._wake)
        return self

    def __exit__(self, *_: Any) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        while self._before:
            signal.signal(*self._before.popitem())
        os.close(self.woken)
        os.close(self._wake)

    def _count(self, number: int, _: FrameType | None) -> None:
        self.count += 1

    def take(self) -> int:
        """How many came so far; the next wait is for further ones."""
        os.read(self.woken, 4096)
        return self.count
