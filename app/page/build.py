"""The page over a lab: its parts laid out and wired, and how it is served."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from gradio.route_utils import FnIndexInferError
from starlette.middleware import Middleware

from app import settings, tab_words
from app.address import Address
from app.handlers.asking import Asking
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
from app.page.guard import GuardedBlocks
from app.places import PUBLISHED
from app.reports import bound_of, of_classifiers, worst_of
from app.scenario import Scenario
from app.server.duty import Duty
from app.server.gate import Gate, unreadable
from app.server.routes import UPLOAD
from app.server.runs import Journal
from app.uploads import EXAMPLES
from model.evaluate import published
from model.evaluate.cells import Report
from model.evaluate.systems import PAIRS
from model.pretrained import read_record
from model.zoo import pairs

FOLDER = Path(__file__).parent
STYLES = [FOLDER / f"{name}.css" for name in ("style", "views", "learn", "ask", "planes")]
SCRIPT = FOLDER / "page.js"
FORM_BYTES = 64 * 1024
"""What a form may have besides the file that is uploaded by it."""
OTHER_THREADS = 40
RED = "#b91c1c"
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
PREPARE = "() => lab.prepare()"
"""What ``page.js`` does in the browser, once the page is there."""


def _intro(reports: Mapping[str, Report]) -> str:
    """What the page opens with; the pair is named once it is trained."""
    standing = []
    for pair in pairs():
        if (record := read_record(pair.classifier)) is not None:
            scenario = Scenario(
                classifier=pair.classifier, attack="PGD", threat_model="adaptive", epsilon=8.0
            )
            link = f"?{Address(scenario, example='dog').query()}"
            every = reports.values()
            bounds = [bound_of(every, system) for system in (pair.system, PAIRS[pair.system])]
            standing.append(tab_words.withstands(link, record, worst_of(every, pair), *bounds))
    return " ".join([text.INTRO.rstrip(), *standing])  # one paragraph: what happened comes right after it


def build_demo(lab: Lab, opening: Opening | None = None, lessons: Lessons | None = None) -> GuardedBlocks:
    """The page over a lab. Theme, style sheets and script are given to ``launch``: :func:`launch_options`.

    Args:
        lab: what computes.
        opening: the run that the page opens with, once somebody computes it.
        lessons: the lab's; what is not given begins when a visitor wants to see it.
    """
    reports = published(PUBLISHED.reports)
    by_classifier = of_classifiers(reports)
    limits = settings.limits
    visitors, curious = Visitors(limits.run_seconds), Visitors(limits.question_seconds)
    callbacks, endpoints = Callbacks(visitors), Endpoints(lab, visitors)
    opening = opening or Opening(lab)
    running = Running(lab, visitors, opening, by_classifier)
    learning = Learning(lab, lessons or Lessons(lab, opening), reports)
    with GuardedBlocks(
        title=text.TITLE,
        fill_width=True,
        delete_cache=(limits.kept_seconds, limits.kept_seconds),
        analytics_enabled=False,
        duty=Duty([visitors.stop_all, curious.stop_all]),
        journal=Journal(untold=["open"]),
        leave=[visitors.leave, curious.leave],
        most_waiting={ask.LONG_QUEUE["concurrency_id"]: limits.waiting_questions},
    ) as demo:
        gr.Markdown(_intro(reports), elem_id="intro")
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
        asking = Asking(lab, curious, by_classifier)
        ask.wire(demo, asking, asked, controls, shown)
        wiring.wire_endpoints(lab, endpoints)
        demo.load(None, js=PREPARE)
    return demo


def launch_options(health: Callable[[], dict[str, Any]] = lambda: {"status": "ok"}) -> dict[str, Any]:
    """What ``launch`` is told, besides where to listen.

    Args:
        health: what is answered to who asks how the server is: :func:`health_of`.
    """
    limits = settings.limits
    return {
        "theme": theme(),
        "css_paths": STYLES,
        "head": f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>",
        "show_error": True,
        # Whoever waits for a turn or for a decoder has a thread; pages and files are served by others.
        "max_threads": limits.waiting_runs + limits.decode_at_once + limits.decode_waiting + OTHER_THREADS,
        "max_file_size": limits.file_bytes,
        # What Gradio keeps for a session is half a megabyte before anything was run.
        "state_session_capacity": limits.sessions,
        "ssr_mode": False,
        "run_history": False,
        "mcp_server": tools.wanted(),
        "footer_links": ["api"],
        "enable_monitoring": False,
        "app_kwargs": {
            "middleware": [
                Middleware(Gate, max_body=max_body, health=health, bad_calls=(FnIndexInferError,))
            ],
            "exception_handlers": {RequestValidationError: unreadable},
        },
        # Gradio serves files of the current directory only, which need not be the repository.
        "allowed_paths": [str(EXAMPLES), str(PUBLISHED.reports)],
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
        "waiting": lab.turns.waiting,
        "going": demo.duty.going,
        "device": str(lab.device),
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
