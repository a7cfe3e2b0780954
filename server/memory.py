"""Give freed memory back: a coordinator's updates are large and short-lived, and it must not keep room for all of them.

glibc serves large blocks by mapping them and returns them when freed, but raises the limit of what is large to 32 MiB
as soon as a mapped block was freed; what lies below stays with the process. (A vault asks for the opposite, for speed:
`privacy/allocator.py`.)
"""

from __future__ import annotations

import ctypes
import platform

M_MMAP_THRESHOLD = -3  # <malloc.h>
MAPPED_FROM_BYTES = 256 * 1024


def give_memory_back() -> bool:
    """Ask glibc to map every block from 256 KiB on its own, for good. True where it was done.

    Affects the whole process, so only the ServerApp's entry point calls it. Anywhere but on glibc it does nothing.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES) == 1)
