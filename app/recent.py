"""A memory of what came last: at most so many bytes, and nothing for longer than so long."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key. Where there is no room for all, those that were used longest ago go first.

    Args:
        size: how many bytes a value has.
        most: bytes that are kept together.
        seconds: how long a value is kept after it was put, however often it is used.
        clock: in seconds.
        at_least: so many values are kept, however large.
    """

    def __init__(
        self,
        size: Callable[[V], int],
        most: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        at_least: int = 0,
    ) -> None:
        self._size, self._most, self._seconds, self._clock = size, most, seconds, clock
        self._at_least = at_least
        self._kept: OrderedDict[K, tuple[float, int, V]] = OrderedDict()
        """Since when, how large and what, the one that was used longest ago first."""
        self._total = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """The value of a key; None if it is not kept (any more)."""
        with self._lock:
            self._forget()
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][2]

    def put(self, key: K, value: V) -> None:
        """Keep a value, in the place of one that the key may have."""
        with self._lock:
            self._let_go(key)
            size = self._size(value)
            self._kept[key] = (self._clock(), size, value)
            self._total += size
            self._forget()

    def _forget(self) -> None:
        """Let go of what is too old, then of what was used longest ago, until the rest fits."""
        now = self._clock()
        for key in [key for key, (since, *_) in self._kept.items() if now - since > self._seconds]:
            self._let_go(key)
        while len(self._kept) > self._at_least and self._total > self._most:
            self._let_go(next(iter(self._kept)))

    def _let_go(self, key: K) -> None:
        if key in self._kept:
            _, size, _ = self._kept.pop(key)
            self._total -= size
