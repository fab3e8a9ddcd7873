"""Whether runs are taken, and how many are going: what has to be known to close without breaking one off."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

STEP_SECONDS = 0.5
"""The longest gap between two steps of one piece of work."""


class Duty:
    """What goes on in a server that is to be closed at some time.

    Args:
        stoppers: each ends work that is going on.
        clock: in seconds.
        sleep: waits for so many.
    """

    def __init__(
        self,
        stoppers: Iterable[Callable[[], None]] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stoppers = tuple(stoppers)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._going = 0
        self._closing = False

    @property
    def is_closing(self) -> bool:
        """Whether new work is to be refused."""
        return self._closing

    @property
    def going(self) -> int:
        """How much work is going on."""
        return self._going

    @contextmanager
    def working(self) -> Iterator[None]:
        """A piece of work, for as long as the block takes."""
        with self._lock:
            self._going += 1
        try:
            yield
        finally:
            with self._lock:
                self._going -= 1

    def close(self) -> None:
        """From now on, new work is refused."""
        self._closing = True

    def stop(self) -> None:
        """End what goes on: it has taken longer than it may."""
        for stop in self._stoppers:
            stop()

    def is_idle_within(self, seconds: float, hurried: Callable[[], bool] = lambda: False) -> bool:
        """Wait until nothing goes on any more, but no longer than that, nor once somebody is in a hurry.

        Work that is done in steps has gaps between them: it is over when there was none for a while.
        """
        begun = quiet_since = self._clock()
        while True:
            now = self._clock()
            if self._going:
                quiet_since = now + STEP_SECONDS
            elif now >= quiet_since:
                return True
            if now >= begun + seconds or hurried():
                return not self._going
            self._sleep(0.05)
