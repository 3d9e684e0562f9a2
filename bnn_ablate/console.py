"""What a person reads while runs go on."""

from __future__ import annotations

from contextlib import suppress


def say(text: str) -> None:
    """Results and refusals go to standard output, at once, so that a log shows them in order.

    A reader that has gone, or a log on a full disk, costs a line and no run.
    """
    with suppress(OSError):
        print(text, flush=True)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where there is none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
