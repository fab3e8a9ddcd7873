"""A server from its start to its end, whatever ends it."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from app.server.duty import Duty

if TYPE_CHECKING:
    import gradio as gr

FETCHING_SECONDS = 1.5
"""A page fetches the pictures of a run after it was told that they are there."""
STOPPING_SECONDS = 5
"""How long a run takes to notice that it is stopped: it is asked at each layer of the networks."""


class Signals:
    """What the process was told by signals: to end, and how soon."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.hurry = threading.Event()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """SIGTERM asks to end, Ctrl-C or whatever comes second to do so at once. Needs the main thread."""
        wanted = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self._hear) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT or self.told.is_set():
            self.hurry.set()
        self.told.set()


def serve(demo: "gr.Blocks", duty: Duty, closing_seconds: float, **options: Any) -> bool:
    """Serve until a signal ends it; then finish what is going, and refuse what is new.

    Args:
        duty: what goes on there.
        closing_seconds: how long a run may take to end; then it is ended.
        options: of ``launch``.

    Returns:
        Whether nothing goes on any more. Else the process is to end by :func:`os._exit`: a thread that
        computes cannot be ended otherwise, and libraries that are taken down under it abort.

    Raises:
        OSError: the port is taken, say.
    """
    signals = Signals()
    with signals.heard():
        # Gradio asks for its own page then, waits three seconds, and gives up where a machine is busy.
        demo.launch(prevent_thread_lock=True, _frontend=False, **options)
        while not signals.told.wait(1):  # a wait without an end is deaf to signals on some systems
            pass
        had_work = duty.going > 0
        duty.close()
        print("Closing: no new runs are taken.", flush=True)  # noqa: T201
        is_idle = duty.is_idle_within(closing_seconds, signals.hurry.is_set)
        if not is_idle:
            duty.stop()
            is_idle = duty.is_idle_within(STOPPING_SECONDS)
        if had_work and not signals.hurry.is_set():
            time.sleep(FETCHING_SECONDS)
        demo.close(verbose=False)
        return is_idle
