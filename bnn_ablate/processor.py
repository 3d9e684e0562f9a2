"""This machine's processors and GPU, as its system gives them: names, and how many a process may use. No torch here."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path


@cache
def cpu_name() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() + " " + platform.machine()


def processors(limits: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processors this process may use: those it is bound to, and no more than its container is given.

    ``limits`` is where Linux keeps the limits of control groups (version 2), as a container sees its own.
    """
    bound = len(os.sched_getaffinity(0))
    file = limits / "cpu.max"
    if not file.exists():
        return bound
    quota, period = file.read_text().split()
    return bound if quota == "max" else max(1, min(bound, int(quota) // int(period)))


@cache
def gpu_name() -> str | None:
    """The first GPU's name; None where there is no GPU."""
    names = _asked_of_the_driver("name")
    return names[0] if names else None


def gpus() -> list[str]:
    """The GPUs that runs may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    return _asked_of_the_driver("index")


def _asked_of_the_driver(field: str) -> list[str]:
    """That field of each GPU, from the driver's own tool: a process that starts others must not touch CUDA itself."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    asked = subprocess.run([tool, f"--query-gpu={field}", "--format=csv,noheader"], capture_output=True, text=True)
    return [line.strip() for line in asked.stdout.splitlines()] if asked.returncode == 0 else []
