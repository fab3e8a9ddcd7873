"""What a visitor is told when something cannot be done. The only place that raises gr.Error."""

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        with _told():
            return handler(*args, **kwargs)

    return wrapper


def answered_stream(handler: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """The same for a handler that is a generator, whose errors come while it is gone through."""

    @functools.wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        with _told():
            yield from handler(*args, **kwargs)

    return wrapper


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except AttackCancelled:
        raise gr.Error("This run was stopped.", print_exception=False) from None
    except (ImageError, AttackError, ScenarioError, UnknownClassifierError) as error:
        raise gr.Error(_sentence(error), print_exception=False) from error
    except WeightsError as error:
        log.exception("weights do not load")
        repair = f" Repair: {error.repair}" if error.repair else " Choose another for now."
        raise gr.Error(_sentence(error) + repair, print_exception=False) from error
    except gr.Error:
        raise
    except Exception as error:
        log.exception("a handler failed")
        raise gr.Error("Something went wrong on our side; the log has the details.") from error


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
