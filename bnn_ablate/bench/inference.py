"""Inference on this CPU: our packed networks against other engines that run them, and against float networks.

Without options: ResNetE18 and the BinaryDenseNets on images of 224 and 32 pixels, 1 and 32 at a time, on one thread,
and one image of 224 pixels on two threads besides; a few minutes on two quiet cores. Left out are two threads for all
else, and larger batches: --threads 1 2 and --batch 1 32 128 have them, in more time. Arguments without dashes change
the networks as on the command line of a run (model.width=0.5 scaling=channel). What is not installed is said in its
row: pip install -e '.[bench]'.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bnn_ablate.bench import machine
from bnn_ablate.bench.contest import contest
from bnn_ablate.bench.files import announce, make_folder, write, writing
from bnn_ablate.bench.layers import layers
from bnn_ablate.bench.networks import IMAGENET_SIZE, TITLES, binary_network
from bnn_ablate.bench.peers import KINDS, UNMEASURED
from bnn_ablate.bench.results import Results, title_of
from bnn_ablate.bench.tables import group_table, layer_table, summary
from bnn_ablate.console import say
from bnn_ablate.outcome import PLAIN_ERRORS
from bnn_ablate.packed import EngineError, pack
from bnn_ablate.packed.engine import MAX_THREADS
from bnn_ablate.packed.library import chosen_kernel

SIZES, BATCHES = (224, 32), (1, 32)
#: Models on images of at least IMAGENET_SIZE pixels a side, and on smaller ones.
LARGE_MODELS = ("resnet_e18", "binary_densenet28", "binary_densenet37", "binary_densenet45")
SMALL_MODELS = ("resnet_e18", "binary_densenet28")
#: Threads for one image of at least IMAGENET_SIZE pixels a side, and for all else.
LARGE_THREADS, SMALL_THREADS = (1, 2), (1,)
#: What --quick decides.
QUICK_SIZE, QUICK_MODELS = 224, LARGE_MODELS[:1]
QUICK = f"{TITLES[QUICK_MODELS[0]]} on one image of {QUICK_SIZE} pixels on one thread"


class Parser(argparse.ArgumentParser):
    """A wrong command line is answered as everything else that is wrong."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message} (--help says more)")
        sys.exit(1)


def parser() -> Parser:
    made = Parser(
        prog="python -m bnn_ablate.bench",
        usage="python -m bnn_ablate.bench [inference] [OPTION=VALUE ...] [--models MODEL ...] [--sizes PIXELS ...] ...",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("overrides", nargs="*", metavar="OPTION=VALUE", help="changes of all networks")
    add("--models", nargs="+", metavar="MODEL", help=f"files of conf/model: {', '.join(TITLES)}, ...")
    add("--sizes", nargs="+", type=positive, metavar="PIXELS", help="sides of images (224 32)")
    add("--batch", nargs="+", type=positive, metavar="N", help="images at a time (1 32)")
    add("--threads", nargs="+", type=positive, metavar="N", help="threads of every engine (1; one large image: 1 2)")
    add("--rounds", type=positive, default=21, help="rounds at most; slow contenders have fewer (21)")
    add("--peers", nargs="+", choices=[*KINDS, "all", "none"], help="whom to measure against, in all groups")
    add("--kernel", help="our kernel: avx512, avx2 or portable (the fastest there is)")
    add("--layers", action="store_true", help="step by step for every network, not the first alone")
    add("--out", type=Path, metavar="DIR", default=Path("reports/bench"), help="where tables and charts go")
    add("--quick", action="store_true", help=f"only {QUICK}, nothing compiled")
    return made


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1 on")
    return int(text)


@dataclass(frozen=True)
class Round:
    """One group to measure: its networks, and which peers."""

    models: tuple[str, ...]
    size: int
    batch: int
    threads: int
    peers: frozenset[str]
    #: Networks after the first are simulated too.
    simulate_all: bool


def rounds_of(given: argparse.Namespace) -> Iterator[Round]:
    """The groups that a command line asks for."""
    first = True
    for size, batch, threads in _sizes(given):
        large = size >= IMAGENET_SIZE
        models = QUICK_MODELS if given.quick else LARGE_MODELS if large else SMALL_MODELS
        chosen = models if given.models is None else tuple(given.models)
        asked = given.peers is not None
        yield Round(chosen, size, batch, threads, peers_of(given, first), asked or batch == 1)
        first = False


def _sizes(given: argparse.Namespace) -> Iterator[tuple[int, int, int]]:
    """Pixels a side, images at a time and threads of each group."""
    if given.quick:
        yield QUICK_SIZE, 1, 1
        return
    for size in SIZES if given.sizes is None else given.sizes:
        for batch in BATCHES if given.batch is None else given.batch:
            usual = LARGE_THREADS if size >= IMAGENET_SIZE and batch == 1 else SMALL_THREADS
            for threads in usual if given.threads is None else given.threads:
                yield size, batch, threads


def peers_of(given: argparse.Namespace, first: bool) -> frozenset[str]:
    """Kinds of peers for one group. Compiling takes a minute: unless asked for, once, for the float network."""
    if given.peers is None:
        compiled = {"compiled float"} if first and not given.quick else set()
        return frozenset(KINDS) - {"compiled"} | compiled | {UNMEASURED}
    if "all" in given.peers:
        return frozenset(KINDS) | {UNMEASURED}
    return frozenset(given.peers) - {"none"}


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write. Exit code 0, or 1 with one sentence about what is wrong."""
    given = parser().parse_args(list(arguments))
    try:
        return _measure(given)
    except (*PLAIN_ERRORS, EngineError, ValueError) as error:
        say(f"error: {error}")
    except KeyboardInterrupt:
        say("stopped; nothing is written")
        return 130
    return 1


def _measure(given: argparse.Namespace) -> int:
    kernel = chosen_kernel(given.kernel)
    decided = [f"--{name}" for name in ("models", "sizes", "batch", "threads") if getattr(given, name) is not None]
    if given.quick and decided:
        raise ValueError(f"--quick is {QUICK}: leave out {', '.join(decided)}, or --quick")
    planned = list(rounds_of(given))
    most = max(group.threads for group in planned)
    if most > MAX_THREADS:
        raise ValueError(f"--threads {most} is more than {MAX_THREADS}")
    asked = dict.fromkeys((model, group.size) for group in planned for model in group.models)
    networks = {(model, size): binary_network(model, size, given.overrides) for model, size in asked}
    make_folder(given.out)
    facts = machine.facts(kernel)
    announce(facts)
    groups = []
    for group in planned:
        say(f"\n{title_of(group.size, group.batch, group.threads)}: setting up, comparing answers, measuring")
        found = contest(
            [networks[model, group.size] for model in group.models],
            batch=group.batch,
            threads=group.threads,
            kernel=kernel,
            peers=group.peers,
            simulate_all=group.simulate_all,
            rounds=given.rounds,
        )
        say(group_table(found))
        groups.append(found)
    profiles = []
    for network in list(networks.values())[: None if given.layers else 1]:
        packed = pack(network.module, network.shape, threads=1, kernel=kernel)
        profiles.append(layers(network.title, packed))
        say(f"\n{network.title}, {network.shape[1]}x{network.shape[2]}, step by step\n{layer_table(profiles[-1])}")
    say(f"\n{summary(groups)}\n")
    with writing(given.out):
        files = write(Results(facts, tuple(groups), tuple(profiles)), given.out)
    for path in files:
        say(f"{path} written")
    return 0
