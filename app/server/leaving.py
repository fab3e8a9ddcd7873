"""Who has left: a client that does not wait any more for what it asked for, whose work can end."""

import threading
from collections.abc import Callable
from typing import Any

from app.server.scope import LEAVING, scope_of


class Leaving:
    """What is to be done when the client of one request leaves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acts: list[Callable[[], None]] = []
        self._has_left = False

    def then(self, act: Callable[[], None]) -> None:
        """Do that when it leaves; at once, where it has."""
        with self._lock:
            if not self._has_left:
                self._acts.append(act)
                return
        act()

    def leave(self) -> None:
        """It has left."""
        with self._lock:
            self._has_left = True
            acts, self._acts = self._acts, []
        for act in acts:
            act()


def leaving_of(request: Any) -> Leaving | None:
    """What a handler's request, Gradio's, has of it: nothing where the queue stands between the two."""
    found: Leaving | None = scope_of(request).get(LEAVING)
    return found
