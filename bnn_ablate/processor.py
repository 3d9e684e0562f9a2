"""The names of this machine's processor and GPU, as its system gives them. No torch here."""

from __future__ import annotations

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


@cache
def gpu_name() -> str | None:
    """The first GPU's name, asked of the driver's own tool; None where there is no GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = subprocess.run([tool, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    names = asked.stdout.splitlines() if asked.returncode == 0 else []
    return names[0].strip() if names else None
