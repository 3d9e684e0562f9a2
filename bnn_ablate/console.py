"""What a person reads while runs go on."""

from __future__ import annotations

from contextlib import suppress


def say(text: str) -> None:
    """Results and refusals go to standard output, at once, so that a log shows them in order.

    A reader that has gone, or a log on a full disk, costs a line and no run.
    """
    with suppress(OSError):
        print(text, flush=True)
