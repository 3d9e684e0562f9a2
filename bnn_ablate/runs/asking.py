"""Questions before something is done that cannot be taken back."""

from __future__ import annotations

import sys

from bnn_ablate.runs.entries import RunsError


def confirm(question: str, expected: str) -> bool:
    """Ask on the terminal; True where the answer is ``expected``. Raises RunsError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise RunsError(f"{question} can only be asked in a terminal: give --yes where nobody is there to answer")
    print(f"{question}? [{expected}/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() == expected
