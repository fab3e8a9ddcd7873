"""Whose turn it is to compute: one at a time, and no kind of work waits for all of another."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

SLICE_SECONDS = 0.05
"""The shortest time for which a turn is had before another lane's may come between."""
MEMORY = 0.2
"""How much the latest turn counts in a lane's mean duration."""
Told = Callable[[int, float], None]
"""Called with how many are before somebody who waits, and in how many seconds it is their turn, about."""


class BusyError(Exception):
    """Too many wait already.

    Attributes:
        count: how many.
        seconds: until they have had their turns, about.
    """

    def __init__(self, count: int, seconds: float) -> None:
        super().__init__(f"{count} wait already")
        self.count, self.seconds = count, seconds


@dataclass(eq=False)
class _Ticket:
    lane: "_Lane"
    worked: float = 0.0
    since: float = 0.0


@dataclass(eq=False)
class _Lane:
    waiting: deque[_Ticket] = field(default_factory=deque)
    used: float = 0.0
    """Seconds that were computed for it. The lane that had less is next."""
    mean: float = 0.0


class Turns:
    """A lock that is given in the order in which it was asked for, in lanes that share the machine equally.

    Long work that has steps gives it back after each and asks again. ``threading.Lock`` would let it have it
    at once, since it is awake and whoever waits is not: a visitor's run would wait for all of the long work.
    Work without such steps asks now and then whether to let another lane go first: :meth:`give_way`. So the
    longest computation of one lane leaves half of the machine to the other.

    Args:
        keep: entered while work lets others go first: what it must find again as it left it.
        limit: how many may wait.
        clock: in seconds.
    """

    def __init__(
        self,
        keep: Callable[[], AbstractContextManager[object]] = nullcontext,
        limit: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep, self._limit, self._clock = keep, limit, clock
        self._changed = threading.Condition()
        self._lanes: dict[str, _Lane] = {}
        self._holder: _Ticket | None = None
        self._mine = threading.local()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(lane.waiting) for lane in tuple(self._lanes.values()))  # of a dict that may grow

    @property
    def idle(self) -> bool:
        """Whether nobody has a turn, or waits for one."""
        return self._holder is None and not self.waiting

    @property
    def away(self) -> float:
        """For how many seconds, in all, this thread has let others go first."""
        seconds: float = getattr(self._mine, "away", 0.0)
        return seconds

    @contextmanager
    def turn(
        self, check: Callable[[], None] = lambda: None, lane: str = "", told: Told = lambda *_: None
    ) -> Iterator[None]:
        """Wait for a turn, and give it back at the end of the block.

        Args:
            check: called ten times a second while others have their turn; may raise, which ends the waiting.
            lane: the kind of work.
            told: called while it waits, whenever fewer are before it.

        Raises:
            BusyError: too many wait already.
        """
        with self._changed:
            kind = self._lanes.setdefault(lane, _Lane())
            if self._holder is not None and self.waiting >= self._limit:
                raise BusyError(self.waiting, sum(len(it.waiting) * it.mean for it in self._lanes.values()))
            ticket = _Ticket(kind)
            if not self._is_busy(kind):  # it neither owes nor is owed for the time in which it wanted nothing
                kind.used = min((it.used for it in self._lanes.values() if self._is_busy(it)), default=0.0)
            kind.waiting.append(ticket)
            self._next()
        before, self._mine.ticket = getattr(self._mine, "ticket", None), ticket
        try:
            self._wait(ticket, check, told)
            yield
        finally:
            self._mine.ticket = before
            with self._changed:
                if self._holder is ticket:
                    self._charge(ticket)
                    kind.mean += (MEMORY if kind.mean else 1) * (ticket.worked - kind.mean)
                    self._holder = None
                else:
                    kind.waiting.remove(ticket)
                self._next()

    def give_way(self, check: Callable[[], None] = lambda: None) -> None:
        """Let another lane go first, if this thread has the turn, and that lane has had less."""
        ticket: _Ticket | None = getattr(self._mine, "ticket", None)
        if ticket is None or self._holder is not ticket or not self.waiting:
            return
        with self._changed:
            if self._clock() - ticket.since < SLICE_SECONDS:
                return
            self._charge(ticket)
            if not any(it.waiting and it.used < ticket.lane.used for it in self._lanes.values()):
                return
        left = self._clock()
        try:
            with self._keep():  # before others can change anything
                with self._changed:
                    ticket.lane.waiting.appendleft(ticket)
                    self._holder = None
                    self._next()
                self._wait(ticket, check)
        finally:
            self._mine.away = self.away + self._clock() - left

    def _wait(self, ticket: _Ticket, check: Callable[[], None], told: Told = lambda *_: None) -> None:
        before = None
        with self._changed:
            while self._holder is not ticket:
                ahead = ticket.lane.waiting.index(ticket)
                if self._holder is not None and self._holder.lane is ticket.lane:
                    ahead += 1
                if ahead != before:
                    before = ahead
                    told(ahead, self._seconds(ticket.lane, ahead))
                self._changed.wait(0.1)
                check()

    def _seconds(self, lane: _Lane, ahead: int) -> float:
        """How long so many of a lane take, about, while the others have their share."""
        busy = sum(self._is_busy(it) for it in self._lanes.values())
        return max(1, ahead) * lane.mean * max(1, busy)

    def _is_busy(self, lane: _Lane) -> bool:
        return bool(lane.waiting) or (self._holder is not None and self._holder.lane is lane)

    def _charge(self, ticket: _Ticket) -> None:
        now = self._clock()
        ticket.worked += now - ticket.since
        ticket.lane.used += now - ticket.since
        ticket.since = now

    def _next(self) -> None:
        """Give the turn to who is next, if it is free."""
        waiting = [lane for lane in self._lanes.values() if lane.waiting]
        if self._holder is None and waiting:
            self._holder = min(waiting, key=lambda lane: lane.used).waiting.popleft()
            self._holder.since = self._clock()
        self._changed.notify_all()
