"""The part of the page about links and code: what stands there, and what calls what."""

import json
from typing import Any

import gradio as gr

from app.handlers import sharing
from app.page import text
from app.page.components import Components
from app.page.happening import WISH
from app.page.wiring import QUICK
from app.snippets import HOME

COPY = f"(query) => lab.copyLink(query, {json.dumps(text.COPIED)}, {json.dumps(text.NOT_COPIED)})"
HERE = f"(code) => lab.here(code, {json.dumps(HOME)})"
SAVE = "(file) => lab.save(file)"
"""What ``page.js`` does in the browser."""


def layout() -> Components:
    """The run to take home, a link to what is chosen, and the same as code."""
    shared: Components = {}
    with gr.Accordion(text.SHARE_HEADING, open=False, elem_id="share") as shared["share"]:
        gr.Markdown(text.BUNDLE, elem_classes="hint")
        shared["keep"] = gr.Button(text.BUNDLE_BUTTON, size="sm", elem_id="keep")
        shared["bundle"] = gr.File(label=text.BUNDLE_FILE, visible=False)
        gr.Markdown(text.SHARE, elem_classes="hint")
        shared["hidden"] = gr.CheckboxGroup(
            [(title, name) for name, title in text.HIDEABLE.items()], label=text.HIDE, elem_id="hidden"
        )
        shared["copy"] = gr.Button(text.LINK_BUTTON, size="sm", elem_id="copy-link")
        shared["link"] = gr.Textbox(label=text.LINK, visible=False, lines=2, elem_id="link")
        shared["copied"] = gr.Markdown(elem_id="copied")
        shared["without"] = gr.Markdown(elem_classes="hint")
        shared["code"] = gr.Markdown(elem_id="code-here")
    return shared


def said() -> gr.Markdown:
    """Where the page says what of its address it could not use."""
    return gr.Markdown(visible=False, elem_id="left-out")


def wire(
    demo: gr.Blocks,
    upload: Components,
    controls: Components,
    shown: Components,
    shared: Components,
    said: gr.Markdown,
) -> Any:
    """Open the address, write it, and keep the code up to date with what was run; the event of the first."""
    chosen = [controls[name] for name in WISH]
    opened = {**controls, "about": upload["about"], "hidden": shared["hidden"], "said": said}
    opened_address = demo.load(
        sharing.open_address, None, [opened[name] for name in sharing.Opened._fields], **QUICK
    )
    # It is made when it is asked for: of a photograph that takes nearly half a second.
    shared["keep"].click(
        sharing.keep, [shown["outcomes"], shown["detail"]], shared["bundle"], **QUICK
    ).success(None, shared["bundle"], None, js=SAVE)
    shared["copy"].click(
        sharing.link, [*chosen, shared["hidden"]], [shared["link"], shared["without"]], **QUICK
    ).success(None, shared["link"], [shared["link"], shared["copied"]], js=COPY)
    gr.on(
        [shared["share"].expand, shown["summary"].change],
        sharing.code,
        chosen,
        shared["code"],
        trigger_mode="always_last",
        **QUICK,
    ).success(None, shared["code"], shared["code"], js=HERE)
    return opened_address
