"""``python -m bnn_ablate.export run=ID|FILE --to openvino --out DIR``: a packed network for another engine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bnn_ablate.console import say
from bnn_ablate.export import TARGETS, ExportError, export_graph
from bnn_ablate.packed.file import PackedFileError, read_graph
from bnn_ablate.packed.graph import Graph

HELP = """\
Reads a packed network, a file or that of a trained run, and writes it for another engine.

openvino: network.xml and network.bin, signs as bits. Input image (batch, C, H, W) float32, output logits (batch,
classes). Compile it with INFERENCE_PRECISION_HINT f32: on CPUs with bfloat16 OpenVINO may otherwise round every value
to 8 bits.
"""


class Parser(argparse.ArgumentParser):
    """A wrong command line is answered as everything else that is wrong."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message} (--help says more)")
        sys.exit(1)


def parser() -> Parser:
    made = Parser(
        prog="python -m bnn_ablate.export", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("network", metavar="run=ID|FILE", help="the run, or the packed network (.safetensors)")
    made.add_argument("--to", dest="target", choices=list(TARGETS), required=True, help="the engine")
    made.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to write into")
    made.add_argument("--batch", metavar="N", type=int, default=1, help="images at a time (default: 1)")
    made.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="where runs lie (default: runs)")
    return made


def main(arguments: Sequence[str]) -> int:
    """Export one network. Exit code 0, or 1 with one sentence about what is wrong."""
    given = parser().parse_args(list(arguments))
    try:
        if given.network.startswith("run="):
            graph = graph_of_run(given.network.removeprefix("run="), given.runs)
        else:
            graph = read_graph(Path(given.network))
        files = export_graph(graph, given.target, given.out, batch=given.batch)
    except (ExportError, PackedFileError) as error:
        say(f"error: {error}")
        return 1
    for path in files:
        say(f"{path} written ({path.stat().st_size:,} bytes)")
    return 0


def graph_of_run(run_id: str, runs: Path) -> Graph:
    """The network of a trained run: its packed file, or, where there is none, its last checkpoint packed now.

    Raises ExportError and PackedFileError.
    """
    # torch and Lightning take seconds, and a packed file needs neither
    from bnn_ablate.export.runs import packed_run

    return packed_run(run_id, runs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
