"""The page as Gradio has it, but with a guard before each endpoint, and an ear behind it."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import anyio
import gradio as gr
from gradio.blocks import BlockFunction
from gradio.mcp import GradioMCPServer
from gradio.route_utils import get_fn
from gradio.state_holder import SessionState

from app import uploads
from app.handlers.errors import Refusal, answering, called, open_for
from app.images import ImageError
from app.page.components import PictureFile
from app.page.tools import Tools
from app.server.duty import Duty
from app.server.runs import Journal
from app.server.scope import BEGAN, REFUSED, scope_of

MOST_EVENTS = 1000
"""Calls that wait in all queues together; none of them is large."""
ENOUGH_ASKED = "Too many others are asking; try again later."


def _is_skipped(value: Any) -> bool:
    return isinstance(value, dict) and value == gr.skip()


def _takes_picture(fn: BlockFunction) -> Callable[[int], bool]:
    """Whether the input of a number is a picture."""
    return lambda number: number < len(fn.inputs) and isinstance(fn.inputs[number], PictureFile)


def _admitted(fn: BlockFunction, values: list[Any], event: Any) -> tuple[list[Any], Any]:
    """What a call and its event hold, as they may wait; what is refused says so when its turn comes."""
    try:
        uploads.check_plain(event, with_files=True)
        return uploads.admit_all(values, _takes_picture(fn)), event
    except ImageError as error:
        return [uploads.Refused(str(error))] * len(fn.inputs), None


class GuardedBlocks(gr.Blocks):
    """A page whose endpoints, public or private, are sent no file that :mod:`app.uploads` does not let pass.

    Gradio 6.31 leaves three things open before a component's ``preprocess``, whichever component it is; this
    class can go once they are mended there:

    - It checks that a path lies in its upload folder only where the JSON object also has ``meta``. Without
      it, the path reaches ``preprocess`` as it is: ``ImageData`` has no such check where ``FileData`` has
      one. ``gr.Image`` itself opens it, and so any picture that the server can read.
    - With ``meta``, it fetches a path that is an address of the web, in whatever field, without a limit to
      its size. Private addresses are refused, but not hosts of huggingface.co that resolve to such.
    - What it says when it refuses, ``InvalidPathError``, has the server's own paths in it.

    Its endpoints are tools of an MCP server by way of :class:`app.page.tools.Tools`, which closes a fourth.

    Attributes:
        duty: what is going on; while it closes, nothing that waits for its turn is begun any more.
        journal: is told what came of it.

    Args:
        leave: each is told the session of a client that does not wait for its events any more.
        most_waiting: how many calls may wait in a queue, by its ``concurrency_id``; of more, all are refused.
    """

    _tools: Tools | None = None

    def __init__(
        self,
        *args: Any,
        duty: Duty,
        journal: Journal,
        leave: Iterable[Callable[[str], None]] = (),
        most_waiting: Mapping[str, int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.duty, self.journal, self._leave = duty, journal, tuple(leave)
        self._most_waiting = most_waiting or {}
        super().__init__(*args, **kwargs)

    def queue(self, *args: Any, **kwargs: Any) -> Self:
        """Gradio's own, which forgets what waits of a client that has left, and lets what computes go on.

        What waits in it has passed the gate before: Gradio would keep whole bodies, pictures in base64 and
        all, until their turn comes.
        """
        kwargs.setdefault("max_size", MOST_EVENTS)
        super().queue(*args, **kwargs)
        forget, push = self._queue.clean_events, self._queue.push

        async def clean_events(*, session_hash: str | None = None, event_id: str | None = None) -> None:
            if session_hash is not None:
                for leave in self._leave:
                    leave(session_hash)
            await forget(session_hash=session_hash, event_id=event_id)

        async def push_admitted(body: Any, request: Any, username: str | None) -> Any:
            if body.fn_index is not None:
                fn = get_fn(self, None, body)
                queue = self._queue.event_queue_per_concurrency_id.get(fn.concurrency_id)
                if queue and len(queue.queue) >= self._most_waiting.get(fn.concurrency_id, math.inf):
                    return False, ENOUGH_ASKED, "queue_full"
                body.data, body.event_data = await anyio.to_thread.run_sync(
                    _admitted, fn, body.data, body.event_data
                )
            return await push(body, request, username)

        self._queue.clean_events = clean_events  # type: ignore[method-assign]
        self._queue.push = push_admitted  # type: ignore[method-assign]
        return self

    @property  # type: ignore[override]  # Gradio has an attribute
    def mcp_server_obj(self) -> GradioMCPServer | None:
        """What serves the tools. Gradio, which names its own class, sets it when it makes the application."""
        return self._tools

    @mcp_server_obj.setter
    def mcp_server_obj(self, server: GradioMCPServer | None) -> None:
        self._tools = None if server is None else Tools(self)

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], *args: Any, **kwargs: Any
    ) -> list[Any]:
        with called(str(block_fn.api_name), len(inputs), len(block_fn.inputs)):
            inputs = await anyio.to_thread.run_sync(uploads.admit_all, inputs, _takes_picture(block_fn))
            try:
                return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
            except Refusal:
                raise
            except gr.Error as error:  # Gradio's own, of a value that is none of a component's choices
                raise ValueError from error

    async def postprocess_data(
        self, block_fn: BlockFunction, predictions: list[Any] | dict[str, Any], state: SessionState | None
    ) -> list[Any]:
        """Gradio's own, for those outputs that change.

        Of one that is left as it is, Gradio 6.31 makes a new component and describes its values as a JSON
        schema, twice, in the thread that serves everybody: 22 ms for the 33 of a run, at each of its frames.
        """
        outputs = list(block_fn.outputs)
        if not isinstance(predictions, list | tuple) or len(predictions) != len(outputs):
            return await super().postprocess_data(block_fn, predictions, state)
        changed = [number for number, value in enumerate(predictions) if not _is_skipped(value)]
        found: list[Any] = [None if output.stateful else gr.skip() for output in outputs]
        if changed:
            fewer = copy.copy(block_fn)
            fewer.outputs = [outputs[number] for number in changed]
            values = [predictions[number] for number in changed]
            ready = await super().postprocess_data(fewer, values[0] if len(values) == 1 else values, state)
            for number, value in zip(changed, ready, strict=True):
                found[number] = value
        return found

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Gradio's own, but all its errors are sentences; what waits for its turn is counted and told of."""
        fn = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        queued, endpoint = bool(fn.queue), str(fn.api_name)
        try:
            with answering():  # what Gradio itself does not manage, too
                if not queued:
                    return await super().process_api(fn, inputs, *args, **kwargs)
                if not kwargs.get("iterator"):
                    open_for(not self.duty.is_closing)
                with self.duty.working():
                    return await super().process_api(fn, inputs, *args, **kwargs)
        except Refusal:
            scope_of(kwargs.get("request"))[REFUSED] = True
            if queued:
                self.journal.ended(endpoint, "refused")
            raise
        except gr.Error:
            self.journal.ended(endpoint, "failed")
            raise

    async def call_function(
        self,
        block_fn: BlockFunction | int,
        processed_input: list[Any],
        iterator: Any = None,
        requests: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, Any]:
        fn = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        endpoint = str(fn.api_name)
        if not fn.queue:  # a few lines of the page, which are not ready for whatever a stranger sends
            with called(endpoint, len(processed_input), len(fn.inputs)):
                return await super().call_function(fn, processed_input, iterator, requests, *args, **kwargs)
        scope = scope_of(requests)
        scope.setdefault(BEGAN, time.monotonic())
        result = await super().call_function(fn, processed_input, iterator, requests, *args, **kwargs)
        self.journal.tell(endpoint, result["prediction"], scope)
        return result
