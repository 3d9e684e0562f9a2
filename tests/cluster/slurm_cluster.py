"""A real SLURM of two nodes on this machine's loopback: ``python tests/cluster/slurm_cluster.py FOLDER``.

munged, slurmctld and two slurmd on free ports, everything they write in FOLDER. Each slurmd lives in a UTS namespace of
its own, so that its jobs see another host name. Needs root, and Debian's packages slurm-wlm and munge.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import wait_until

NODES = ("node-a", "node-b")
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "unshare")

#: How long the daemons may take to say that the nodes are idle; seen: 5.
SECONDS_TO_START = 60.0


def missing() -> str | None:
    """Why SLURM cannot be started here, None where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{absent[0]} is not installed: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "slurmd needs root"


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


CONFIG = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
SlurmctldPort={controller}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmdTimeout=15
KillWait=20
UnkillableStepTimeout=60
MinJobAge=600
JobRequeue=1
SchedulerParameters=sched_interval=1,batch_sched_delay=1,bf_interval=1,requeue_delay=1
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """The daemons, by name; ``environment`` is what srun, sbatch, squeue and their like need."""

    def __init__(self, folder: Path, cpus: int = 1) -> None:
        self.folder = folder
        self.cpus = cpus
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all of it and wait until both nodes are idle."""
        (self.folder / "state").mkdir(parents=True, exist_ok=True)
        controller, *ports = free_ports(1 + len(NODES))
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={node} NodeAddr=127.0.0.1 Port={port} CPUs={self.cpus} RealMemory=4000"
            for node, port in zip(NODES, ports, strict=True)
        )
        text = CONFIG.format(host=socket.gethostname(), folder=self.folder, controller=controller, nodes=nodes)
        (self.folder / "slurm.conf").write_text(text)
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_for_nodes(*NODES)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.unlink(missing_ok=True)
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        # --force: it would refuse a socket in a folder that others may write to, as /tmp is
        options = [f"--{option}={self.folder}/munge.{name}" for option, name in files.items()]
        self._start("munged", ["munged", "--foreground", "--force", *options])
        wait_until(
            (self.folder / "munge.socket").exists, "munged has no socket", self.folder / "munged.out", SECONDS_TO_START
        )

    def start_controller(self) -> None:
        """Start slurmctld; again after it was killed it knows the jobs there were."""
        self._start("slurmctld", ["slurmctld", "-D"])

    def kill_controller(self) -> None:
        """SIGKILL slurmctld; jobs run on."""
        self.daemons["slurmctld"].kill()
        self.daemons.pop("slurmctld").wait()

    def start_node(self, node: str) -> None:
        """Start one node's slurmd, also again after it was killed."""
        (self.folder / f"spool.{node}").mkdir(exist_ok=True)
        script = f"hostname {node} && exec slurmd -D -N {node}"
        self._start(node, ["unshare", "--uts", "sh", "-c", script])

    def kill_node(self, node: str) -> None:
        """SIGKILL a node's slurmd and every process of its jobs, as if its power failed: nobody reports anything."""
        everything = self.processes_of(node)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in everything:
                _kill(pid, number)
        self.daemons.pop(node).wait()

    def processes_of(self, node: str) -> list[int]:
        """All processes of ``node``, its slurmd's and its jobs': they share a name of the host."""
        namespace = os.readlink(f"/proc/{self.daemons[node].pid}/ns/uts")
        if namespace == os.readlink("/proc/self/ns/uts"):  # it has not come to leave ours
            return [self.daemons[node].pid]
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # gone meanwhile
                if entry.name.isdigit() and os.readlink(entry / "ns" / "uts") == namespace:
                    found.append(int(entry.name))
        return found

    def wait_for_nodes(self, *nodes: str) -> None:
        """Wait until these nodes can be given jobs."""

        def ready() -> bool:
            said = self.run("sinfo", "--noheader", "--Node", "--format=%N %T", check=False).split("\n")
            return {f"{node} idle" for node in nodes} <= {line.strip() for line in said}

        wait_until(ready, f"nodes {', '.join(nodes)} are not idle", self.folder / "slurmctld.log", SECONDS_TO_START)

    def run(self, *command: str, check: bool = True) -> str:
        """What one of SLURM's commands prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def stop(self) -> None:
        """End the jobs, then the daemons."""
        if "slurmctld" in self.daemons:
            self.run("scancel", "--user=root", check=False)
        for node in NODES:
            if node in self.daemons and self.daemons[node].poll() is None:
                self.kill_node(node)
        for name in reversed(list(self.daemons)):
            process = self.daemons.pop(name)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str, command: list[str]) -> None:
        with open(self.folder / f"{name}.out", "ab") as output:
            self.daemons[name] = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.folder
            )


@contextmanager
def slurm(folder: Path, cpus: int = 1) -> Iterator[Slurm]:
    """A running SLURM; stopped at the end, whatever happened."""
    cluster = Slurm(folder, cpus)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> None:
    reason = missing()
    if reason is not None:
        sys.exit(f"error: {reason}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), slurm(Path(sys.argv[1]).resolve()) as cluster:
        print(f"export SLURM_CONF={cluster.folder}/slurm.conf\nCtrl-C stops it", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
