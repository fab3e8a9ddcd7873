"""What makes the page run, and what it shows then: the opening, changes, the button, the stop, the flip."""

from typing import Any

import gradio as gr

from app import views
from app.handlers.callbacks import Callbacks
from app.handlers.running import Running
from app.page import text
from app.page.components import Components
from app.page.wiring import MODEL_QUEUE, QUICK

WISH = (
    "image", "classifier", "attack", "threat_model", "epsilon", "steps", "target", "seed", "codec", "planes"
)  # fmt: skip
"""The controls, in the order of the fields of ``Wish``."""
HIDDEN: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {"concurrency_limit": None, **HIDDEN}
"""Options of events that need no model, but do change states that other events listen to: only events that
queue tell of those."""
POLL_SECONDS = 0.5
FOLLOW_FOCUS = "() => lab.followFocus()"
"""What ``page.js`` does in the browser."""


def wire_runs(
    demo: gr.Blocks,
    running: Running,
    callbacks: Callbacks,
    upload: Components,
    controls: Components,
    start: Components,
    shown: Components,
) -> None:
    """From a change of a control to a picture.

    A change is written into the visitor's wish, and a change of the wish begins a run. An event that comes
    while one goes on is kept until that has ended ("always_last"), which is soon: the wish overtakes it.
    """
    wish = gr.State(running.first_wish(), time_to_live=3600)
    done = gr.State(None, time_to_live=3600)
    states = {"stop": start["stop"], "done": done} | {
        name: shown[name] for name in ("status", "before", "flip")
    }
    pair = [shown["left"], shown["right"]]
    result = [shown[name] for name in (*views.AttackView._fields, *views.StripView._fields)]
    page = [states[name] for name in views.RunView._fields] + result
    values = [controls[name] for name in WISH]

    def asks(event: Any) -> None:
        event(
            running.ask,
            [start["alone"], wish, *values],
            [wish, shown["status"]],
            trigger_mode="always_last",
            **AT_ONCE,
        )

    for name in ("epsilon", "steps", "planes"):
        asks(controls[name].release)
    for name in ("threat_model", "target", "codec"):
        asks(controls[name].input)
    asks(controls["seed"].submit)
    asks(controls["seed"].blur)
    # What is said of the picture, which controls there are, what an address has opened.
    for settled in ("inspected", "chosen", "opened"):
        asks(upload[settled].then)
    start["attack"].click(
        running.press, values, [wish, shown["status"]], trigger_mode="always_last", **AT_ONCE
    )
    ran = wish.change(
        running.follow,
        [wish, done, shown["outcomes"], *pair],
        page,
        trigger_mode="always_last",
        **HIDDEN,
        **MODEL_QUEUE,
    )
    stopped = start["stop"].click(running.stop, None, [wish, shown["status"], start["stop"]], **AT_ONCE)
    for ended in (ran, stopped):
        ended.then(None, js=FOLLOW_FOCUS)
    shown["flip"].click(running.flip, [shown["outcomes"], shown["before"], *pair], page, **QUICK)

    timer = gr.Timer(POLL_SECONDS, active=False)
    for event in (demo.load, timer.tick):
        event(running.open, [done, *pair], [timer, *page], **AT_ONCE)
    demo.unload(callbacks.leave)
    _wire_looks(callbacks, shown, pair)


def _wire_looks(callbacks: Callbacks, shown: Components, pair: list[Any]) -> None:
    """What can be looked at once a run is there."""
    looked_at = [shown["outcomes"], shown["detail"], *pair]
    gr.on(
        [which.input for which in pair],
        callbacks.compare,
        looked_at,
        shown["slider"],
        trigger_mode="always_last",
        **QUICK,
    )
    shown["detail"].input(
        callbacks.show,
        looked_at,
        [shown[name] for name in ("slider", *text.DOWNLOADS, *views.StripView._fields)],
        **QUICK,
    )
