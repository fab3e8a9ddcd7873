"""What a run changes. Each function builds a part, and returns the components that others need."""

import gradio as gr

from app.opening import FIRST
from app.page import text
from app.page.components import Components, Picture
from app.page.controls import attackers


def stage() -> Components:
    """What happened, in one sentence, and the strip of pictures: all that is seen at first."""
    shown: Components = {
        "verdict": gr.Markdown(elem_id="verdict"),
        "outcomes": gr.State([], time_to_live=3600),
        "before": gr.State([], time_to_live=3600),
    }
    with gr.Row(elem_id="happening"):
        shown["status"] = gr.Markdown(text.OPENING, elem_id="status")
        shown["flip"] = gr.Button(
            text.FLIP_BUTTON, size="sm", visible=False, elem_id="flip", min_width=160, scale=0
        )
    with gr.Row(elem_id="strip", equal_height=False) as shown["strip"]:
        for name, title in text.STRIP.items():
            with gr.Column(min_width=130, elem_classes="item"):
                gr.Markdown(f"## {title}")
                # The picture is there before anything was computed of it.
                shown[name] = _picture(name, title, str(FIRST) if name == "original" else None)
                shown[f"{name}_notes"] = gr.HTML()
    shown["chart"] = gr.HTML(elem_id="chart")
    with gr.Column(visible=False, elem_id="attackers") as shown["compared"]:
        shown["attackers"] = gr.HTML()
        shown["detail"] = gr.Radio(attackers(), label=text.LABELS["detail"], elem_id="detail")
    return shown


def details() -> Components:
    """What else there is to see of a run, and to take home."""
    shown: Components = {}
    with gr.Column(visible=False, elem_id="details") as shown["results"]:
        with gr.Row(equal_height=False):
            shown |= _pairs() | _difference() | _numbers()
        shown |= _planes()
    return shown


def _pairs() -> Components:
    """Two pictures on top of each other."""
    shown: Components = {}
    left, right = text.PAIR
    choices = [(title, name) for name, title in text.PICTURES.items()]
    with gr.Column(scale=2, min_width=300):
        gr.Markdown(f"## {text.PAIR_HEADING}")
        with gr.Row():
            for name, value in (("left", left), ("right", right)):
                shown[name] = gr.Dropdown(
                    choices, value=value, label=text.LABELS[name], filterable=False, min_width=120,
                    elem_id=name,
                )  # fmt: skip
        shown["slider"] = gr.HTML(elem_id="slider")
    return shown


def _difference() -> Components:
    """What the codec changed of the picture."""
    shown: Components = {}
    with gr.Column(scale=2, min_width=260):
        title = text.DIFFERENCE_HEADING
        gr.Markdown(f"## {title}")
        shown["difference"] = _picture("difference", title)
        shown["difference_notes"] = gr.HTML()
    return shown


def _numbers() -> Components:
    """The run in figures, and as files."""
    shown: Components = {}
    with gr.Column(scale=2, min_width=260):
        gr.Markdown(f"## {text.NUMBERS_HEADING}")
        shown["numbers"] = gr.HTML()
        gr.Markdown(f"## {text.DOWNLOADS_HEADING}")
        for name, title in text.DOWNLOADS.items():
            shown[name] = gr.DownloadButton(title, size="sm", elem_id=name)
    return shown


def _planes() -> Components:
    """The code of both pictures, and the run as JSON."""
    shown: Components = {}
    gr.Markdown(f"## {text.PLANES_HEADING}")
    gr.HTML(text.LEGEND)
    with gr.Row(elem_id="planes"):
        for name, title in text.PLANES.items():
            with gr.Column(min_width=300):
                gr.Markdown(f"### {title}")
                shown[name] = _picture(name, title)
    with gr.Accordion(text.JSON_HEADING, open=False):
        shown["summary"] = gr.JSON(show_label=False)
    return shown


def _picture(name: str, title: str, value: str | None = None) -> Picture:
    """A result, exactly as it was computed."""
    return Picture(
        value,
        label=title,
        show_label=False,
        format="png",  # the default, webp, is lossy and would lose the perturbation
        interactive=False,
        elem_id=name,
        elem_classes="pixels",
        buttons=["download", "fullscreen"],
        alt_text=text.ALT_TEXTS[name],
    )
