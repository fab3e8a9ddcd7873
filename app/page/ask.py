"""The part of the page that asks more: its four questions, laid out and wired."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.handlers.asking import Asking
from app.page import ask_text, text
from app.page.components import Components
from app.page.wiring import QUICK

LONG_QUEUE: dict[str, Any] = {"concurrency_limit": 2, "concurrency_id": "ask"}
"""Options of the questions: they take turns with runs, step by step, and need not wait in the runs' queue."""
SHORT_QUEUE: dict[str, Any] = {"concurrency_limit": 4, "concurrency_id": "ask-again"}
"""Options of what takes less than a run, and so does not wait for the questions."""
BREAKING_INPUTS = ("image", "classifier", "attack", "steps", "target", "seed", "codec", "planes")
FIFTY_INPUTS = ("classifier", "attack", "steps", "seed", "codec", "planes")
"""The controls, in the order of the parameters of ``Asking.until_it_breaks`` and ``Asking.fifty``."""
SCRIPT = Path(__file__).with_name("ask.js").read_text(encoding="utf-8")
PRESS_RUN = "() => document.querySelector('#ask-row [data-rerun]') && document.getElementById('run').click()"
"""A codec's line was chosen, and stands in the controls: it is run."""
FOCUS = "() => lab.focus('{}')"
BACK = "() => {{ if (document.activeElement === document.body) lab.focus('{}'); }}"
"""The stop button had the focus and is gone."""


def ask() -> Components:
    """The four questions, folded, each in a tab of its own."""
    asked: Components = {"looked_at": gr.State(False)}
    with gr.Accordion(ask_text.HEADING, open=False, elem_id="ask"), gr.Tabs(elem_id="ask-tabs") as tabs:
        asked["tabs"] = tabs
        with gr.Tab(ask_text.TABS["breaking"]):
            asked |= _question("breaking")
            asked["strengths"] = gr.HTML(elem_id="ask-strengths")
        with gr.Tab(ask_text.TABS["defences"]):
            asked |= _question("defences")
            asked["table"] = gr.HTML(js_on_load=SCRIPT, elem_id="ask-defences")
            asked["row"] = gr.HTML(elem_id="ask-row")
            asked["survey"] = gr.State(None, time_to_live=3600)
        with gr.Tab(ask_text.TABS["fifty"]):
            asked |= _question("fifty")
            asked["curves"] = gr.HTML(elem_id="ask-fifty")
        with gr.Tab(ask_text.TABS["planes"]):
            asked |= _question("planes")
            asked["tiles"] = gr.HTML(js_on_load=SCRIPT, elem_id="ask-planes")
            asked["without"] = gr.HTML(elem_id="ask-without")
    return asked


def _question(name: str) -> Components:
    """What a question is, what starts and ends it, and how far it is."""
    gr.Markdown(ask_text.ABOUT[name], elem_classes="hint")
    with gr.Row(elem_classes="ask-actions"):
        start = gr.Button(
            ask_text.START[name], variant="primary", size="sm", min_width=160, elem_id=f"ask-{name}-start"
        )
        stop = gr.Button(
            text.STOP_BUTTON,
            variant="stop",
            size="sm",
            min_width=80,
            visible=False,
            elem_id=f"ask-{name}-stop",
        )
    status = gr.HTML(elem_id=f"ask-{name}-status")
    return {f"{name}_start": start, f"{name}_stop": stop, f"{name}_status": status}


def wire(demo: gr.Blocks, asking: Asking, asked: Components, controls: Components, shown: Components) -> None:
    """The events of the four questions.

    Args:
        controls: under the names of ``BREAKING_INPUTS``; a codec's line changes ``codec`` and ``planes``.
        shown: ``outcomes`` are the runs that are shown, ``detail`` whose of them is shown in detail, and
            ``numbers`` changes with each run.
    """
    runs = [shown["outcomes"], shown["detail"]]
    _wire_question(
        "breaking",
        asking,
        asked,
        asking.until_it_breaks,
        [controls[name] for name in BREAKING_INPUTS],
        [asked["strengths"]],
    )
    _wire_question("defences", asking, asked, asking.defences, runs, [asked["table"], asked["survey"]])
    _wire_question(
        "fifty", asking, asked, asking.fifty, [controls[name] for name in FIFTY_INPUTS], [asked["curves"]]
    )
    _wire_question("planes", asking, asked, asking.carried, runs, [asked["tiles"]])
    asked["table"].select(
        asking.choose, asked["survey"], [asked["row"], controls["codec"], controls["planes"]], **QUICK
    ).success(None, js=PRESS_RUN)
    tiles = [asked["tiles"], asked["without"]]
    asked["tabs"].select(asking.look, runs, [asked["looked_at"], *tiles], **QUICK)
    # Not by the change of `outcomes`: Gradio would hash the pictures, and cannot.
    gr.on(
        [shown["numbers"].change, shown["detail"].change],
        asking.planes,
        [asked["looked_at"], *runs],
        tiles,
        trigger_mode="always_last",
        **QUICK,
    )
    asked["tiles"].select(
        asking.without,
        runs,
        asked["without"],
        trigger_mode="always_last",
        show_progress="hidden",
        api_visibility="private",
        **SHORT_QUEUE,
    )
    demo.unload(asking.leave)


def _wire_question(
    name: str, asking: Asking, asked: Components, handler: Any, inputs: list[Any], outputs: list[Any]
) -> None:
    """A question's buttons."""
    start, stop, status = (asked[f"{name}_{part}"] for part in ("start", "stop", "status"))

    def running(is_so: bool) -> list[Any]:
        return [gr.update(interactive=not is_so), gr.update(visible=is_so)]

    begun = start.click(lambda: running(True), None, [start, stop], **QUICK)
    going = begun.then(
        handler,
        inputs,
        [status, *outputs],
        show_progress="hidden",
        api_visibility="private",
        **LONG_QUEUE,
    )
    begun.then(None, js=FOCUS.format(f"ask-{name}-stop"))
    stopped = stop.click(asking.stop, None, status, cancels=[going], **QUICK)
    for ended in (going.success, going.failure, stopped.then):
        ended(lambda: running(False), None, [start, stop], **QUICK).then(
            None, js=BACK.format(f"ask-{name}-start")
        )
