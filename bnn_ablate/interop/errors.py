"""What can be wrong with a file."""

from __future__ import annotations

from bnn_ablate.store import CheckpointError


class InteropError(CheckpointError):
    """A file cannot be taken over or read back; the message is one sentence that names it and what is wrong."""


def shown(name: object) -> str:
    """A name out of a file, fit for a sentence: no line breaks, no control characters, not longer than a line."""
    text = str(name).encode("unicode_escape").decode("ascii")
    return text if len(text) <= 100 else f"{text[:97]}..."
