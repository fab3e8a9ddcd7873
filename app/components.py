"""Gradio's components, less their own judgement of what comes in.

Gradio decodes pictures and refuses out-of-range values before a handler runs, in its own words.
Here the handler sees what the visitor sent, and says itself what is wrong with it.
"""

from typing import Any

import gradio as gr
from gradio.data_classes import ImageData


class PictureFile(gr.Image):
    """A picture whose file reaches the handler untouched, as a path."""

    is_template = True

    def preprocess(self, payload: ImageData | None) -> str | None:
        if payload is None or payload.path is None:
            return super().preprocess(payload)  # type: ignore[return-value]
        return payload.path


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
