"""What a visitor is told when something cannot be done. The only place that raises gr.Error."""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import gradio as gr

from app.images import ImageError
from app.scenario import ScenarioError
from app.server.gate import FAILED
from model.attacks import AttackCancelled, AttackError
from model.files import WeightsError
from model.zoo import UnknownClassifierError

P = ParamSpec("P")
T = TypeVar("T")
CLOSING = "The lab is about to restart and takes no new runs; try again in a minute."
DESCRIBED = "/gradio_api/info says what it takes."
LONGEST_SENTENCE = 1000
"""Characters; the longest of ours lists all names of a kind."""
log = logging.getLogger(__name__)


class Refusal(gr.Error):
    """A visitor asked for what cannot be done: the sentence says why, and nothing is wrong with the lab."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, print_exception=False)


def answered(handler: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors that a visitor can cause into one sentence; log all others in full."""

    @functools.wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with answering():
            return handler(*args, **kwargs)

    return wrapper


def answered_stream(handler: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """The same for a handler that is a generator, whose errors come while it is gone through."""

    @functools.wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        with answering():
            yield from handler(*args, **kwargs)

    return wrapper


@contextmanager
def answering() -> Iterator[None]:
    """The same for a block of code."""
    try:
        yield
    except gr.Error:
        raise
    except Exception as error:
        raise explained(error) from error


@contextmanager
def called(endpoint: str, given: int, wanted: int) -> Iterator[None]:
    """What comes before a handler, in which Gradio's own errors name objects and files of the server.

    Args:
        endpoint: its name.
        given: how many values the call has.
        wanted: how many the endpoint takes.
    """
    if given < wanted:
        raise Refusal(f"{endpoint} takes {wanted} values, and got {given}; {DESCRIBED}")
    try:
        yield
    except gr.Error:
        raise
    except ImageError as error:
        raise Refusal(_sentence(error)) from error
    except Exception as error:
        log.info("a call of %s does not fit: %s", endpoint, type(error).__name__)
        raise Refusal(
            f"A value in this call is not of the kind that {endpoint} takes; {DESCRIBED}"
        ) from error


def open_for(so: bool) -> None:
    """Refuse new work where it is not so that it can be taken."""
    if not so:
        raise Refusal(CLOSING)


def explained(error: Exception) -> gr.Error:
    """What a visitor is told of an error: a refusal, or else a mistake of ours, which is logged."""
    if isinstance(error, AttackCancelled):
        return Refusal("This run was stopped.")
    if isinstance(error, ImageError | AttackError | ScenarioError | UnknownClassifierError):
        return Refusal(_sentence(error))
    if isinstance(error, WeightsError):
        log.error("weights do not load", exc_info=error)
        repair = f" Repair: {error.repair}" if error.repair else " Choose another for now."
        return gr.Error(_sentence(error) + repair, print_exception=False)
    log.error("a handler failed", exc_info=error)
    return gr.Error(FAILED, print_exception=False)


def warned(error: Exception) -> str:
    """The same for a handler that goes on: the sentence, which the visitor also gets as a message."""
    sentence = str(explained(error).message)
    gr.Warning(sentence)
    return sentence


def _sentence(error: Exception) -> str:
    text = str(error)
    if len(text) > LONGEST_SENTENCE:  # it repeats what a stranger has sent
        text = text[:LONGEST_SENTENCE] + " …"
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
