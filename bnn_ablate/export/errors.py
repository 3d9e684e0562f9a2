"""What can be wrong with an export."""

from __future__ import annotations


class ExportError(ValueError):
    """A network cannot be exported; the message is one sentence that says why."""
