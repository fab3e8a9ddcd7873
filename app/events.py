"""What long work tells while it goes on: a generator of these, and of whatever it finds."""

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from app.scenario import Prediction, Step

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """How far it is."""

    share: float
    """How much of what is at work now is done, in [0,1]."""
    what: str
    """What that is, for the visitor."""


@dataclass(frozen=True)
class Frame:
    """An attack between two of its steps. Pictures have shape (1,3,H,W), codes (1,K,h,w)."""

    step: int
    """How many steps were taken."""
    steps: int
    """How many there will be."""
    original: Tensor
    adversarial: Tensor
    """The picture so far, as it would be rounded: multiples of 1/255 inside the ball."""
    code_original: Tensor
    code_adversarial: Tensor
    defended_adversarial: Tensor
    bare: Prediction
    """What the classifier says of the picture so far."""
    defended: Prediction
    """What it says of its reconstruction."""
    trail: tuple[Step, ...]
    """From the original to this step."""


@dataclass(frozen=True)
class _Done(Generic[T]):
    found: T


@dataclass(frozen=True)
class _Failed:
    error: BaseException


def streamed(
    work: Callable[[Callable[[Progress | Frame], None]], T], stop: Callable[[], None]
) -> Iterator[Progress | Frame | T]:
    """Work in a thread of its own; what it tells meanwhile, then what it found.

    The work does not wait for whoever listens. Who listens slowly gets the latest event of each kind only.

    Args:
        work: is given a function to tell events to.
        stop: makes the work end soon; called where nobody listens any more.
    """
    told: queue.SimpleQueue[Progress | Frame | _Done[T] | _Failed] = queue.SimpleQueue()

    def run() -> None:
        try:
            told.put(_Done(work(told.put)))
        except BaseException as error:  # noqa: BLE001 - raised again where it is listened
            told.put(_Failed(error))

    # Whose request it is, which Gradio keeps in the context, is asked where a GPU is lent.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    try:
        while True:
            waiting = [told.get()]
            while not told.empty():
                waiting.append(told.get())
            latest = {type(event): event for event in waiting}
            for event in latest.values():
                if isinstance(event, _Failed):
                    raise event.error
                if isinstance(event, _Done):
                    yield event.found
                    return
                yield event
    finally:
        if thread.is_alive():
            stop()
            thread.join()
