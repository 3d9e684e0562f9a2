"""What a measurement was taken on, and what else the machine did meanwhile."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from bnn_ablate.latency import usage
from bnn_ablate.processor import cpu_name
from bnn_ablate.provenance import commit

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
        self.start = usage()

    def processors(self) -> float | None:
        now, start = usage(), self.start
        if now.machine is None or start.machine is None:
            return None
        others = (now.machine - start.machine) - (now.process - start.process)
        return max(0.0, others) / max(now.wall - start.wall, 1e-9)


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
