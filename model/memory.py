"""Where tensors get their memory: what one leaves, the next one takes.

glibc, left to itself, has large tensors' memory from the kernel and gives it back when they go. The kernel
then clears and maps each page anew for the next one, which took nearly half of a classifier's time: eight
photographs through EfficientNet-Lite0 on two cores, 0.17 s, and 0.09 s with memory that is kept. So up to a
gigabyte of what was freed stays with the process. Elsewhere than on Linux with glibc nothing of this happens.
"""

import ctypes
import os

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
"""Of mallopt(3)."""
VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_")
"""By which the same can be told from outside."""
KEPT = 1024**3
"""Bytes at the end of the heap above which it shrinks again, in a program that leaves room for others."""
ALL = -1
"""However many: a training wants the same memory at every step."""
AT_ONCE = 64 * 1024**2
"""Bytes by which it grows at least."""


def keep_freed(at_most: int = KEPT) -> bool:
    """Keep what is freed for what comes next, from now on; whether that can be.

    Whoever has told glibc otherwise by environment variables has the last word.

    Args:
        at_most: bytes, less than 2^31, or :data:`ALL`.
    """
    if any(name in os.environ for name in VARIABLES):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:  # no glibc: macOS, musl
        return False
    options = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, at_most), (M_TOP_PAD, AT_ONCE))
    taken = [bool(mallopt(option, value)) for option, value in options]
    return all(taken)
