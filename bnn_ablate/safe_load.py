"""Checkpoints of any origin, read without trusting them."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch


class UnreadableError(ValueError):
    """The bytes are no checkpoint of tensors and plain values."""


def load_safely(content: bytes) -> Any:
    """What torch.save wrote, on the CPU; nothing is unpickled but tensors and plain values.

    Raises UnreadableError, whatever a damaged or foreign file makes torch's reader raise, and that is nearly anything.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise UnreadableError(str(error)) from error
