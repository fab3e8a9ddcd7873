"""What stands where on the page. Each function builds a part, and returns the components that others need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from app.handlers.callbacks import BOTH, Callbacks
from app.page import text
from app.page.components import FreeDropdown, FreeNumber, FreeRadio, FreeSlider, Picture, PictureFile
from app.scenario import AUTO, Scenario
from app.uploads import EXAMPLES
from model.attacks import ATTACKS
from model.zoo import CLASSIFIERS, CODECS, Entry

FIRST = "espresso"
"""The example that the page opens with."""
Components = dict[str, Any]
"""By the names under which events and callbacks know them."""


def example_pictures() -> list[tuple[str, str]]:
    """The example pictures with their captions, photographs first."""
    paths = sorted(EXAMPLES.glob("*.jpg")) + sorted(EXAMPLES.glob("*.png"))
    return [(str(path), path.stem.replace("-", " ")) for path in paths]


def examples() -> gr.Gallery:
    """The pictures that a visitor without one can choose from."""
    gr.Markdown(text.EXAMPLES_HINT, elem_classes="hint")
    return gr.Gallery(
        value=example_pictures(),
        label=text.LABELS["examples"],
        show_label=False,
        container=False,
        format="png",
        columns=14,
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="examples",
    )


def controls(callbacks: Callbacks) -> tuple[Components, Components]:
    """What a visitor chooses: what is said of the upload, and the parameters of ``Callbacks.attack``."""
    default = Scenario()
    spec = ATTACKS[default.attack]
    first = next((path for path, _ in example_pictures() if Path(path).stem == FIRST), None)
    _, note, preview, targets = callbacks.inspect(first, default.classifier)

    image = PictureFile(
        value=first,
        label=text.LABELS["image"],
        type="filepath",
        format="png",
        sources=["upload", "clipboard", "webcam"],
        height=210,
        elem_id="picture",
    )
    upload: Components = {
        "note": gr.Markdown(note, elem_classes="hint", elem_id="note"),
        "preview": gr.Image(
            preview.get("value"),
            visible=preview["visible"],
            label=text.LABELS["preview"],
            alt_text=text.PREVIEW_ALT,
            height=130,
            format="png",
            interactive=False,
            buttons=[],
            elem_id="preview",
        ),
    }
    chosen: Components = {
        "image": image,
        "classifier": _model_choice("classifier", CLASSIFIERS),
        "codec": _model_choice("codec", CODECS),
        "planes": FreeSlider(5, 100, value=100, step=5, label=text.LABELS["planes"], elem_id="kept"),
    }
    with gr.Row():
        chosen["attack"] = FreeDropdown(
            list(ATTACKS), value=default.attack, label=text.LABELS["attack"], min_width=120, elem_id="attack"
        )
        chosen["target"] = FreeDropdown(
            targets["choices"], value="", label=text.LABELS["target"], min_width=120, elem_id="target"
        )
    upload["about"] = gr.Markdown(spec.about, elem_classes="hint")
    chosen |= {
        "threat_model": FreeRadio(
            [*_attackers(), (text.BOTH_ATTACKERS, BOTH)],
            value=default.threat_model,
            label=text.LABELS["threat_model"],
            elem_id="threat-model",
        ),
        "epsilon": FreeSlider(
            1, 32, value=default.epsilon, step=1, label=text.LABELS["epsilon"], elem_id="epsilon"
        ),
        "steps": FreeSlider(
            1, spec.max_steps, value=default.steps, step=1, label=spec.steps_label, elem_id="steps"
        ),
        "seed": FreeNumber(
            value=default.seed, precision=0, label=text.LABELS["seed"], visible=spec.seeded, elem_id="seed"
        ),
    }
    return upload, chosen


def _model_choice(kind: str, entries: Mapping[str, Entry]) -> FreeDropdown:
    """The choice of a classifier or a codec."""
    described = [(f"{name}: {entry.about}", name) for name, entry in entries.items()]
    return FreeDropdown(
        [(text.AUTOMATIC, AUTO), *described], value=AUTO, label=text.LABELS[kind], elem_id=kind
    )


def _attackers() -> list[tuple[str, str]]:
    return [(title, name) for name, title in text.ATTACKERS.items()]


def buttons() -> Components:
    """What starts an attack, and what ends it."""
    with gr.Row(elem_id="actions"):
        return {
            "attack": gr.Button(text.ATTACK_BUTTON, variant="primary", elem_id="run", min_width=120),
            "stop": gr.Button(text.STOP_BUTTON, variant="stop", elem_id="stop", min_width=80, visible=False),
        }


def results() -> Components:
    """What a run changes, from the verdict to its JSON."""
    shown = _verdict()
    with gr.Column(visible=False) as shown["results"]:
        shown |= _strip() | _details() | _planes()
    return shown


def _verdict() -> Components:
    """What happened, in words, for one attacker or for both."""
    shown: Components = {
        "status": gr.Markdown(text.READY, elem_id="status"),
        "verdict": gr.Markdown(elem_id="verdict"),
        "outcomes": gr.State([], time_to_live=3600),
    }
    with gr.Column(visible=False, elem_id="attackers") as shown["compared"]:
        shown["attackers"] = gr.HTML()
        shown["detail"] = gr.Radio(_attackers(), label=text.LABELS["detail"], elem_id="detail")
    return shown


def _strip() -> Components:
    """From the original to the reconstruction."""
    shown: Components = {}
    with gr.Row(elem_id="strip", equal_height=False):
        for name, title in text.STRIP.items():
            with gr.Column(min_width=130, elem_classes="item"):
                gr.Markdown(f"## {title}")
                shown[name] = _picture(name, title)
                shown[f"{name}_notes"] = gr.HTML()
    return shown


def _details() -> Components:
    """What else there is to see of a run, and to take home."""
    shown: Components = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            gr.Markdown(f"## {text.PAIR_HEADING}")
            pairs = list(text.PAIRS)
            shown["pair"] = gr.Radio(
                pairs,
                value=pairs[0],
                show_label=False,
                container=False,
                label=text.LABELS["pair"],
                elem_id="pair",
            )
            shown["slider"] = gr.HTML(elem_id="slider")
        with gr.Column(scale=2, min_width=260):
            gr.Markdown(f"## {text.NUMBERS_HEADING}")
            shown["numbers"] = gr.HTML()
            gr.Markdown(f"## {text.DOWNLOADS_HEADING}")
            for name, title in text.DOWNLOADS.items():
                shown[name] = gr.DownloadButton(title, size="sm", elem_id=name)
    return shown


def _planes() -> Components:
    """The code of both pictures, and the run as JSON."""
    shown: Components = {}
    gr.Markdown(f"## {text.PLANES_HEADING}")
    gr.HTML(text.LEGEND)
    with gr.Row(elem_id="planes"):
        for name, title in text.PLANES.items():
            with gr.Column(min_width=300):
                gr.Markdown(f"### {title}")
                shown[name] = _picture(name, title)
    with gr.Accordion(text.JSON_HEADING, open=False):
        shown["summary"] = gr.JSON(show_label=False)
    return shown


def _picture(name: str, title: str) -> Picture:
    """A result, exactly as it was computed."""
    return Picture(
        label=title,
        show_label=False,
        format="png",  # the default, webp, is lossy and would lose the perturbation
        interactive=False,
        elem_id=name,
        elem_classes="pixels",
        buttons=["download", "fullscreen"],
        alt_text=title,
    )
