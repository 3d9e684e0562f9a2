"""What the C library does with memory that a training step frees."""

from __future__ import annotations

import ctypes
import platform

#: Of glibc's mallopt: how many blocks are fetched from the system one by one, and free memory at which it is given
#: back, -1 for never.
_M_MMAP_MAX, _M_TRIM_THRESHOLD = -4, -1


def keep_freed_memory() -> bool:
    """Let glibc keep what this process frees for its next allocations, to the end of the process; False elsewhere.

    As it comes, glibc maps every block above 32 MiB anew and returns it when freed, so each large tensor costs the
    clearing of its pages: a tenth of a ResNetE's step, half of a BinaryDenseNet's (docs/LOG.md). What a process held at
    its peak it then holds until it ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, -1))
