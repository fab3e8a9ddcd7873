"""Ctrl-C and SIGTERM, which a run answers at its next step."""

import signal
from types import FrameType
from typing import Any, Self


class Interrupts:
    """Turns the first Ctrl-C or SIGTERM into a flag, so that the run can save before it ends."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._catch)
        return self

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(number, self._previous[number])  # a second one ends the process at once

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
