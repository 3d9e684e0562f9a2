"""``python -m bnn_ablate.export FILE.safetensors --to openvino --out DIR``: a packed network for another engine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bnn_ablate.console import say
from bnn_ablate.export import TARGETS, ExportError, export_graph
from bnn_ablate.packed.file import PackedFileError, read_graph

HELP = """\
Reads a packed network and writes it for another engine.

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
    made.add_argument("file", metavar="FILE", type=Path, help="the packed network (.safetensors)")
    made.add_argument("--to", dest="target", choices=list(TARGETS), required=True, help="the engine")
    made.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder to write into")
    made.add_argument("--batch", metavar="N", type=int, default=1, help="images at a time (default: 1)")
    return made


def main(arguments: Sequence[str]) -> int:
    """Export one file. Exit code 0, or 1 with one sentence about what is wrong."""
    given = parser().parse_args(list(arguments))
    try:
        files = export_graph(read_graph(given.file), given.target, given.out, batch=given.batch)
    except (ExportError, PackedFileError) as error:
        say(f"error: {error}")
        return 1
    for path in files:
        say(f"{path} written ({path.stat().st_size:,} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
