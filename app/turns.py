"""Whose turn it is to compute: one at a time, in the order in which they asked."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turns:
    """A lock that is given in the order in which it was asked for.

    Long work gives it back after each of its steps and asks again. ``threading.Lock`` would let it have it
    at once, since it is awake and whoever waits is not: a visitor's run would wait for all of the long work.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        """A ticket for each who asked; the first one has its turn."""

    @contextmanager
    def turn(self, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait for a turn, and give it back at the end of the block.

        Args:
            check: called ten times a second while others have their turn; may raise, which ends the waiting.
        """
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
        try:
            with self._changed:
                while self._queue[0] is not ticket:
                    self._changed.wait(0.1)
                    check()
            yield
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()
