"""Who has a run going, so that it can be stopped, and is ended when it takes too long."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr

from app.scenario import Watch
from app.server.leaving import leaving_of
from app.server.scope import WAITED, scope_of

Upload = bytes | str | None
"""What a picture's file holds, which is all that is known of a visitor's; or the path of one of our own."""
ENOUGH_PIXELS = 1024
"""Sides of so many pixels are enough for every classifier, four times over.

It makes a difference only to what has twice as many, a photograph of a phone, say: that is decoded in half
the time, and takes a quarter of the memory.
"""


class Visitors:
    """The watches on all runs that are going, by their visitors' sessions.

    Args:
        limit_s: how many seconds a run may take.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._watches: defaultdict[str | None, set[Watch]] = defaultdict(set)

    @contextmanager
    def watching(self, request: gr.Request, progress: gr.Progress | None = None) -> Iterator[Watch]:
        """A watch on a visitor's run: :meth:`stop` reaches it, and it ends when they leave."""
        watch = Watch(None if progress is None else _shown_on(progress), self._limit_s)
        session = request.session_hash
        with self._lock:
            self._watches[session].add(watch)
        if leaving := leaving_of(request):
            leaving.then(watch.stop)
        try:
            yield watch
        finally:
            # A stopped run may end after the next one has begun.
            with self._lock:
                self._watches[session].discard(watch)
                if not self._watches[session]:
                    del self._watches[session]
            scope_of(request)[WAITED] = sum(watch.waits)

    def stop(self, request: gr.Request, overtaken: bool = False) -> None:
        """End a visitor's run, if there is one; ``overtaken``: because another one is wanted."""
        # Who asks by a script has no session, and must not end the runs of others who have none.
        if request.session_hash is not None:
            self.leave(request.session_hash, overtaken)

    def leave(self, session: str, overtaken: bool = False) -> None:
        """The same for a visitor of whom only the session is known."""
        with self._lock:
            found = tuple(self._watches.get(session, ()))
        for watch in found:
            watch.stop(overtaken)

    def stop_all(self) -> None:
        """End everybody's run: the server is about to."""
        with self._lock:
            found = [watch for watches in self._watches.values() for watch in watches]
        for watch in found:
            watch.stop()


def _shown_on(progress: gr.Progress) -> Callable[[float, str], None]:
    """A run's progress on the page, at most a hundred times."""
    shown = ("", -1.0)

    def show(share: float, what: str) -> None:
        nonlocal shown
        if what != shown[0] or share - shown[1] >= 0.01:  # Square asks thousands of times
            shown = (what, share)
            progress(share, desc=what)

    return show
