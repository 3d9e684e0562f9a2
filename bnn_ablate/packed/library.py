"""The compiled kernels: loaded once, by ctypes, and checked against the sources beside them."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_uint8, c_void_p
from functools import cache
from pathlib import Path

from bnn_ablate.packed import sources
from bnn_ablate.packed.program import FIELDS

#: Kernels by their number in engine.cpp, the slowest first.
KERNELS = ("portable", "avx2", "avx512")


class EngineError(RuntimeError):
    """The packed engine cannot do what was asked; the message says why."""


@cache
def library() -> ctypes.CDLL:
    """The kernels. Raises EngineError where they are not built, or from other sources than those that are here.

    The environment variable BNN_ABLATE_KERNELS names another library of the same sources: one with sanitizers.
    """
    path = Path(os.environ.get("BNN_ABLATE_KERNELS", Path(__file__).with_name(sources.LIBRARY)))
    again = "run `make` or `pip install -e .` again"
    try:
        kernels = ctypes.CDLL(str(path))
    except OSError as error:
        raise EngineError(f"the packed engine's kernels cannot be loaded ({error}): {again}") from None
    if not hasattr(kernels, "bnn_sources"):
        raise EngineError(f"{path} is no library of the packed engine's kernels: {again}")
    kernels.bnn_sources.restype = c_char_p
    kernels.bnn_fields.restype = c_char_p
    if kernels.bnn_sources().decode() != sources.digest() or tuple(kernels.bnn_fields().decode().split()) != FIELDS:
        raise EngineError(f"{path} was built from other sources than those in {sources.KERNELS}: {again}")
    kernels.bnn_create.restype = c_void_p
    kernels.bnn_create.argtypes = [c_void_p, c_int64, c_void_p, c_int64, c_int64, c_void_p, c_int, c_char_p, c_int64]
    kernels.bnn_destroy.argtypes = [c_void_p]
    kernels.bnn_destroy.restype = None
    kernels.bnn_arena.argtypes = [c_void_p]
    kernels.bnn_arena.restype = POINTER(c_uint8)
    kernels.bnn_run.argtypes = [c_void_p, c_void_p, POINTER(c_int64), c_int64, c_void_p, c_void_p]
    kernels.bnn_supported.argtypes = [c_int]
    kernels.bnn_popcount_peak.argtypes = [c_int]
    kernels.bnn_popcount_peak.restype = c_double
    return kernels


@cache
def available_kernels() -> tuple[str, ...]:
    """The kernels that this processor can run, the fastest first."""
    return tuple(name for i, name in reversed(list(enumerate(KERNELS))) if library().bnn_supported(i))


def chosen_kernel(kernel: str | None) -> str:
    """``kernel``, or the fastest. Raises ValueError for one that is unknown or that this processor lacks."""
    if kernel is None:
        return available_kernels()[0]
    if kernel not in KERNELS:
        raise ValueError(f"kernel={kernel} is unknown: choose one of {', '.join(available_kernels())}")
    if kernel not in available_kernels():
        raise ValueError(
            f"kernel={kernel} needs instructions that this processor lacks: choose one of "
            f"{', '.join(available_kernels())}"
        )
    return kernel


def popcount_peak(kernel: str) -> float:
    """Binary MACs a second that one core reaches with a kernel's instructions and all operands in registers.

    Measured in some milliseconds, the best of 20. Raises ValueError as :func:`chosen_kernel` does.
    """
    return float(library().bnn_popcount_peak(KERNELS.index(chosen_kernel(kernel))))


__all__ = ["KERNELS", "EngineError", "available_kernels", "chosen_kernel", "library", "popcount_peak"]
