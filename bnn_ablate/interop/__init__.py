"""Networks that other programs trained: weight files of Larq Zoo and bitorch as networks of ours.

:func:`convert` reads such a file, :func:`load_network` reads back what was written of it. Nothing heavy is imported
before one of them is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnn_ablate.interop.conversion import Converted, convert
    from bnn_ablate.interop.errors import InteropError
    from bnn_ablate.interop.network_file import NetworkFacts, Source, load_network

__all__ = ["Converted", "InteropError", "NetworkFacts", "Source", "convert", "load_network"]

_HOMES = {
    "Converted": "conversion",
    "InteropError": "errors",
    "NetworkFacts": "network_file",
    "Source": "network_file",
    "convert": "conversion",
    "load_network": "network_file",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
