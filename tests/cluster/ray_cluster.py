"""A real Ray cluster of two nodes on this machine's loopback: ``python tests/cluster/ray_cluster.py FOLDER``.

Everything it writes lies in FOLDER, which also stands in for the home folder. As root each node has a UTS namespace of
its own, so that its tasks see another host name.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import wait_until

NODES = ("ray-a", "ray-b")

#: How long a node may take until the cluster knows it; seen: 10.
SECONDS_TO_START = 120.0


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Ray:
    """The nodes, by name, the first one the head; ``environment`` is what commands that use the cluster need."""

    def __init__(self, folder: Path, cpus: int = 1) -> None:
        self.folder = folder
        self.cpus = cpus
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            # whoever reaches a Ray cluster may run what he likes on it
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ADDRESS": self.address,
            # a node that dies is missed after about 5 s, not 25
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "1000",
        }
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the nodes and wait until the cluster knows them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for node in NODES:
            self.start_node(node)
            self.wait_for_nodes(len(self.nodes))

    def start_node(self, node: str) -> None:
        """Start one node, also again after it was killed."""
        # to find Ray beside this Python
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--num-cpus={self.cpus}"]
        command += ["--node-ip-address=127.0.0.1", "--object-store-memory=100000000", "--disable-usage-stats"]
        if node == NODES[0]:
            port = self.address.split(":")[1]
            command += ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={self.folder}/{node}"]
        else:
            command += [f"--address={self.address}"]
        if os.geteuid() == 0 and shutil.which("unshare") is not None:
            command = ["unshare", "--uts", "sh", "-c", f'hostname {node} && exec "$@"', "sh", *command]
        environment = {key: value for key, value in self.environment.items() if key != "RAY_ADDRESS"}
        with open(self.folder / f"{node}.out", "ab") as output:
            self.nodes[node] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder
            )

    def kill_node(self, node: str) -> None:
        """SIGKILL all processes of a node, as if its power failed."""
        process = self.nodes.pop(node)
        for pid in _tree(process.pid):
            _kill(pid)
        process.wait()

    def wait_for_nodes(self, count: int) -> None:
        """Wait until ``count`` nodes are alive."""
        program = "import ray, sys; ray.init(log_to_driver=False); print(sum(n['Alive'] for n in ray.nodes()))"

        def ready() -> bool:
            done = subprocess.run(
                [sys.executable, "-c", program], env=self.environment, capture_output=True, text=True, check=False
            )
            return done.stdout.strip() == str(count)

        wait_until(ready, f"{count} nodes are not alive", self.folder / f"{NODES[count - 1]}.out", SECONDS_TO_START)

    def stop(self) -> None:
        """End all nodes, the head last."""
        for node in reversed(list(self.nodes)):
            self.kill_node(node)


@contextmanager
def ray(folder: Path, cpus: int = 1) -> Iterator[Ray]:
    """A running cluster; stopped at the end, whatever happened."""
    cluster = Ray(folder, cpus)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _tree(pid: int) -> list[int]:
    """``pid`` and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _tree(int(child)))]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), ray(Path(sys.argv[1]).resolve()) as cluster:
        told = ("HOME", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED", "RAY_ADDRESS")
        print(
            "\n".join(f"export {name}={cluster.environment[name]}" for name in told),
            "Ctrl-C stops it",
            sep="\n",
            flush=True,
        )
        signal.pause()


if __name__ == "__main__":
    main()
