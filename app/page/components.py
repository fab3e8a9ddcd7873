"""Gradio's components where ours behave differently.

Gradio decodes pictures and refuses out-of-range values before a handler runs, in its own words: with those
here, the handler sees what the visitor sent, and says itself what is wrong with it. And Gradio calls every
picture that it hands out ``image.png``.
"""

from typing import Any

import anyio
import gradio as gr
from gradio.blocks import BlockFunction
from gradio.data_classes import Base64ImageData, ImageData
from gradio.mcp import GradioMCPServer
from gradio.processing_utils import save_pil_to_cache
from PIL import Image

from app import uploads
from app.handlers.errors import answered
from app.page.tools import Tools

Components = dict[str, Any]
"""By the names under which events and callbacks know them."""


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
    """

    _tools: Tools | None = None

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
        def is_picture(number: int) -> bool:
            return number < len(block_fn.inputs) and isinstance(block_fn.inputs[number], PictureFile)

        inputs = await anyio.to_thread.run_sync(answered(uploads.admit_all), inputs, is_picture)
        return await super().preprocess_data(block_fn, inputs, *args, **kwargs)


class PictureFile(gr.Image):
    """A picture whose file reaches the handler undecoded: what it holds, never its name.

    Where Gradio's own ``preprocess`` opens whatever ``path`` says (see :class:`GuardedBlocks`), decodes
    base64 with all that Pillow knows, PostScript included, and reports errors in its own words.
    """

    is_template = True

    @answered
    def preprocess(self, payload: ImageData | None) -> bytes | None:  # type: ignore[override]
        return None if payload is None else uploads.read(payload.path or "")

    def example_payload(self) -> Any:
        return {"path": "picture.png", "meta": {"_type": "gradio.FileData"}}

    def example_value(self) -> Any:
        return None


class Picture(gr.Image):
    """A picture that is downloaded under its ``elem_id``."""

    is_template = True

    def postprocess(self, value: Any) -> ImageData | Base64ImageData | None:
        if isinstance(value, Image.Image):
            value = save_pil_to_cache(
                value, self.GRADIO_CACHE, name=self.elem_id or "image", format=self.format
            )
        return super().postprocess(value)


class FreeSlider(gr.Slider):
    """A slider whose limits are the handler's to enforce."""

    is_template = True

    def preprocess(self, payload: float) -> float:
        return payload


class FreeDropdown(gr.Dropdown):
    """A dropdown whose choices are the handler's to enforce."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return payload


class FreeRadio(gr.Radio):
    """A radio group whose choices are the handler's to enforce."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return payload


class FreeNumber(gr.Number):
    """A number field whose limits are the handler's to enforce."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        return payload
