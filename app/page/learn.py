"""The tab "How it works": five sections, whose pictures come once the lab has made them."""

from collections.abc import Mapping

import gradio as gr

from app import exhibits, svg
from app.handlers.learning import Learning
from app.lab import Lab
from app.page import text
from app.page.components import Components, FreeRadio
from app.page.wiring import QUICK
from app.reports import remains
from model.cards import page_text
from model.evaluate.cells import Report
from model.files import read_json
from model.zoo import CODECS, FAITHFUL

ASK_AGAIN_SECONDS = 1.5


def build(tab: gr.Tab, lab: Lab, learning: Learning, reports: Mapping[str, Report]) -> None:
    """What stands in the tab, and what is asked for when a visitor opens it."""
    status = gr.Markdown(text.LESSON_PENDING, elem_id="lesson-status")
    at_once = {
        "codec": exhibits.through_codec(lab.codec(FAITHFUL).config, None),
        "failures": exhibits.failures(remains(reports)),
    }
    shown: Components = {}
    for name, words in text.LESSONS.items():
        with gr.Row(elem_classes="lesson"):
            with gr.Column(scale=2, min_width=300):
                gr.Markdown(words)
                if name == "codec":
                    codec = _codec_choice()
            with gr.Column(scale=3, min_width=300):
                shown[name] = gr.HTML(at_once.get(name), padding=False, elem_id=f"lesson-{name}")
    _trainings(lab)

    seen, timer = gr.State(False), gr.Timer(ASK_AGAIN_SECONDS, active=False)
    gr.on(
        [tab.select, timer.tick],
        learning.lesson,
        [seen, codec],
        [seen, timer, status, *(shown[name] for name in exhibits.LessonView._fields)],
        **QUICK,
    )
    codec.input(learning.codec, codec, shown["codec"], trigger_mode="always_last", **QUICK)


def _codec_choice() -> FreeRadio:
    described = [(f"{name}: {entry.about}", name) for name, entry in CODECS.items()]
    return FreeRadio(described, value=FAITHFUL, label=text.LESSON_CODEC, elem_id="lesson-of")


def _trainings(lab: Lab) -> None:
    """How each codec came to be."""
    for name, entry in CODECS.items():
        if entry.fetched is not None:
            continue  # its drawing is somebody else's, and a drawing can hold a script
        with gr.Accordion(text.TRAINED.format(name, entry.about), open=False):
            gr.HTML(svg.training(entry.folder))
            history = entry.folder / "history.json"
            if history.is_file():
                gr.Markdown(page_text(lab.codec(name).config, read_json(history)))
