"""``python tests/fuzz/sanitize.py [--sanitizer address|thread] [pytest arguments]``: tests under a sanitizer.

Builds the kernels with GCC's AddressSanitizer and UndefinedBehaviorSanitizer, or ThreadSanitizer, into a temporary
library, and runs pytest in a process that loads it: by default the tests of all kernels, or of ThreadSanitizer the
ones of calls from several threads.

Python itself is built without them, so the sanitizer's runtime is loaded before it (LD_PRELOAD), and its memory comes
from malloc, which the sanitizer watches. Python's own leaks are not looked for. ThreadSanitizer does not see the locks
of libraries that it was not built into: torch's and NumPy's threads are kept to one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bnn_ablate.packed import sources

ROOT = Path(__file__).resolve().parents[2]
#: -O1: sanitized code that is optimised further takes minutes to compile; the faster kernels name their instructions
#: themselves and need no more.
COMMON = ("-O1", "-g", "-fno-omit-frame-pointer")
FLAGS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", *COMMON),
    "thread": ("-fsanitize=thread", *COMMON),
}
RUNTIMES = {"address": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}
TESTS = {
    "address": [
        *sorted(str(path) for path in (ROOT / "tests").glob("test_packed_kernels*.py")),
        *(str(ROOT / "tests" / name) for name in ("test_packed_training.py", "test_dense_stage.py")),
    ],
    "thread": [str(ROOT / "tests" / "test_packed_engine.py"), "-k", "threads and not forked"],
}


def runtime(name: str) -> str | None:
    """Where the compiler keeps one of its runtime libraries, if it has it."""
    compiler = os.environ.get("CXX", "g++")
    found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True)
    path = Path(found.stdout.strip())
    return str(path) if path.is_absolute() else None


def environment(sanitizer: str, library: Path) -> dict[str, str]:
    """Variables of a Python process that loads the sanitized library."""
    preloaded = [runtime(name) for name in RUNTIMES[sanitizer]]
    if None in preloaded:
        raise SystemExit(f"the compiler has no {' and '.join(RUNTIMES[sanitizer])}: install GCC's sanitizers")
    return os.environ | {
        "BNN_ABLATE_KERNELS": str(library),
        "LD_PRELOAD": " ".join(map(str, preloaded)),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1:ignore_noninstrumented_modules=1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def build(sanitizer: str, folder: Path) -> Path:
    """The sanitized library, of the sources that are here."""
    library = folder / sources.LIBRARY
    sources.build(library, flags=(*sources.FLAGS, *FLAGS[sanitizer]))
    return library


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sanitizer", choices=FLAGS, default="address")
    asked, pytest_arguments = parser.parse_known_args()
    arguments = pytest_arguments if pytest_arguments else TESTS[asked.sanitizer]
    with tempfile.TemporaryDirectory() as folder:
        library = build(asked.sanitizer, Path(folder))
        # what a sanitizer writes before it ends the process must not be lost with pytest's capture
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--capture=sys", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment(asked.sanitizer, library)).returncode


if __name__ == "__main__":
    raise SystemExit(main())
