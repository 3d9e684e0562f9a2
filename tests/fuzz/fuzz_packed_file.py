"""``python tests/fuzz/fuzz_packed_file.py --executions 1000000 [--seed N]``: what no mutated packed file may do.

Every execution reads a mutation of a small packed file. It is refused with a PackedFileError of one line that begins
with the file's name, or it is a graph: then what is written of it reads and writes the same again. Anything else, or
memory beyond a limit, stops the run and leaves the file in the working folder, named after seed and execution.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from packed_file_factories import every_kind, smallest
from packed_file_mutations import mutated

from bnn_ablate.packed.file import PackedFileError, graph_from_bytes, graph_to_bytes

NAME = "fuzzed.safetensors"
#: Bytes of address space: far above what these files take, far below what they can be made to declare.
MEMORY = 2**31


def outcome(content: bytes) -> str:
    """``refused`` or ``accepted``; AssertionError, or whatever comes out of the reader, is a finding."""
    try:
        graph = graph_from_bytes(content, NAME)
    except PackedFileError as error:
        message = str(error)
        assert message.startswith(NAME + " "), message
        assert "\n" not in message, message
        assert len(message) < 1200, message
        assert "memory" not in message, message
        return "refused"
    written = graph_to_bytes(graph)
    assert graph_to_bytes(graph_from_bytes(written, NAME)) == written
    return "accepted"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    files = [graph_to_bytes(smallest()), graph_to_bytes(every_kind())]
    counts: Counter[str] = Counter()
    begun = time.monotonic()
    for execution in range(asked.executions):
        random = Random(asked.seed * 2**40 + execution)
        content = mutated(random.choice(files), files, random)
        try:
            counts[outcome(content)] += 1
        except BaseException:
            if not isinstance(sys.exception(), KeyboardInterrupt):
                found = Path(f"fuzzed-{asked.seed}-{execution}.safetensors")
                found.write_bytes(content)
                print(f"execution {execution} of seed {asked.seed}: see {found}", file=sys.stderr)
            raise
    seconds = time.monotonic() - begun
    print(
        f"{asked.executions} executions of seed {asked.seed} in {seconds:.0f} s: "
        f"{counts['refused']} refused, {counts['accepted']} accepted"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
