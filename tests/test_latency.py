"""Times are counted as they were taken, and a machine that had other work to do is told from a quiet one."""

from __future__ import annotations

import os

import pytest
from packed_networks import make_network

from bnn_ablate.latency import FEWEST, Usage, machine_seconds, measure, was_busy
from bnn_ablate.packed import pack


def test_processor_seconds_leave_out_idle_time_and_waiting_for_disks() -> None:
    # user 1, nice 2, system 3, idle 100, iowait 200, irq 4, softirq 5, steal 6, guest 50 (which user holds already)
    stat = "cpu  1 2 3 100 200 4 5 6 50 0\ncpu0 1 2 3 100 200 4 5 6 50 0\n"
    assert machine_seconds(stat) == 21 / os.sysconf("SC_CLK_TCK")


#: Ten seconds: what the process, its thread and the whole machine used of processors, the threads, and the verdict.
READINGS = [
    (10.0, 10.0, 10.0, 1, False),
    (10.0, 10.0, 12.0, 1, False),  # 0.2 processors of other work: a desktop
    (10.0, 10.0, 13.0, 1, True),  # 0.3
    (10.0, 9.5, 10.0, 1, False),
    (10.0, 8.5, 10.0, 1, True),  # the thread waited for a processor, which no other reading shows
    (16.0, 8.5, 16.0, 2, False),  # one of two threads may wait for the other
    (16.0, 8.5, 26.0, 2, True),
    (10.0, 10.0, None, 1, True),  # the system does not tell
]


@pytest.mark.parametrize(("process", "thread", "machine", "threads", "busy"), READINGS)
def test_other_work_is_seen(process: float, thread: float, machine: float | None, threads: int, busy: bool) -> None:
    before = Usage(wall=5.0, process=7.0, thread=3.0, machine=None if machine is None else 1000.0)
    whole = None if machine is None else 1000.0 + machine
    after = Usage(wall=15.0, process=7.0 + process, thread=3.0 + thread, machine=whole)
    assert was_busy(before, after, threads) == busy


def test_a_measurement_has_all_samples_and_says_how_it_was_made() -> None:
    packed = pack(make_network("post"), (3, 16, 16), threads=1)
    timing = measure(packed, samples=12, batch=3)
    assert FEWEST <= len(timing.latency_ms) <= 12
    assert all(sample > 0 for sample in timing.latency_ms)
    assert timing.images_per_second > 0
    assert timing.throughput_batch == 3
