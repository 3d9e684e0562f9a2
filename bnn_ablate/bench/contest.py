"""One group of a benchmark: contenders set up, their answers compared, and measured in the same rounds."""

from __future__ import annotations

from collections.abc import Sequence

from bnn_ablate.bench.machine import Others
from bnn_ablate.bench.measure import ROUNDING, ROUNDING_INT8, checked, interleaved, noise
from bnn_ablate.bench.networks import Network
from bnn_ablate.bench.peers import FLOAT32, INT8, Contender, Run, UnavailableError, float_networks, same_network
from bnn_ablate.bench.results import Group, Row
from bnn_ablate.packed import pack
from bnn_ablate.packed.graph import Floats


def contest(
    networks: Sequence[Network],
    *,
    batch: int,
    threads: int,
    kernel: str,
    peers: frozenset[str],
    simulate_all: bool,
    rounds: int,
) -> Group:
    """Measure ``networks``, of one shape, and those ``peers`` of theirs that there are and that answer as they should.

    Raises what :func:`bnn_ablate.packed.pack` raises.
    """
    first = networks[0]
    images = noise(batch, first.shape)
    runs: dict[str, Run] = {}
    always: list[str] = []
    rows: list[tuple[str, Row]] = []
    for network in networks:
        packed = pack(network.module, network.shape, threads=threads, kernel=kernel)
        name = f"{network.title}, ours"
        runs[name] = packed
        always.append(name)
        rows.append((name, Row(network.title, f"bnn_ablate packed ({kernel})", True, network.title, "")))
        for peer in same_network(network.title, packed.graph, batch=batch, threads=threads):
            if not _asked(peer, peers) or ("simulation" in peer.kinds and not simulate_all and network is not first):
                continue
            row, run = _admitted(peer, packed, network.title, batch, images, ROUNDING)
            rows.append((peer.name, row))
            if run is not None:
                runs[peer.name] = run
    right: Run | None = None
    for peer in float_networks(first.shape, classes=first.classes, batch=batch, threads=threads):
        if not _asked(peer, peers):
            continue
        tolerance = ROUNDING_INT8 if peer.network == INT8 else ROUNDING
        row, run = _admitted(peer, right, first.title, batch, images, tolerance)
        rows.append((peer.name, row))
        if run is not None:
            runs[peer.name] = run
            right = run if right is None and peer.network == FLOAT32 else right
    others = Others()
    samples = interleaved(runs, always, images[:batch], rounds)
    measured = [
        Row(row.network, row.engine, row.ours, row.against, row.note, samples.get(name, {})) for name, row in rows
    ]
    return Group(first.shape[1], batch, threads, tuple(measured), others.processors())


def _asked(peer: Contender, peers: frozenset[str]) -> bool:
    return peer.kinds <= peers or (peer.network == FLOAT32 and {f"{kind} float" for kind in peer.kinds} <= peers)


def _admitted(
    peer: Contender, right: Run | None, against: str, batch: int, images: Floats, tolerance: float
) -> tuple[Row, Run | None]:
    """The row of a contender, and its calls if there is one that answers as ``right`` does (None: nobody to ask)."""
    run, note = None, ""
    try:
        run = peer.make()
        agreement = checked(run, run if right is None else right, batch, images, tolerance)
        note = "" if right is None else str(agreement)
        if not agreement.right:
            run, note = None, f"wrong answers: {agreement}"
    except UnavailableError as error:
        note = str(error)
    except Exception as error:  # another's library, whose failure must not end the benchmark
        run, note = None, f"fails: {type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
    return Row(peer.network, peer.engine, False, against, note), run
