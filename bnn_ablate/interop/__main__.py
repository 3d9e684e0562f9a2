"""``python -m bnn_ablate.interop FILE --as MODEL``: weights of Larq Zoo or bitorch as a checkpoint of ours."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bnn_ablate.console import say
from bnn_ablate.interop.conventions import LIBRARIES, MODELS
from bnn_ablate.interop.errors import InteropError
from bnn_ablate.settings import SettingsError

HELP = """\
Reads the weights of ResNetE and BinaryDenseNet from a Keras file (.h5) of Larq Zoo or a state_dict (.pt) of bitorch
and writes a checkpoint with everything it takes to build the same network here.

Stem, channels and classes come from the file, padding from its library; group=option may change the model's sizes
(model.width=0.5) and say how the network was trained (grad.clip=1.25). What contradicts the file is refused.
"""


class Parser(argparse.ArgumentParser):
    """A wrong command line is answered as everything else that is wrong."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message} (--help says more)")
        sys.exit(1)


def parser() -> Parser:
    made = Parser(
        prog="python -m bnn_ablate.interop", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("file", metavar="FILE", type=Path, help="the weight file; its content tells which kind it is")
    made.add_argument("--as", dest="model", metavar="MODEL", required=True, help=f"one of {', '.join(MODELS)}")
    made.add_argument("overrides", metavar="group=option", nargs="*", help="design and sizes, as for a run")
    made.add_argument("--out", type=Path, help="the checkpoint to write (default: the file's name with .ckpt, here)")
    made.add_argument("--image-size", type=int, metavar="N", help="pixels a side (default: 32 for 3x3 stems, else 224)")
    return made


def main(arguments: Sequence[str]) -> int:
    """Convert one file. Exit code 0, or 1 with one sentence about what is wrong."""
    given = parser().parse_intermixed_args(list(arguments))
    out = Path(f"{given.file.stem}.ckpt") if given.out is None else given.out
    try:
        convert_to(given.file, given.model, given.overrides, given.image_size, out)
    except (InteropError, SettingsError) as error:
        say(f"error: {error}")
        return 1
    return 0


def convert_to(file: Path, model: str, overrides: Sequence[str], image_size: int | None, out: Path) -> None:
    """Convert ``file``, write ``out``, and say what was recognised."""
    from bnn_ablate.interop.conversion import convert

    refuse_loss(out)
    converted = convert(file, model, overrides, image_size=image_size)
    converted.write(out)
    facts = converted.facts
    padding = facts.design.padding
    cost = converted.cost()
    say(
        f"{file}: {LIBRARIES[facts.source.kind]}, model={model} stem={facts.design.stem.name} padding={padding.name} "
        f"padding.side={padding.side}, {facts.in_channels} channels, {facts.num_classes} classes"
    )
    say(
        f"  {converted.tensors} tensors, {cost.params:,} parameters, {cost.size_mib:.3f} MiB with a bit a binary weight"
    )
    say(f"  images of {facts.image_size}x{facts.image_size}, {converted.size_from}")
    if converted.rounds_maps():
        say("  note: at this size odd maps are halved: the library rounds down there, this network up")
    say(f"{out} written")


def refuse_loss(out: Path) -> None:
    """Refuse to write over anything but an earlier conversion."""
    from bnn_ablate.interop.network_file import read_checkpoint

    if os.path.lexists(out):
        try:
            read_checkpoint(out)
        except InteropError:
            raise InteropError(f"{out} is there already and is no converted network: choose another --out") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
