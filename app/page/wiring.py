"""What happens when: which event of which component calls what, and what it changes."""

from typing import Any

import gradio as gr

from app import views
from app.handlers.callbacks import Callbacks
from app.handlers.endpoints import Endpoints
from app.lab import Lab
from app.page import text
from app.page.components import FreeDropdown, FreeNumber, PictureFile
from app.page.layout import Components, example_pictures
from app.scenario import AUTO, Scenario
from model.attacks import ATTACKS, MAX_EPSILON, MIN_EPSILON, THREAT_MODELS
from model.zoo import CLASSIFIERS, CODECS

ATTACK_INPUTS = (
    "image", "classifier", "attack", "threat_model", "epsilon", "steps", "target", "seed", "codec", "planes"
)  # fmt: skip
"""The controls, in the order of the parameters of ``Callbacks.attack``."""

MODEL_QUEUE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
"""Options of events that compute: one model, one device, one at a time."""

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Options of events that need no model."""

PREPARE = "() => lab.prepare()"
SHOW_STATUS = "() => lab.showStatus()"
FOCUS = "() => lab.focus('{}')"
"""What ``page.js`` does in the browser."""


def wire_controls(
    callbacks: Callbacks, gallery: gr.Gallery, upload: Components, controls: Components, shown: Components
) -> None:
    """Events that need no model."""
    image, classifier, attack = controls["image"], controls["classifier"], controls["attack"]
    gallery.select(choose_example, None, image, trigger_mode="always_last", **QUICK)
    gr.on(
        [image.change, classifier.change],
        callbacks.inspect,
        [image, classifier, controls["target"], shown["outcomes"]],
        [shown["status"], upload["note"], upload["preview"], controls["target"]],
        trigger_mode="always_last",
        **QUICK,
    )
    attack.input(  # not `change`: what an address sets is not to be undone
        lambda name: (ATTACKS[name].about, *controls_for(name)),
        attack,
        [upload["about"], *(controls[name] for name in ("epsilon", "steps", "target", "seed"))],
        **QUICK,
    )


def choose_example(chosen: gr.SelectData) -> str:
    """The file of the example that was clicked."""
    return example_pictures()[chosen.index][0]


def controls_for(attack: str) -> tuple[dict[str, Any], ...]:
    """Updates of strength, steps, target and seed: what the attack does not have is hidden."""
    spec = ATTACKS[attack]
    steps = gr.update(visible=False)
    if spec.has_steps:
        steps = gr.update(
            visible=True, label=spec.steps_label, maximum=spec.max_steps, value=spec.default_steps
        )
    target = gr.update(visible=True) if spec.targetable else gr.update(visible=False, value="")
    return gr.update(visible=spec.has_epsilon), steps, target, gr.update(visible=spec.seeded)


def wire_attack(
    demo: gr.Blocks, callbacks: Callbacks, controls: Components, shown: Components, buttons: Components
) -> None:
    """The attack, how it is stopped, and what can be looked at afterwards."""
    attack, stop = buttons["attack"], buttons["stop"]

    def running(is_so: bool) -> list[Any]:
        return [gr.update(interactive=not is_so), gr.update(visible=is_so)]

    strip = [shown[name] for name in views.StripView._fields]
    begun = attack.click(lambda: running(True), None, [attack, stop], js=SHOW_STATUS, **QUICK)
    attacked = begun.then(
        callbacks.attack,
        [controls[name] for name in ATTACK_INPUTS] + [shown["pair"]],
        [shown[name] for name in ("status", *views.AttackView._fields)] + strip,
        show_progress_on=shown["status"],
        api_visibility="private",
        **MODEL_QUEUE,
    )
    begun.then(None, js=FOCUS.format("stop"))
    stopped = stop.click(callbacks.stop, None, shown["status"], cancels=[attacked], **QUICK)
    # Gradio 6.31's `then` is not reached by errors.
    for ended in (attacked.success, attacked.failure, stopped.then):
        ended(lambda: running(False), None, [attack, stop], **QUICK).then(None, js=FOCUS.format("run"))
    demo.unload(callbacks.leave)
    looked_at = [shown["outcomes"], shown["detail"], shown["pair"]]
    shown["pair"].change(callbacks.compare, looked_at, shown["slider"], **QUICK)
    shown["detail"].input(
        callbacks.show,
        looked_at,
        [shown[name] for name in ("slider", *text.DOWNLOADS)] + strip,
        **QUICK,
    )
    demo.load(None, js=PREPARE)


def wire_endpoints(lab: Lab, endpoints: Endpoints) -> None:
    """The API, with components of its own: None is a value there, and every choice is an API's."""
    trigger = gr.Button(visible=False)
    default = Scenario()

    def picture(name: str) -> gr.Image:
        return gr.Image(visible=False, format="png", label=text.API_LABELS[name])

    def packed() -> gr.File:
        return gr.File(visible=False, label=text.API_LABELS["code"])

    def answer(name: str) -> gr.JSON:
        return gr.JSON(visible=False, label=text.API_LABELS[name])

    def choice(name: str, values: list[str]) -> FreeDropdown:
        value = getattr(default, name)
        return FreeDropdown(values, value=value, label=text.API_LABELS[name], visible=False)

    def number(name: str, value: float | None, *limits: float) -> FreeNumber:
        return FreeNumber(value, label=text.API_LABELS[name].format(*limits), visible=False)

    def planes() -> FreeNumber:
        return number("planes", None, max(lab.codec(name).planes for name in CODECS))

    upload = PictureFile(visible=False, type="filepath", label=text.API_LABELS["image"])
    classifier = choice("classifier", [AUTO, *CLASSIFIERS])
    codec = choice("codec", [AUTO, *CODECS])
    trigger.click(
        endpoints.run,
        [
            upload,
            classifier,
            choice("attack", list(ATTACKS)),
            choice("threat_model", list(THREAT_MODELS)),
            number("epsilon", default.epsilon, MIN_EPSILON, MAX_EPSILON),
            number("steps", None),
            gr.Textbox(None, visible=False, label=text.API_LABELS["target"]),
            number("seed", default.seed),
            codec,
            planes(),
        ],
        [picture("original"), picture("adversarial"), picture("reconstruction"), packed(), answer("result")],
        api_name="run",
        **MODEL_QUEUE,
    )
    trigger.click(
        endpoints.defend,
        [upload, codec, planes()],
        [picture("reconstruction"), packed()],
        api_name="defend",
        **MODEL_QUEUE,
    )
    trigger.click(
        endpoints.classify,
        [upload, classifier],
        answer("prediction"),
        api_name="classify",
        **MODEL_QUEUE,
    )
    gr.api(endpoints.scenarios, api_name="scenarios")
