"""Who has a run going, so that it can be stopped, and is ended when it takes too long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr

from app.scenario import Watch

Upload = bytes | str | None
"""What a picture's file holds, which is all that is known of a visitor's; or the path of one of our own."""
MAX_SECONDS = 300
"""A run that takes longer is ended, since others wait for their turn."""
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

    def __init__(self, limit_s: float = MAX_SECONDS) -> None:
        self._limit_s = limit_s
        self._watches: dict[str | None, Watch] = {}

    @contextmanager
    def watching(self, request: gr.Request, progress: gr.Progress | None = None) -> Iterator[Watch]:
        """A watch on a visitor's run, by which :meth:`stop` reaches it."""
        watch = Watch(None if progress is None else _shown_on(progress), self._limit_s)
        self._watches[request.session_hash] = watch
        try:
            yield watch
        finally:
            # A stopped run may end after the next one has begun.
            if self._watches.get(request.session_hash) is watch:
                del self._watches[request.session_hash]

    def stop(self, request: gr.Request, overtaken: bool = False) -> None:
        """End a visitor's run, if there is one; ``overtaken``: because another one is wanted."""
        if watch := self._watches.pop(request.session_hash, None):
            watch.stop(overtaken)


def _shown_on(progress: gr.Progress) -> Callable[[float, str], None]:
    """A run's progress on the page, at most a hundred times."""
    shown = ("", -1.0)

    def show(share: float, what: str) -> None:
        nonlocal shown
        if what != shown[0] or share - shown[1] >= 0.01:  # Square asks thousands of times
            shown = (what, share)
            progress(share, desc=what)

    return show
