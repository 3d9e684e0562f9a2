"""Where a run was made and with what."""

from __future__ import annotations

import os
import platform
import resource
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "numpy", "bnn_ablate")


def commit() -> tuple[str | None, bool | None]:
    """The commit of the source this package runs from, and whether files differ from it; None outside a checkout."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        git(
            "ls-files", "--error-unmatch", Path(__file__).name
        )  # fails where the checkout around us is another project's
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def versions() -> dict[str, str]:
    """Versions of Python and of what decides numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def cpu_name() -> str:
    """The processor's name, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() + " " + platform.machine()


def gpu_name(accelerator: str) -> str | None:
    """The first GPU's name for a run on GPUs, None for one on the CPU."""
    return torch.cuda.get_device_name() if accelerator == "gpu" else None


def peak_memory_bytes(accelerator: str) -> int:
    """The most memory so far: of this process and its children on the CPU, of the first GPU otherwise."""
    if accelerator == "gpu":
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whose) * unit


def place(threads: int) -> dict[str, Any]:
    """What the bits of a sum depend on: kind of CPU and number of threads."""
    return {"cpu": cpu_name(), "threads": threads}


def changes(places: list[dict[str, Any]]) -> list[str]:
    """A note for each thing that differs among the parts of a resumed run: its sums may differ in the last bit."""
    notes = []
    for key in ("cpu", "threads"):
        values = list(dict.fromkeys(str(place[key]) for place in places))
        if len(values) > 1:
            notes.append(f"resumed with another {key}: {', then '.join(values)}")
    return notes


def host() -> str:
    """This machine's name."""
    return socket.gethostname()


def pid() -> int:
    """This process' number."""
    return os.getpid()
