"""What a visitor chooses. Each function builds a part, and returns the components that others need."""

from collections.abc import Mapping

import gradio as gr

from app.handlers.callbacks import Callbacks
from app.opening import FIRST, SCENARIO, example_pictures
from app.page import text
from app.page.components import Components, FreeDropdown, FreeNumber, FreeRadio, FreeSlider, PictureFile
from app.scenario import AUTO, BOTH
from model.attacks import ATTACKS
from model.entries import Entry
from model.zoo import CLASSIFIERS, CODECS


def controls(callbacks: Callbacks) -> tuple[Components, Components, Components]:
    """What is said of the picture, the parameters of a run in the order of ``Wish``, and what starts it."""
    spec = ATTACKS[SCENARIO.attack]
    note, preview, targets = callbacks.inspect(str(FIRST), SCENARIO.classifier)
    upload: Components = {}
    chosen: Components = {}
    chosen["image"] = PictureFile(
        value=str(FIRST),
        label=text.LABELS["image"],
        type="filepath",
        format="png",
        sources=["upload", "clipboard", "webcam"],
        height=150,
        elem_id="picture",
    )
    upload["note"] = gr.Markdown(note, elem_classes="hint", elem_id="note")
    upload["examples"] = examples()
    chosen["attack"] = FreeDropdown(
        list(ATTACKS), value=SCENARIO.attack, label=text.LABELS["attack"], elem_id="attack"
    )
    chosen["epsilon"] = FreeSlider(
        1, 32, value=SCENARIO.epsilon, step=1, label=text.LABELS["epsilon"], elem_id="epsilon", buttons=[]
    )
    chosen["threat_model"] = FreeRadio(
        [*attackers(), (text.BOTH_ATTACKERS, BOTH)],
        value=SCENARIO.threat_model,
        label=text.LABELS["threat_model"],
        elem_id="threat-model",
    )
    start = _buttons()
    with gr.Accordion(text.MORE, open=False, elem_id="more"):
        start["alone"] = gr.Checkbox(True, label=text.LABELS["alone"], elem_id="alone")
        chosen["target"] = FreeDropdown(
            targets["choices"], value="", label=text.LABELS["target"], elem_id="target"
        )
        chosen["steps"] = FreeSlider(
            1, spec.max_steps, value=SCENARIO.steps, step=1, label=spec.steps_label, elem_id="steps",
            buttons=[],
        )  # fmt: skip
        chosen["seed"] = FreeNumber(
            value=SCENARIO.seed, precision=0, label=text.LABELS["seed"], visible=spec.seeded, elem_id="seed"
        )
        upload["about"] = gr.Markdown(spec.about, elem_classes="hint")
        chosen["classifier"] = _model_choice("classifier", CLASSIFIERS)
        chosen["codec"] = _model_choice("codec", CODECS)
        chosen["planes"] = FreeSlider(
            0, 100, value=0, step=5, label=text.LABELS["planes"], elem_id="kept", buttons=[]
        )
        upload["preview"] = gr.Image(
            preview.get("value"),
            visible=preview["visible"],
            label=text.LABELS["preview"],
            alt_text=text.PREVIEW_ALT,
            height=130,
            format="png",
            interactive=False,
            buttons=[],
            elem_id="preview",
        )
    return upload, chosen, start


def examples() -> gr.Gallery:
    """The pictures that a visitor without one can choose from."""
    gr.Markdown(text.EXAMPLES_HINT, elem_classes="hint")
    return gr.Gallery(
        value=example_pictures(),
        label=text.LABELS["examples"],
        show_label=False,
        container=False,
        format="png",
        columns=8,
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="examples",
    )


def _buttons() -> Components:
    """What starts an attack, and what ends it."""
    with gr.Row(elem_id="actions"):
        return {
            "attack": gr.Button(text.ATTACK_BUTTON, variant="primary", elem_id="run", min_width=120),
            "stop": gr.Button(text.STOP_BUTTON, variant="stop", elem_id="stop", min_width=80, visible=False),
        }


def _model_choice(kind: str, entries: Mapping[str, Entry]) -> FreeDropdown:
    """The choice of a classifier or a codec."""
    described = [(f"{name}: {entry.about}", name) for name, entry in entries.items()]
    return FreeDropdown(
        [(text.AUTOMATIC, AUTO), *described], value=AUTO, label=text.LABELS[kind], elem_id=kind
    )


def attackers() -> list[tuple[str, str]]:
    """Who may attack, by what he knows: title and name."""
    return [(title, name) for name, title in text.ATTACKERS.items()]
