"""Gradio's components where ours behave differently.

Gradio decodes pictures and refuses out-of-range values before a handler runs, in its own words: with those
here, the handler sees what the visitor sent, and says itself what is wrong with it. And Gradio calls every
picture that it hands out ``image.png``.
"""

from typing import Any

import gradio as gr
from gradio.data_classes import Base64ImageData, ImageData
from gradio.processing_utils import save_pil_to_cache
from PIL import Image

from app import uploads
from app.handlers.errors import answered

Components = dict[str, Any]
"""By the names under which events and callbacks know them."""


class PictureFile(gr.Image):
    """A picture whose file reaches the handler undecoded: what it holds, never its name.

    Where Gradio's own ``preprocess`` opens whatever ``path`` says (see :mod:`app.page.guard`), decodes base64
    with all that Pillow knows, PostScript included, and reports errors in its own words.
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
