"""How many cores a thread computes with, where many threads compute in turn.

OpenMP keeps helpers for each thread that has ever computed with several cores. While there are more of them
than cores, libgomp, which torch has on Linux, lets them sleep between two loops in the place of waiting
awake. Waking them takes as long as the loops do: a run in a server's thread took twice as long as in a
program's only one. So all threads compute with one core (:func:`one_for_each`), but for the one whose turn
it is, which dismisses its helpers at the end (:func:`all_of_them`). Elsewhere than on Linux nothing of this
happens.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

COUNT = torch.get_num_threads()
"""How many a computation gets: what torch, or ``OMP_NUM_THREADS``, has chosen."""
MAPS = Path("/proc/self/maps")
"""Which files are in memory, one at the end of each line (Linux)."""
SOFT = 1
"""What may stay of a thread's helpers: ``omp_pause_soft`` of OpenMP 5.0, section 2.12.3."""


def _openmp() -> ctypes.CDLL | None:
    """The libgomp that torch has loaded, if it has."""
    try:
        lines = MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
        path = next(line.split(maxsplit=5)[-1] for line in lines if "libgomp" in line)
        library = ctypes.CDLL(path)
        return library if hasattr(library, "omp_pause_resource_all") else None
    except (OSError, StopIteration):
        return None


_library = _openmp()


def one_for_each() -> None:
    """Let all threads compute with one core from now on; before any of them has computed."""
    if _library is not None:
        torch.set_num_threads(1)


@contextmanager
def all_of_them() -> Iterator[None]:
    """Let this thread compute with all cores within the block, and dismiss its helpers at the end."""
    if _library is None:
        yield
        return
    before = torch.get_num_threads()  # torch sets its own number where a thread asks for the first time
    # Not torch.set_num_threads, which also chooses for all threads that have not computed yet.
    _library.omp_set_num_threads(COUNT)
    try:
        yield
    finally:
        _library.omp_set_num_threads(before)
        dismiss()


def dismiss() -> None:
    """Dismiss this thread's helpers, until it computes again."""
    if _library is not None:
        _library.omp_pause_resource_all(SOFT)
