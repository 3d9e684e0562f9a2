"""Where a run was made and with what."""

from __future__ import annotations

import platform
import re
import socket
import subprocess
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bnn_ablate.processor import cpu_name
from bnn_ablate.settings import Trainer

PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "numpy", "bnn_ablate")


def commit() -> tuple[str | None, bool | None]:
    """The commit of the source this package runs from, and whether files differ from it; None outside a checkout.

    Files that git does not know count where they would be used: a new option in conf/ is a difference.
    """
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
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", ":/bnn_ablate", ":/conf"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def versions() -> dict[str, str]:
    """Versions of Python and of what decides numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def gpu_name(accelerator: str) -> str | None:
    """The first GPU's name for a run on GPUs, None for one on the CPU."""
    return torch.cuda.get_device_name() if accelerator == "gpu" else None


def reset_peak_memory(accelerator: str) -> None:
    """Start counting anew: a process may train several runs."""
    if accelerator == "gpu":
        torch.cuda.reset_peak_memory_stats()
    else:
        with suppress(OSError):  # not Linux, or not allowed: then the peak is unknown
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes(accelerator: str) -> int | None:
    """The most memory of this process since :func:`reset_peak_memory`; of its GPU where it has one. None if unknown."""
    if accelerator == "gpu":
        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    return None if peak is None else int(peak[1]) * 1024


def place(trainer: Trainer) -> dict[str, Any]:
    """Where, with what and by which code a part of a training runs: plain values, for the checkpoint."""
    commit_id, dirty = commit()
    return {
        "commit": commit_id,
        "dirty": dirty,
        "versions": versions(),
        "host": host(),
        "cpu": cpu_name(),
        "gpu": gpu_name(trainer.accelerator),
        "devices": trainer.devices,
        "threads": trainer.threads,
        "compiled": trainer.compile,
    }


#: What the bits of a sum depend on beside the code's meaning; the host alone changes nothing.
DECISIVE = ("commit", "dirty", "versions", "cpu", "gpu", "devices", "threads", "compiled")


def changes(places: list[dict[str, Any]]) -> list[str]:
    """A note for each thing that differs among the parts of a resumed run: its sums may differ in the last bit."""
    notes = []
    for key in DECISIVE:
        values = list(dict.fromkeys(str(place[key]) for place in places))
        if len(values) > 1:
            notes.append(f"resumed with other {key}: {', then '.join(values)}")
    return notes


def pin_arithmetic(threads: int) -> None:
    """Make float32 mean float32 and set this process' threads: sums change with their number."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def host() -> str:
    """This machine's name."""
    return socket.gethostname()
