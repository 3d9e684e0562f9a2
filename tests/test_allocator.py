"""What becomes of memory that a process has freed."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

#: Takes 3 GiB and frees them without ever touching more than a page of each; prints what the allocator still has.
FREED = """
import ctypes, sys
from bnn_ablate.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
libc.free.argtypes, libc.sbrk.argtypes = [ctypes.c_void_p], [ctypes.c_ssize_t]
start = libc.sbrk(0)
blocks = [libc.malloc(3 << 28) for _ in range(4)]
for block in blocks:
    libc.free(block)
print((libc.sbrk(0) - start) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_freed_memory_stays_with_the_process_only_where_it_is_told_to_keep_it():
    held = [
        int(subprocess.run([sys.executable, "-c", FREED, how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "as it comes")
    ]
    assert held[0] >= 3072
    assert held[1] < 64
