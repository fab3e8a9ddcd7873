"""The page as Gradio has it, but with a guard before each endpoint, and an ear behind it."""

import time
from typing import Any

import anyio
import gradio as gr
from gradio.blocks import BlockFunction

from app import uploads
from app.handlers.errors import Refusal, answering, called, open_for
from app.page.components import PictureFile
from app.server.duty import Duty
from app.server.gate import REFUSED
from app.server.runs import ARRIVED, Journal


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

    Attributes:
        duty: what is going on; while it closes, nothing that waits for its turn is begun any more.
        journal: is told what came of it.
    """

    def __init__(self, *args: Any, duty: Duty, journal: Journal, **kwargs: Any) -> None:
        self.duty, self.journal = duty, journal
        super().__init__(*args, **kwargs)

    async def preprocess_data(
        self, block_fn: BlockFunction, inputs: list[Any], *args: Any, **kwargs: Any
    ) -> list[Any]:
        def is_picture(number: int) -> bool:
            return number < len(block_fn.inputs) and isinstance(block_fn.inputs[number], PictureFile)

        with called(str(block_fn.api_name), len(inputs), len(block_fn.inputs)):
            inputs = await anyio.to_thread.run_sync(uploads.admit_all, inputs, is_picture)
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Gradio's own, but all its errors are sentences; what waits for its turn is counted and told of."""
        fn = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        queued, endpoint = bool(fn.queue), str(fn.api_name)
        scope = getattr(getattr(kwargs.get("request"), "request", None), "scope", None)
        try:
            with answering():  # what Gradio itself does not manage, too
                if not queued:
                    return await super().process_api(fn, inputs, *args, **kwargs)
                if not kwargs.get("iterator"):
                    open_for(not self.duty.is_closing)
                with self.duty.working():
                    return await super().process_api(fn, inputs, *args, **kwargs)
        except Refusal:
            if scope is not None:
                scope[REFUSED] = True
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
        endpoint, began = str(fn.api_name), time.monotonic()
        if not fn.queue:  # a few lines of the page, which are not ready for whatever a stranger sends
            with called(endpoint, len(processed_input), len(fn.inputs)):
                return await super().call_function(fn, processed_input, iterator, requests, *args, **kwargs)
        result = await super().call_function(fn, processed_input, iterator, requests, *args, **kwargs)
        http = getattr(requests, "request", None)
        arrived = None if http is None else http.scope.get(ARRIVED)
        self.journal.tell(endpoint, result["prediction"], began, arrived)
        return result
