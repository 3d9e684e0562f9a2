"""What a training step costs on this CPU: binary networks against the float network of the same shape, and against
other ways to train them.

Without options: ResNetE18 (packed, on floats, of separate operations, bitorch's, larq's), BinaryDenseNet28 and the
float ResNet18 (eager, torch.compile, bf16 autocast) on images of 32x32, batches of 64 and 128, 64 and 16 features in
the first stage, on one thread and on two; about half an hour on two quiet cores. Contenders of a group take turns in
one process, step by step; memory is measured in a process for each. What is not installed is said in its row.

glibc, as it comes, maps large tensors anew in every step and clears their pages. A run keeps freed memory instead
(bnn_ablate/allocator.py), so here every contender does; --allocator as-it-comes shows what that is worth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from bnn_ablate.bench import machine
from bnn_ablate.bench.files import announce, make_folder, writing
from bnn_ablate.bench.inference import Parser, positive
from bnn_ablate.bench.training.contenders import COMPILED, CONTENDERS, REFERENCE, Load
from bnn_ablate.bench.training.files import write
from bnn_ablate.bench.training.measure import measured
from bnn_ablate.bench.training.memory import as_line, peak_memory
from bnn_ablate.bench.training.processes import (
    Allocator,
    ProcessError,
    as_text,
    group_of,
    set_allocator,
    with_memory,
)
from bnn_ablate.bench.training.results import Results
from bnn_ablate.bench.training.table import group_table, summary
from bnn_ablate.console import say
from bnn_ablate.outcome import PLAIN_ERRORS
from bnn_ablate.packed import EngineError
from bnn_ablate.packed.engine import MAX_THREADS
from bnn_ablate.packed.library import chosen_kernel

BATCHES, WIDTHS, THREADS = (64, 128), (64, 16), (1, 2)
#: What --quick decides.
QUICK_LOAD = Load(64, 64, 1)
QUICK = f"{QUICK_LOAD.title}, nothing compiled"
#: Whose versions decide times.
PACKAGES = ("torch", "bitorch", "larq", "larq-zoo")

#: ``group`` and ``memory`` are what ``training`` starts in processes of their own.
MODES = ("training", "group", "memory")


def parser() -> argparse.ArgumentParser:
    made = Parser(prog="python -m bnn_ablate.bench")
    modes = made.add_subparsers(dest="mode", required=True)
    allocators = get_args(Allocator)

    training = modes.add_parser(
        "training",
        help="a training step of every contender, interleaved",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = training.add_argument
    add("--batch", nargs="+", type=positive, metavar="N", help="images a step (64 128)")
    add("--width", nargs="+", type=positive, metavar="N", help="features of the first stage (64 16)")
    add("--threads", nargs="+", type=positive, metavar="N", help="threads of every contender (1 2)")
    add("--rounds", type=positive, default=9, help="steps of every contender (9)")
    names = ", ".join(CONTENDERS)
    add("--contenders", nargs="+", choices=list(CONTENDERS), metavar="NAME", help=f"of {names}; {REFERENCE} always is")
    add("--allocator", choices=allocators, default="kept", help="what becomes of freed memory (kept)")
    add("--profile", action="store_true", help="also show where the time of one step goes")
    add("--out", type=Path, metavar="DIR", default=Path("reports/bench"), help="where tables and the chart go")
    add("--quick", action="store_true", help=f"only {QUICK}")

    group = modes.add_parser("group", help="one group, in this process, as JSON")
    group.add_argument("--rounds", type=positive, required=True)
    group.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), required=True)
    group.add_argument("--profile", action="store_true")
    memory = modes.add_parser("memory", help="peak resident MiB of two steps, and peak MiB of live tensors of one")
    memory.add_argument("--contender", choices=list(CONTENDERS), required=True)
    for one in (group, memory):
        for name in ("batch", "width", "threads"):
            one.add_argument(f"--{name}", type=positive, required=True)
        one.add_argument("--allocator", choices=allocators, required=True)
    return made


def loads_of(given: argparse.Namespace) -> list[Load]:
    """The groups that a command line asks for. Raises ValueError."""
    asked = {"batch": given.batch, "width": given.width, "threads": given.threads}
    decided = [f"--{name}" for name, values in asked.items() if values is not None]
    if given.quick:
        if decided:
            raise ValueError(f"--quick is {QUICK}: leave out {', '.join(decided)}, or --quick")
        return [QUICK_LOAD]
    batches, widths, threads = (
        dict.fromkeys(usual if values is None else values)
        for values, usual in zip(asked.values(), (BATCHES, WIDTHS, THREADS), strict=True)
    )
    if max(threads) > MAX_THREADS:
        raise ValueError(f"--threads {max(threads)} is more than {MAX_THREADS}")
    return [Load(batch, width, count) for width in widths for batch in batches for count in threads]


def names_of(given: argparse.Namespace) -> list[str]:
    """The contenders that a command line asks for, the reference first. Compiling takes a minute: not in a hurry."""
    if given.contenders is None:
        return [name for name in CONTENDERS if not (given.quick and name == COMPILED)]
    return [name for name in CONTENDERS if name == REFERENCE or name in given.contenders]


def main(arguments: Sequence[str]) -> int:
    """``training``, ``group`` or ``memory`` with its options. Exit code 0, or 1 with one sentence."""
    given = parser().parse_args(list(arguments))
    try:
        if given.mode == "training":
            return _measure(given)
        load = Load(given.batch, given.width, given.threads)
        set_allocator(given.allocator)
        if given.mode == "group":
            chosen = {name: CONTENDERS[name] for name in given.contenders}
            say(as_text(measured(chosen, load, given.rounds, profiles=given.profile)))
        else:
            say(as_line(peak_memory(CONTENDERS[given.contender], load)))
        return 0
    except (*PLAIN_ERRORS, EngineError, ProcessError, ValueError) as error:
        say(f"error: {error}")
    except KeyboardInterrupt:
        say("stopped; nothing is written")
        return 130
    return 1


def facts_of(allocator: Allocator) -> dict[str, str]:
    """What a reader has to know of the machine."""
    kept = "freed memory is kept" if allocator == "kept" else "as it comes"
    versions = ", ".join(f"{name} {machine.installed(name)}" for name in PACKAGES)
    return machine.facts(chosen_kernel(None)) | {"versions": versions, "allocator": kept}


def _measure(given: argparse.Namespace) -> int:
    loads, names = loads_of(given), names_of(given)
    make_folder(given.out)
    facts = facts_of(given.allocator)
    announce(facts)
    groups = []
    for load in loads:
        say(f"\n{load.title}: setting up, measuring steps, then memory")
        found = group_of(names, load, rounds=given.rounds, allocator=given.allocator, profiles=given.profile)
        for row in found.rows:
            if row.profile is not None:
                say(f"\n{row.title}, {load.title}\n{row.profile}")
        found = with_memory(found, allocator=given.allocator)
        say(group_table(found))
        groups.append(replace(found, rows=tuple(replace(row, profile=None) for row in found.rows)))
    if len(groups) > 1:
        say(f"\n{summary(groups)}")
    with writing(given.out):
        files = write(Results(facts, tuple(groups)), given.out)
    say("")
    for path in files:
        say(f"{path} written")
    return 0
