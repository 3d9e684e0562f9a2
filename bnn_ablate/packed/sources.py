"""The kernels' sources and how they become a library; imports nothing but Python, so that setup.py can run it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

KERNELS = Path(__file__).parent / "kernels"
LIBRARY = "_kernels.so"
#: For the baseline of the architecture: functions of the faster kernels name their own instructions, so one library
#: runs on every processor. Products and sums are fused where the sources say so and nowhere else.
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-ffp-contract=off")


class CompilerError(RuntimeError):
    """The kernels cannot be built; the message says what is missing."""


def digest() -> str:
    """SHA-256 of all sources and flags, which a library carries so that an old one is noticed."""
    found = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted(KERNELS.iterdir()):
        if path.suffix in (".cpp", ".h", ".inc"):
            found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def build(target: Path, *, flags: tuple[str, ...] = FLAGS) -> None:
    """Compile the kernels with $CXX, or g++. Raises CompilerError; ``target`` is written whole or not at all."""
    compiler = os.environ.get("CXX", "g++")
    if not compiler.split():
        raise CompilerError("the environment variable CXX is empty: name a C++ compiler in it, or unset it for g++")
    if shutil.which(compiler.split()[0]) is None:
        raise CompilerError(
            f"{compiler} is not there: the packed engine's kernels are C++, compiled on installation; install g++ "
            "(Debian: apt-get install g++) or name another compiler in the environment variable CXX"
        )
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    sources = sorted(str(path) for path in KERNELS.glob("*.cpp"))
    command = [*compiler.split(), *flags, f'-DBNN_SOURCES="{digest()}"', *sources, "-o", str(temporary)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        temporary.unlink(missing_ok=True)
        raise CompilerError(f"{compiler} could not compile the kernels:\n{done.stderr}")
    os.replace(temporary, target)
