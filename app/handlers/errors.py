"""What a visitor is told when something cannot be done. The only place that raises gr.Error."""

import functools
import logging
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import gradio as gr

from app.images import ImageError
from app.scenario import ScenarioError
from model.attacks import AttackCancelled, AttackError
from model.files import WeightsError
from model.zoo import UnknownClassifierError

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)


def answered(handler: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors that a visitor can cause into one sentence; log all others in full."""

    @functools.wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return handler(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            raise _told(error) from error

    return wrapper


def answered_stream(handler: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """The same for a handler that is a generator, whose errors come while it is gone through."""

    @functools.wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        try:
            yield from handler(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            raise _told(error) from error

    return wrapper


def _told(error: Exception) -> gr.Error:
    sentence, is_ours = explained(error)
    return gr.Error(sentence, print_exception=is_ours)


def explained(error: Exception) -> tuple[str, bool]:
    """What a visitor is told of an error, and whether it is our own mistake; if it is, it is logged."""
    if isinstance(error, AttackCancelled):
        return "This run was stopped.", False
    if isinstance(error, ImageError | AttackError | ScenarioError | UnknownClassifierError):
        return _sentence(error), False
    if isinstance(error, WeightsError):
        log.error("weights do not load", exc_info=error)
        repair = f" Repair: {error.repair}" if error.repair else " Choose another for now."
        return _sentence(error) + repair, False
    log.error("a handler failed", exc_info=error)
    return "Something went wrong on our side; the log has the details.", True


def warned(error: Exception) -> str:
    """The same for a handler that goes on: the sentence, which the visitor also gets as a message."""
    sentence, _ = explained(error)
    gr.Warning(sentence)
    return sentence


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
