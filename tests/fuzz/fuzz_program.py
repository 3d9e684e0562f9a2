"""``python tests/fuzz/fuzz_program.py [--executions 1000000] [--seed 0] [--first 0]``: what no mutated program may do.

Builds fuzz_program.cpp with the kernels and GCC's AddressSanitizer and UndefinedBehaviorSanitizer, and runs it on the
programs of small graphs. A sanitizer's report is a finding: its last line names the execution, which ``--first``
repeats (with ``--executions 1``). Programs come from the planner and never from a file, so what is tested here is the
second line of defence.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from packed_file_factories import every_kind, smallest
from packed_graphs import Draft, normal

from bnn_ablate.packed import plan as planning
from bnn_ablate.packed import sources, stem
from bnn_ablate.packed.graph import AbsMean, Add, Concat, Graph, Multiply
from bnn_ablate.packed.plan import plan
from bnn_ablate.packed.program import Program

HERE = Path(__file__).resolve().parent
FLAGS = ("-std=c++17", "-g", "-pthread", "-ffp-contract=off", "-fno-omit-frame-pointer")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def graphs() -> dict[str, Graph]:
    """Small graphs that have all kinds of steps in them, and all that can happen to a step's values."""
    rng = np.random.default_rng(0)
    found = {"smallest": smallest(), "every kind": every_kind()}

    draft = Draft((3, 5, 4))
    x = draft.conv("image", normal(rng, 20, 3, 3, 3), borders=(1, 1, 1, 1))
    y = draft.binary_conv(x, rng.random((20, 20, 3, 3)) < 0.5, border=0, borders=(1, 1, 1, 1))
    m = draft.add(AbsMean, draft.affine(x, -1.0, 0.5))
    y = draft.activation(draft.affine(draft.add(Multiply, draft.affine(y, 0.5, 0.0), m), 2.0, 1.0), "clip")
    y = draft.activation(draft.add(Add, y, x), "leaky_clip")
    z = draft.add(Concat, y, x, y)
    z = draft.binary_conv(draft.affine(z, -1.0, 0.25), rng.random((70, 60, 1, 1)) < 0.5)
    draft.mean_of_all(draft.pool(z, "max", (2, 2), borders=(1, 0, 1, 0)))
    found["residual"] = draft.graph()

    for pooled in (False, True):
        draft = Draft((1, 9, 8))
        x = draft.conv("image", normal(rng, 5, 1, 7, 7), stride=(2, 2), borders=(3, 3, 3, 3))
        x = draft.pool(x, "max", (3, 3), stride=(2, 2), borders=(1, 1, 1, 1)) if pooled else x
        x = draft.affine(draft.binary_conv(x, rng.random((5, 5, 2, 2)) < 0.5), 0.5, 1.0)
        draft.mean_of_all(x)
        found["pooled stem" if pooled else "stem"] = draft.graph()
    return found


def content(program: Program, threads: int, kernel: int) -> bytes:
    """A program as fuzz_program.cpp reads it."""
    sizes = (program.chunk, *program.image_shape, program.classes, threads)
    header = np.array([kernel, len(program.steps), program.arena_bytes, *sizes], np.int64)
    return header.tobytes() + program.steps.tobytes() + program.blob.tobytes()


def write_seeds(folder: Path) -> None:
    planning.MAX_CHUNK = 2  # images of a chunk; more are no other code and take longer
    stem.MIN_PIXELS = 1  # so that a small stem is computed as a large one is
    for number, (name, graph) in enumerate(graphs().items()):
        for threads in (1, 2) if name == "pooled stem" else (1,):
            path = folder / f"{name} {threads}"
            path.write_bytes(content(plan(graph, threads=threads), threads, kernel=number % 3))


def build(target: Path, optimised: int) -> None:
    """All sources at once, each by a compiler of its own. Raises SystemExit where one of them fails."""
    compiler = [os.environ.get("CXX", "g++"), *FLAGS, *SANITIZERS, f"-O{optimised}"]
    include = ("-I", str(sources.KERNELS), '-DBNN_SOURCES="fuzzed"')
    files = [HERE / "fuzz_program.cpp", *sorted(sources.KERNELS.glob("*.cpp"))]
    objects = [str(target.with_name(f"{path.stem}.o")) for path in files]
    commands = [[*compiler, *include, "-c", str(path), "-o", made] for path, made in zip(files, objects, strict=True)]
    running = [subprocess.Popen(command) for command in commands]
    for process in running:
        process.wait()
    if any(process.returncode != 0 for process in running):
        raise SystemExit("the sanitized kernels could not be compiled")
    subprocess.run([*compiler, *objects, "-o", str(target)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--optimised", type=int, default=1, help="-O of the compiler: 0 is built four times as fast")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target, seeds = Path(folder) / "fuzz_program", Path(folder) / "seeds"
        seeds.mkdir()
        write_seeds(seeds)
        build(target, asked.optimised)
        command = [str(target), str(seeds), str(asked.executions), str(asked.seed), str(asked.first)]
        options = {"ASAN_OPTIONS": "abort_on_error=1", "UBSAN_OPTIONS": "abort_on_error=1:print_stacktrace=1"}
        return subprocess.run(command, env=os.environ | options).returncode


if __name__ == "__main__":
    raise SystemExit(main())
