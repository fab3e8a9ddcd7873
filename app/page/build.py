"""The page over a lab: its parts laid out and wired, and how it is served."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.handlers.asking import ASK_SECONDS, Asking
from app.handlers.callbacks import Callbacks
from app.handlers.endpoints import Endpoints
from app.handlers.learning import Learning
from app.handlers.running import Running
from app.handlers.visitors import Visitors
from app.lab import Lab
from app.lessons import Lessons
from app.opening import Opening
from app.page import ask, happening, learn, report, results, sharing, text, tools, wiring
from app.page import controls as parts
from app.page.components import GuardedBlocks
from app.places import PUBLISHED
from app.uploads import EXAMPLES, MAX_BYTES
from model.evaluate import published

FOLDER = Path(__file__).parent
STYLES = [FOLDER / f"{name}.css" for name in ("style", "views", "learn", "ask", "planes")]
SCRIPT = FOLDER / "page.js"
RED = "#b91c1c"
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]


PREPARE = "() => lab.prepare()"
"""What ``page.js`` does in the browser, once the page is there."""


def build_demo(lab: Lab, opening: Opening | None = None, lessons: Lessons | None = None) -> gr.Blocks:
    """The page over a lab. Theme, style sheets and script are given to ``launch``: :func:`launch_options`.

    Args:
        lab: what computes.
        opening: the run that the page opens with, once somebody computes it.
        lessons: the lab's; what is not given begins when a visitor wants to see it.
    """
    reports = published(PUBLISHED.reports)
    visitors = Visitors()
    callbacks, endpoints = Callbacks(visitors), Endpoints(lab, visitors)
    opening = opening or Opening(lab)
    running = Running(lab, visitors, opening, reports)
    learning = Learning(lab, lessons or Lessons(lab, opening), reports)
    with GuardedBlocks(title=text.TITLE, fill_width=True, delete_cache=(3600, 3600)) as demo:
        gr.Markdown(text.INTRO, elem_id="intro")
        said = sharing.said()
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(text.ATTACK_TAB):
                with gr.Row(elem_id="bench", equal_height=False):
                    with gr.Column(scale=1, min_width=300, elem_id="controls"):
                        upload, controls, start = parts.controls(callbacks)
                    with gr.Column(scale=4, min_width=320, elem_id="stage"):
                        shown = results.stage()
                shown |= results.details()
                asked = ask.ask()
                shared = sharing.layout()
            with gr.Tab(text.REPORT_TAB, elem_id="report"):
                report.build(learning, reports)
            with gr.Tab(text.LEARN_TAB, elem_id="learn") as tab:
                learn.build(tab, lab, learning, reports)
        wiring.wire_controls(callbacks, upload, controls)
        upload["opened"] = sharing.wire(demo, upload, controls, shown, shared, said)
        happening.wire_runs(demo, running, callbacks, upload, controls, start, shown)
        asking = Asking(lab, Visitors(ASK_SECONDS), reports)
        ask.wire(demo, asking, asked, controls, shown)
        wiring.wire_endpoints(lab, endpoints)
        demo.load(None, js=PREPARE)
    return demo


def launch_options() -> dict[str, Any]:
    """What ``launch`` is told, besides where to listen."""
    return {
        "theme": theme(),
        "css_paths": STYLES,
        "head": f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>",
        "show_error": True,
        "max_file_size": MAX_BYTES,
        "ssr_mode": False,
        "run_history": False,
        "mcp_server": tools.wanted(),
        "footer_links": ["api"],
        # Gradio serves files of the current directory only, which need not be the repository.
        "allowed_paths": [str(EXAMPLES)],
    }


def theme() -> gr.themes.Base:
    """System fonts only: the page asks no other host for anything."""
    # The theme's own grey on white, and white on its orange and red, are too pale to read.
    return gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]).set(
        body_text_color_subdued="*neutral_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_cancel_background_fill=RED,
        button_cancel_background_fill_dark=RED,
        button_cancel_background_fill_hover=RED,
        button_cancel_background_fill_hover_dark=RED,
    )
