"""The kernels' sources and how they become a library; imports nothing but Python, so that setup.py can run it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

KERNELS = Path(__file__).parent / "kernels"
LIBRARY = "_kernels.so"
#: For the baseline of the architecture: functions of the faster kernels name their own instructions, so one library
#: runs on every processor. Products and sums are fused where the sources say so and nowhere else.
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-pthread", "-fopenmp", "-fvisibility=hidden", "-ffp-contract=off")


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
    sources = sorted(KERNELS.glob("*.cpp"))
    with tempfile.TemporaryDirectory() as folder:
        objects = [Path(folder) / f"{source.stem}.o" for source in sources]
        commands = [
            [*compiler.split(), *flags, f'-DBNN_SOURCES="{digest()}"', "-c", str(source), "-o", str(made)]
            for source, made in zip(sources, objects, strict=True)
        ]
        with ThreadPoolExecutor(os.cpu_count()) as several:  # half a minute of compiling, which two processors halve
            for done in several.map(_ran, commands):
                done.check()
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            _ran([*compiler.split(), *flags, "-shared", *map(str, objects), "-o", str(temporary)]).check()
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


class _Done(NamedTuple):
    compiler: str
    code: int
    errors: str

    def check(self) -> None:
        if self.code != 0:
            raise CompilerError(f"{self.compiler} could not compile the kernels:\n{self.errors}")


def _ran(command: list[str]) -> _Done:
    done = subprocess.run(command, capture_output=True, text=True)
    return _Done(command[0], done.returncode, done.stderr)
