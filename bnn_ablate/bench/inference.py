"""Inference on this CPU: our packed networks against other engines that run them, and against float networks.

Without options: ResNetE18 and the BinaryDenseNets on images of 224 and 32 pixels, in a few minutes. Arguments without
dashes change the networks as on the command line of a run (model.width=0.5 scaling=channel). What is not installed is
said in its row: pip install -e '.[bench]'.
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
from bnn_ablate.bench.files import write
from bnn_ablate.bench.layers import layers
from bnn_ablate.bench.networks import IMAGENET_SIZE, TITLES, binary_network
from bnn_ablate.bench.peers import KINDS
from bnn_ablate.bench.results import Results, title_of
from bnn_ablate.bench.tables import group_table, layer_table, summary
from bnn_ablate.console import say
from bnn_ablate.job import PLAIN_ERRORS
from bnn_ablate.packed import EngineError, pack
from bnn_ablate.packed.engine import MAX_THREADS
from bnn_ablate.packed.library import chosen_kernel

SIZES = (224, 32)
#: Models on images of at least IMAGENET_SIZE pixels a side, and on smaller ones; the images at a time there.
LARGE_MODELS = ("resnet_e18", "binary_densenet28", "binary_densenet37", "binary_densenet45")
SMALL_MODELS = ("resnet_e18", "binary_densenet28")
LARGE_BATCHES, SMALL_BATCHES = (1, 32), (1, 32, 128)


class Parser(argparse.ArgumentParser):
    """A wrong command line is answered as everything else that is wrong."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message} (--help says more)")
        sys.exit(1)


def parser() -> Parser:
    made = Parser(
        prog="python -m bnn_ablate.bench [inference]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("overrides", nargs="*", metavar="OPTION=VALUE", help="changes of all networks")
    add("--models", nargs="+", metavar="MODEL", help=f"files of conf/model: {', '.join(TITLES)}, ...")
    add("--sizes", nargs="+", type=positive, metavar="PIXELS", default=list(SIZES), help="sides of images (224 32)")
    add("--batch", nargs="+", type=positive, metavar="N", help="images at a time (1 32; small images: 1 32 128)")
    add("--threads", nargs="+", type=positive, metavar="N", default=[1, 2], help="threads of every engine (1 2)")
    add("--rounds", type=positive, default=21, help="rounds at most; slow contenders have fewer (21)")
    add("--peers", nargs="+", choices=[*KINDS, "all", "none"], help="whom to measure against, in all groups")
    add("--kernel", help="our kernel: avx512, avx2 or portable (the fastest there is)")
    add("--layers", action="store_true", help="step by step for every network, not the first alone")
    add("--out", type=Path, metavar="DIR", default=Path("reports/bench"), help="where tables and charts go")
    add("--quick", action="store_true", help="ResNetE18 on one image of 224 pixels, one thread, without compiling")
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
    for size in [224] if given.quick else given.sizes:
        large = size >= IMAGENET_SIZE
        models = tuple(given.models) if given.models is not None else LARGE_MODELS if large else SMALL_MODELS
        batches = given.batch if given.batch is not None else LARGE_BATCHES if large else SMALL_BATCHES
        for batch in [1] if given.quick else batches:
            for threads in [1] if given.quick else given.threads:
                quick_models = models[:1] if given.quick else models
                asked = given.peers is not None
                yield Round(quick_models, size, batch, threads, peers_of(given, first), asked or batch == 1)
                first = False


def peers_of(given: argparse.Namespace, first: bool) -> frozenset[str]:
    """Kinds of peers for one group. Compiling takes a minute: unless asked for, once, for the float network."""
    if given.peers is None:
        compiled = {"compiled float"} if first and not given.quick else set()
        return frozenset(KINDS) - {"compiled"} | compiled
    if "all" in given.peers:
        return frozenset(KINDS)
    return frozenset(given.peers) - {"none"}


def main(arguments: Sequence[str]) -> int:
    """Measure, print, write. Exit code 0, or 1 with one sentence about what is wrong."""
    given = parser().parse_args(list(arguments))
    try:
        return _measure(given)
    except (*PLAIN_ERRORS, EngineError, ValueError) as error:
        say(f"error: {error}")
    except OSError as error:
        say(f"error: --out {given.out} cannot be written: {error.strerror}")
    return 1


def _measure(given: argparse.Namespace) -> int:
    kernel = chosen_kernel(given.kernel)
    if max(given.threads) > MAX_THREADS:
        raise ValueError(f"--threads {max(given.threads)} is more than {MAX_THREADS}")
    planned = list(rounds_of(given))
    asked = dict.fromkeys((model, group.size) for group in planned for model in group.models)
    networks = {(model, size): binary_network(model, size, given.overrides) for model, size in asked}
    given.out.mkdir(parents=True, exist_ok=True)
    facts = machine.facts(kernel)
    for name, value in facts.items():
        say(f"{name}: {value}")
    busy = machine.idle_check()
    if busy is not None and busy >= machine.BUSY:
        say(f"warning: others use {busy:.2f} processors now: times will be disturbed")
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
    for path in write(Results(facts, tuple(groups), tuple(profiles)), given.out):
        say(f"{path} written")
    return 0
