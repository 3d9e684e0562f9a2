"""What a measurement was taken on, and what else the machine did meanwhile."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bnn_ablate.provenance import commit, cpu_name

PACKAGES = ("torch", "numpy", "openvino", "onnxruntime", "onnx")
#: Processors in use by others, from which on times are disturbed and said to be.
BUSY = 0.1


def facts(kernel: str) -> dict[str, str]:
    """What a reader has to know of the machine, as words."""
    commit_id, dirty = commit()
    code = "unknown" if commit_id is None else commit_id[:12] + (" and changes" if dirty else "")
    return {
        "processor": f"{cpu_name()}, {len(os.sched_getaffinity(0))} processors",
        "kernel": kernel,
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {installed(name)}" for name in PACKAGES),
        "code": code,
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load average": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def installed(name: str) -> str:
    """The version of a package, or that there is none."""
    with suppress(PackageNotFoundError):
        return version(name)
    return "not installed"


class Others:
    """Processors that others used, on average since this was made; None where the system does not tell."""

    def __init__(self) -> None:
        self.start, self.busy, self.own = time.perf_counter(), _busy_seconds(), _own_seconds()

    def processors(self) -> float | None:
        busy = _busy_seconds()
        if busy is None or self.busy is None:
            return None
        passed = time.perf_counter() - self.start
        return max(0.0, (busy - self.busy) - (_own_seconds() - self.own)) / max(passed, 1e-9)


def idle_check(seconds: float = 0.5) -> float | None:
    """Processors that others use now."""
    others = Others()
    time.sleep(seconds)
    return others.processors()


def others_text(processors: float | None) -> str:
    if processors is None:
        return "what else ran is unknown"
    busy = "; BUSY: these times are disturbed" if processors >= BUSY else ""
    return f"others used {processors:.2f} processors{busy}"


def _busy_seconds() -> float | None:
    """Seconds of work of all processors since the start of the system, those taken by other guests too."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, stat.read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
