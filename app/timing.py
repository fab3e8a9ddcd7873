"""How long something takes."""

import statistics
import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Tells seconds."""


def median_seconds(action: Callable[[], object], repeats: int = 5, clock: Clock = time.perf_counter) -> float:
    """Median duration after one unmeasured call."""
    action()
    times = []
    for _ in range(repeats):
        start = clock()
        action()
        times.append(clock() - start)
    return statistics.median(times)
