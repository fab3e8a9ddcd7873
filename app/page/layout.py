"""What the page says without a run: explanations, and the reports."""

from typing import Any

import gradio as gr

from app import svg
from app.lab import Lab
from app.page import text
from app.places import PUBLISHED
from model.cards import page_text
from model.evaluate.cells import failed_checks
from model.evaluate.markdown import brief, details, headline
from model.evaluate.publish import SHEET
from model.files import read_json
from model.zoo import CODECS

Components = dict[str, Any]
"""By the names under which events and callbacks know them."""


def explanations(lab: Lab) -> None:
    """What the page says without a run: how ComDefend works, where it fails, how its codecs were trained."""
    with gr.Row():
        with gr.Column(min_width=300):
            gr.Markdown(f"## {text.HOW_HEADING}\n{text.HOW}")
            for shape in dict.fromkeys(svg.networks(lab.codec(name).config) for name in CODECS):
                gr.HTML(shape)
        with gr.Column(min_width=300):
            gr.Markdown(f"## {text.FAILS_HEADING}\n{text.FAILS}")
    for name, entry in CODECS.items():
        with gr.Accordion(text.TRAINED.format(name, entry.about), open=False):
            gr.HTML(svg.training(entry.folder))
            history = entry.folder / "history.json"
            if history.is_file():
                gr.Markdown(page_text(lab.codec(name).config, read_json(history)))


def reports(published: dict[str, Any]) -> None:
    """What was measured on many pictures, worst first, by classifier."""
    for name, report in published.items():
        gr.Markdown(f"## `{name}`: {report['about']}")
        gr.Markdown(headline(report))
        if failed := failed_checks(report):
            gr.Markdown("\n".join([text.FAILED_CHECKS, "", *(f"- {check}" for check in failed)]))
        gr.Markdown(brief(report), elem_classes="report")
        folder = PUBLISHED.reports / name
        gr.HTML(svg.of_report(folder))
        sheet = folder / SHEET
        if sheet.is_file():
            gr.Image(
                str(sheet),
                label=text.SHEET,
                alt_text=text.SHEET_ALT,
                format="png",
                interactive=False,
                buttons=["fullscreen"],
                elem_classes="sheet",
            )
        with gr.Accordion(text.EVERYTHING.format(name), open=False):
            gr.Markdown(details(report), elem_classes="report")
