"""The page over a lab: its parts laid out and wired, and how it is served."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.handlers.callbacks import Callbacks
from app.handlers.endpoints import Endpoints
from app.handlers.visitors import Visitors
from app.lab import Lab
from app.page import layout, sharing, text, tools, wiring
from app.page.components import GuardedBlocks
from app.places import PUBLISHED
from app.uploads import EXAMPLES, MAX_BYTES
from model.evaluate import published

FOLDER = Path(__file__).parent
STYLES = [FOLDER / "style.css", FOLDER / "views.css"]
SCRIPT = FOLDER / "page.js"
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]


def build_demo(lab: Lab) -> gr.Blocks:
    """The page over a lab. Theme, style sheets and script are given to ``launch``: :func:`launch_options`."""
    reports = published(PUBLISHED.reports)
    visitors = Visitors()
    callbacks, endpoints = Callbacks(lab, visitors, reports), Endpoints(lab, visitors)
    with GuardedBlocks(title=text.TITLE, fill_width=True, delete_cache=(3600, 3600)) as demo:
        gr.Markdown(text.INTRO, elem_id="intro")
        said = sharing.said()
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(text.ATTACK_TAB):
                gallery = layout.examples()
                with gr.Row():
                    with gr.Column(scale=1, min_width=300):
                        upload, controls = layout.controls(callbacks)
                        buttons = layout.buttons()
                    with gr.Column(scale=3, min_width=320):
                        shown = layout.results()
                        shared = sharing.layout()
                        layout.explanations(lab)
            with gr.Tab(text.REPORT_TAB, elem_id="report"):
                layout.reports(reports)
        wiring.wire_controls(callbacks, gallery, upload, controls, shown)
        wiring.wire_attack(demo, callbacks, controls, shown, buttons)
        sharing.wire(demo, upload, controls, shown, shared, said)
        wiring.wire_endpoints(lab, endpoints)
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
    # White on the theme's own orange is too pale to read.
    return gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )
