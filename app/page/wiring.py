"""What happens when: which event of which component calls what, and what it changes."""

from typing import Any

import gradio as gr

from app.handlers.callbacks import Callbacks
from app.handlers.endpoints import Endpoints
from app.lab import Lab
from app.opening import example_pictures
from app.page import text
from app.page.components import Components, FreeDropdown, FreeNumber, PictureFile
from app.scenario import AUTO, Scenario
from model.attacks import ATTACKS, MAX_EPSILON, MIN_EPSILON, THREAT_MODELS
from model.zoo import CLASSIFIERS, CODECS

MODEL_QUEUE: dict[str, Any] = {"concurrency_limit": None}
"""Options of events that compute. They take turns in the lab, which knows which are short."""

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Options of events that need no model."""


def wire_controls(callbacks: Callbacks, upload: Components, controls: Components) -> None:
    """What a control changes of the others: events that need no model.

    Those by which they are settled are put into ``upload``, for whoever goes on from there.
    """
    image, classifier, attack = controls["image"], controls["classifier"], controls["attack"]
    upload["examples"].select(choose_example, None, image, trigger_mode="always_last", **QUICK)
    upload["inspected"] = gr.on(
        [image.change, classifier.change],
        callbacks.inspect,
        [image, classifier, controls["target"]],
        [upload["note"], upload["preview"], controls["target"]],
        trigger_mode="always_last",
        **QUICK,
    )
    upload["chosen"] = attack.input(  # not `change`: what an address sets is not to be undone
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
