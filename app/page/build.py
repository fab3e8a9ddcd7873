"""The page over a lab: its parts laid out and wired, and how it is served."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from gradio.route_utils import FnIndexInferError
from starlette.middleware import Middleware

from app import settings
from app.handlers.callbacks import Callbacks
from app.handlers.endpoints import Endpoints
from app.handlers.visitors import Visitors
from app.lab import Lab
from app.page import layout, text, wiring
from app.page.guard import GuardedBlocks
from app.places import PUBLISHED
from app.server.duty import Duty
from app.server.gate import Gate, unreadable
from app.server.routes import UPLOAD
from app.server.runs import Journal
from app.uploads import EXAMPLES
from model.evaluate import published

FOLDER = Path(__file__).parent
STYLES = [FOLDER / "style.css", FOLDER / "views.css"]
SCRIPT = FOLDER / "page.js"
FORM_BYTES = 64 * 1024
"""What a form may have besides the file that is uploaded by it."""
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]


def build_demo(lab: Lab, visitors: Visitors | None = None) -> GuardedBlocks:
    """The page over a lab. Theme, style sheets and script are given to ``launch``: :func:`launch_options`."""
    reports = published(PUBLISHED.reports)
    visitors = visitors or Visitors()
    callbacks, endpoints = Callbacks(lab, visitors, reports), Endpoints(lab, visitors)
    kept = settings.limits.kept_seconds
    with GuardedBlocks(
        title=text.TITLE,
        fill_width=True,
        delete_cache=(kept, kept),
        analytics_enabled=False,
        duty=Duty(),
        journal=Journal(),
    ) as demo:
        gr.Markdown(text.INTRO, elem_id="intro")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(text.ATTACK_TAB):
                gallery = layout.examples()
                with gr.Row():
                    with gr.Column(scale=1, min_width=300):
                        upload, controls = layout.controls(callbacks)
                        buttons = layout.buttons()
                    with gr.Column(scale=3, min_width=320):
                        shown = layout.results()
                        layout.explanations(lab)
            with gr.Tab(text.REPORT_TAB, elem_id="report"):
                layout.reports(reports)
        wiring.wire_controls(callbacks, gallery, upload, controls, shown)
        wiring.wire_attack(demo, callbacks, controls, shown, buttons)
        wiring.wire_endpoints(lab, endpoints)
    return demo


def launch_options(health: Callable[[], dict[str, Any]] = lambda: {"status": "ok"}) -> dict[str, Any]:
    """What ``launch`` is told, besides where to listen.

    Args:
        health: what is answered to who asks how the server is: :func:`health_of`.
    """
    return {
        "theme": theme(),
        "css_paths": STYLES,
        "head": f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>",
        "show_error": True,
        "max_file_size": settings.limits.file_bytes,
        "ssr_mode": False,
        "run_history": False,
        "footer_links": ["api"],
        "enable_monitoring": False,
        "app_kwargs": {
            "middleware": [
                Middleware(Gate, max_body=max_body, health=health, bad_calls=(FnIndexInferError,))
            ],
            "exception_handlers": {RequestValidationError: unreadable},
        },
        # Gradio serves files of the current directory only, which need not be the repository.
        "allowed_paths": [str(EXAMPLES)],
    }


def max_body(path: str) -> int:
    """The most bytes of a request's body: a file with its form, or a call with a file in base64."""
    limits = settings.limits
    if path == UPLOAD:
        return limits.file_bytes + FORM_BYTES
    return limits.file_bytes * 4 // 3 + limits.call_kilobytes * 1024


def health_of(demo: GuardedBlocks, lab: Lab) -> dict[str, Any]:
    """How a server is, for those who watch over it: nothing of its visitors."""
    return {
        "status": "closing" if demo.duty.is_closing else "ok",
        "models": lab.loaded(),
        "waiting": len(demo._queue),
        "going": demo.duty.going,
        "device": str(lab.device),
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
