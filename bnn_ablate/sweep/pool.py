"""Processes side by side, one run each: none of them can touch another, whatever happens to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from bnn_ablate.outcome import Outcome, Progress, accuracy_of
from bnn_ablate.record import RecordError
from bnn_ablate.states import status_of
from bnn_ablate.store import RunBusyError, Store
from bnn_ablate.sweep.child import train_one
from bnn_ablate.sweep.disk import Disk
from bnn_ablate.sweep.interrupts import Interrupts
from bnn_ablate.sweep.jobs import SweepJob
from bnn_ablate.sweep.view import View

#: Loaded once, by the server that every process is forked from: they take seconds, and memory that is then shared.
PRELOAD = ("bnn_ablate.sweep.child", "bnn_ablate.run")
#: The same for runs that W&B is told of; wandb.init imports the second one.
PRELOAD_WANDB = ("wandb", "wandb.sdk.launch")

#: How often a run that another process trains is looked after.
SECONDS_BETWEEN_LOOKS = 2.0

#: A run that does not stop within this time after its timeout is killed.
GRACE_SECONDS = 30.0

#: A run that finds the disk full so often is left for another time: there is room, but not enough for it.
FULL_DISKS = 3


@dataclass
class Running:
    """A process and what is known of it."""

    job: SweepJob
    process: BaseProcess
    connection: Connection
    gpus: tuple[str, ...]
    started: float
    outcome: Outcome | None = None
    #: When it was asked to stop because its time was over.
    timed_out: float | None = None


class Pool:
    """Trains jobs, at most ``n_jobs`` at a time, and reports what happens to ``view``.

    ``timeout`` is in seconds, None for no limit; ``gpus`` are dealt out to runs with trainer.accelerator=gpu, none of
    which may ask for more. The first Ctrl-C (or SIGTERM) starts no further run and asks the running ones to write a
    checkpoint and stop; the second kills them.
    """

    def __init__(
        self, store: Store, view: View, *, n_jobs: int, timeout: float | None, gpus: Sequence[str] = ()
    ) -> None:
        self.store = store
        self.view = view
        self.n_jobs = n_jobs
        self.timeout = timeout
        self.free_gpus = deque(gpus)
        self.disk = Disk(store.root)
        self.full_disks: Counter[str] = Counter()
        self.queue: deque[SweepJob] = deque()
        #: Runs that another process trains, each with the time of the next look.
        self.elsewhere: dict[str, tuple[SweepJob, float]] = {}
        self.running: dict[str, Running] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.interrupts = Interrupts()
        self.context = multiprocessing.get_context("forkserver")

    def run(self, jobs: Sequence[SweepJob]) -> dict[str, Outcome]:
        """Train ``jobs``, float networks before what starts from them.

        Returns the outcome of each that was begun, by run id.
        """
        self.queue.extend(jobs)
        tracked = any(job.settings.tracking.name == "wandb" for job in jobs)
        self.context.set_forkserver_preload([*PRELOAD, *(PRELOAD_WANDB if tracked else ())])
        with self.interrupts:
            _start_server()
            try:
                while self._work_left():
                    self._start()
                    self._wait()
                    self._end_what_takes_too_long()
            finally:
                self._end_all()  # there is something only where an error of ours ended the loop
        return self.outcomes

    def _end_all(self) -> None:
        for running in self.running.values():
            _signal(running.process, signal.SIGTERM)
        for running in self.running.values():
            running.process.join(GRACE_SECONDS)
            _signal(running.process, signal.SIGKILL)
            running.process.join()

    def _work_left(self) -> bool:
        if self.running:
            return True
        return not self.interrupts.count and not self.disk.given_up and bool(self.queue or self.elsewhere)

    # --- starting ---

    def _start(self) -> None:
        """Fill the free places; a run waits for its float network and its GPUs, and all for room on the disk."""
        self._look_elsewhere()
        waiting = []
        while self.queue and len(self.running) < self.n_jobs and not self.interrupts.count and self.disk.has_room():
            job = self.queue.popleft()
            match self._may_start(job):
                case "now":
                    self._start_one(job)
                case "later":
                    waiting.append(job)
                case "never":
                    self._end(job, Outcome("failed", f"its float network, run {job.needs}, could not be trained"))
        self.queue.extendleft(reversed(waiting))

    def _may_start(self, job: SweepJob) -> Literal["now", "later", "never"]:
        trainer = job.settings.trainer
        if trainer.accelerator == "gpu" and len(self.free_gpus) < trainer.devices:
            return "later"
        if job.needs is None:
            return "now"
        first = self.outcomes.get(job.needs)
        if first is not None:
            return "now" if first.kind == "done" else "never"
        to_come = {other.run_id for other in self.queue} | set(self.elsewhere) | set(self.running)
        return "later" if job.needs in to_come else "now"

    def _start_one(self, job: SweepJob) -> None:
        gpus: tuple[str, ...] = ()
        if job.settings.trainer.accelerator == "gpu":
            gpus = tuple(self.free_gpus.popleft() for _ in range(job.settings.trainer.devices))
        ours, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=train_one, args=(job, theirs, gpus), name=f"run {job.run_id}")
        try:
            process.start()
        except (EOFError, OSError) as error:  # the server of processes is gone: the next start makes a new one
            self.free_gpus.extend(gpus)
            self._end(job, Outcome("failed", f"its process could not be started ({type(error).__name__}: {error})"))
            return
        finally:
            theirs.close()
        self.running[job.run_id] = Running(job, process, ours, gpus, time.monotonic())
        self.view.started(job)

    def _look_elsewhere(self) -> None:
        """Take up runs that another process has finished, or let go."""
        for run_id, (job, due) in list(self.elsewhere.items()):
            if time.monotonic() < due:
                continue
            del self.elsewhere[run_id]
            folder = self.store.run(run_id)
            try:
                status = folder.status()
            except RecordError as error:
                self._end(job, Outcome("refused", str(error)))
                continue
            if folder.has_record:
                self._end(job, Outcome("done", "trained by another process"))
            elif status is not None and status.state == "diverged":
                self._end(job, Outcome("diverged", f"{status.error} (in another process)"))
            elif folder.is_busy():
                self.elsewhere[run_id] = (job, time.monotonic() + SECONDS_BETWEEN_LOOKS)
            else:
                self.queue.append(job)

    # --- waiting ---

    def _wait(self) -> None:
        """Sleep until a process says something or ends, a signal comes, or it is time to look."""
        self.view.tick()
        connections = {running.connection: running for running in self.running.values()}
        sentinels = {running.process.sentinel: running for running in self.running.values()}
        sources: list[Any] = [*connections, *sentinels, self.interrupts.woken]
        ready = wait(sources, timeout=self.view.seconds_between_ticks)
        if self.interrupts.woken in ready:
            self._pass_on(self.interrupts.take())
        for source in ready:
            if isinstance(source, Connection):
                self._listen(connections[source])
        for source in ready:
            if source in sentinels:
                self._ended(sentinels[source])

    def _listen(self, running: Running) -> None:
        """Take what the process has sent; what it was sending when it died was nothing."""
        with suppress(EOFError, OSError):
            while running.connection.poll():
                message: Any = running.connection.recv()
                if isinstance(message, Outcome):
                    running.outcome = message
                elif isinstance(message, Progress):
                    self.view.progress(running.job, message)

    def _end_what_takes_too_long(self) -> None:
        if self.timeout is None:
            return
        for running in self.running.values():
            if running.timed_out is None and time.monotonic() - running.started > self.timeout:
                running.timed_out = time.monotonic()
                _signal(running.process, signal.SIGTERM)
            elif running.timed_out is not None and time.monotonic() - running.timed_out > GRACE_SECONDS:
                _signal(running.process, signal.SIGKILL)

    def _pass_on(self, interrupts: int) -> None:
        """The first time ask every process to stop, from the second on end it."""
        if interrupts == 0:
            return  # another signal, which is not ours
        if interrupts == 1:
            self.view.stopping(len(self.running))
        for running in self.running.values():
            _signal(running.process, signal.SIGTERM if interrupts == 1 else signal.SIGKILL)

    # --- ending ---

    def _ended(self, running: Running) -> None:
        running.process.join()
        self._listen(running)  # what it said last
        running.connection.close()
        job = running.job
        del self.running[job.run_id]
        self.free_gpus.extend(running.gpus)
        outcome = self._outcome(running)
        if outcome.kind == "busy":
            self.elsewhere[job.run_id] = (job, time.monotonic() + SECONDS_BETWEEN_LOOKS)
            self.view.waits(job, outcome)
        elif outcome.kind == "disk full" and self._may_wait_for_room(job):
            self.queue.appendleft(job)
            self.view.waits(job, outcome)
        else:
            self._end(job, outcome)

    def _outcome(self, running: Running) -> Outcome:
        outcome = running.outcome
        if outcome is None:
            _end_group(running.process)
        elif outcome.kind != "stopped":
            return outcome
        finished = self._finished(running.job)
        if finished is not None:
            return finished
        if running.timed_out is not None:
            assert self.timeout is not None
            sentence = f"it took longer than hydra.launcher.timeout_minutes={self.timeout / 60:g}"
            return self._failed(running.job, running.process, sentence)
        return self._died(running.job, running.process) if outcome is None else outcome

    def _finished(self, job: SweepJob) -> Outcome | None:
        """Done, where the process was stopped in its last moment, after the record was written."""
        with suppress(RecordError):
            record = self.store.run(job.run_id).record()
            if record is not None:
                return Outcome("done", accuracy_of(record))
        return None

    def _may_wait_for_room(self, job: SweepJob) -> bool:
        self.full_disks[job.run_id] += 1
        return self.disk.worth_waiting() and self.full_disks[job.run_id] < FULL_DISKS and not self.interrupts.count

    def _end(self, job: SweepJob, outcome: Outcome) -> None:
        self.outcomes[job.run_id] = outcome
        self.view.ended(job, outcome)

    def _died(self, job: SweepJob, process: BaseProcess) -> Outcome:
        """A process that could not say how it ended."""
        if self.interrupts.count:
            self._report(job, process, "stopped", None)
            return Outcome("stopped", "stopped without a new checkpoint")
        code = process.exitcode
        assert code is not None  # it has ended
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = ": if nobody did, memory ran out, and a smaller hydra.launcher.n_jobs needs less"
        return self._failed(job, process, f"its process {how}{hint if code == -signal.SIGKILL else ''}")

    def _failed(self, job: SweepJob, process: BaseProcess, sentence: str) -> Outcome:
        self._report(job, process, "failed", sentence)
        return Outcome("failed", f"{sentence} (its output: {self.store.run(job.run_id).output})")

    def _report(
        self, job: SweepJob, process: BaseProcess, state: Literal["failed", "stopped"], sentence: str | None
    ) -> None:
        """Write the state of a run whose process no longer can. A training that is over stays "trained"."""
        folder = self.store.run(job.run_id)
        assert process.pid is not None
        # where locks do not work its heartbeat would be watched until it is old, and the sweep would stand still
        folder.forget_holder(process.pid)
        with suppress(OSError, RunBusyError, RecordError), folder.lock():
            status = folder.status()
            if status is None and state == "stopped":
                return  # it never began
            if folder.record() is None and (status is None or status.state != "trained"):
                folder.write_status(status_of(job.settings, job.ids, state, sentence=sentence))


def _start_server() -> None:
    """Start what forks the processes, out of reach of Ctrl-C: in a terminal that would end it while it loads torch."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def _end_group(process: BaseProcess) -> None:
    """End what a process has left that could not say how it ended; itself too, where only its server has died."""
    assert process.pid is not None
    with suppress(ProcessLookupError, PermissionError):
        for _ in range(100):
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.02)


def _signal(process: BaseProcess, number: int) -> None:
    """SIGKILL goes to all processes of a run, other signals to the first, which passes them on."""
    assert process.pid is not None
    if number == signal.SIGKILL:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
