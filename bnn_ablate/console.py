"""What a person reads while runs go on."""

from __future__ import annotations


def say(text: str) -> None:
    """Results and refusals go to standard output, at once, so that a log shows them in order."""
    print(text, flush=True)
