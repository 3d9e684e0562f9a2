"""Room on the disk of the runs: a disk that was full for a moment costs a sweep a pause, not its runs."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

#: No run is started while less than this is free: a run that cannot write its first file has only been lost time.
ROOM_BYTES = 8 * 2**20
#: How long a sweep waits for room, in seconds, before it leaves the rest for another time.
PATIENCE = 300.0
#: How often it looks.
SECONDS_BETWEEN_LOOKS = 2.0


class Disk:
    """Whether runs can be written under ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.full_since: float | None = None
        self.next_look = 0.0

    @property
    def given_up(self) -> bool:
        """Whether it has been full for too long."""
        return self.full_since is not None and time.monotonic() - self.full_since > PATIENCE

    def worth_waiting(self) -> bool:
        """Say that a run found the disk full; whether there is still patience."""
        if self.full_since is None:
            self.full_since = time.monotonic()
        self.next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        return not self.given_up

    def has_room(self) -> bool:
        """Whether a run may start now. Once the disk was full, that is tried by writing, every few seconds."""
        if self.full_since is None:
            return True
        if time.monotonic() < self.next_look:
            return False
        self.next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        if self._can_write():
            self.full_since = None
            return True
        return False

    def _can_write(self) -> bool:
        probe = self.root / ".room"
        try:
            probe.write_bytes(bytes(ROOM_BYTES))
        except OSError:  # full, or gone: in either case no run could be written
            return False
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
        return True
