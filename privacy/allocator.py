"""Keep freed memory in the process instead of mapping it anew at every step.

Per-patient gradients are large, short-lived blocks. glibc maps each one from the kernel and gives it back, and the
page faults can cost more than the gradients (notes/dp-recipe.md section 4). Speed only: it changes no result.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

# <malloc.h>
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4
TOP_PAD_BYTES = 64 * 1024 * 1024
NEVER = -1
"""mallopt takes a C int, which cannot hold 16 GiB; -1 is glibc's documented value for "never trim"."""


@cache
def keep_freed_memory() -> bool:
    """Ask glibc to take large blocks from the heap and never to give the heap back. True where it was done.

    Affects the whole process, so only entry points call it. Anywhere but on glibc it does nothing. The environment
    variables MALLOC_MMAP_MAX_, MALLOC_TRIM_THRESHOLD_ and MALLOC_TOP_PAD_, set before start, do the same.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    mallopt.restype = ctypes.c_int
    wishes = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, NEVER), (M_TOP_PAD, TOP_PAD_BYTES))
    done = [mallopt(parameter, value) == 1 for parameter, value in wishes]  # each is tried, whatever the others say
    return all(done)
