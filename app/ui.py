"""The page: layout, words and wiring."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.components import FreeDropdown, FreeRadio, FreeSlider, PictureFile
from app.handlers import Handlers
from app.lab import Lab, Scenario
from model.attacks import ATTACKS
from model.classifiers import CLASSIFIERS
from model.comdefend import CODECS

EXAMPLES = Path(__file__).parent / "examples"
CSS = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MODEL_QUEUE = "model"
"""All events that compute share this queue: one model, one device, one at a time."""

INTRO = """
# ComDefend lab

**Attack a picture, and see what a 12-bit code leaves of the attack.** ComDefend squeezes the picture
through a binary code of 12 bits per pixel and rebuilds it; the classifier stays as it is. It was
meant for attackers who do not know of it (*grey-box*), and weak perturbations: lower the strength to see
where it holds, choose *adaptive* to see it face an attacker who knows it.
"""

KNOWLEDGE = [
    ("Grey-box: knows the classifier, not ComDefend", "grey-box"),
    ("Adaptive: knows both, goes through ComDefend", "adaptive"),
]


def theme() -> gr.themes.Base:
    """System fonts only: the page asks no other host for anything."""
    return gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"])


def example_pictures() -> list[tuple[str, str]]:
    """The example pictures with their captions."""
    return [(str(path), path.stem.replace("-", " ")) for path in sorted(EXAMPLES.glob("*.png"))]


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


def strip_item(title: str) -> tuple[gr.Image, gr.HTML]:
    """One picture of the strip under its title, with room for what is said of it."""
    with gr.Column(min_width=130, elem_classes="item"):
        gr.Markdown(f"### {title}")
        image = gr.Image(
            label=title,
            show_label=False,
            format="png",  # the default, webp, is lossy and would lose the perturbation
            interactive=False,
            elem_classes="pixels",
            buttons=["download", "fullscreen"],
            alt_text=title,
        )
        return image, gr.HTML()


def build_demo(lab: Lab) -> gr.Blocks:
    """The page over a lab. Theme and CSS are given to ``launch``, see :func:`launch_options`."""
    handlers = Handlers(lab)
    default = Scenario()
    spec = ATTACKS[default.attack]
    examples = example_pictures()

    with gr.Blocks(title="ComDefend lab", fill_width=True, delete_cache=(3600, 3600)) as demo:
        gr.Markdown(INTRO, elem_id="intro")
        gr.Markdown("Examples: ten CIFAR-10 test pictures of 32 × 32 pixels, one of each class.",
                    elem_classes="hint")  # fmt: skip
        gallery = gr.Gallery(
            value=examples,
            label="Example pictures",
            show_label=False,
            container=False,
            format="png",
            columns=10,
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_classes="pixels",
            elem_id="examples",
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                picture = PictureFile(
                    value=examples[0][0] if examples else None,
                    label="Picture",
                    type="filepath",
                    format="png",
                    sources=["upload", "clipboard", "webcam"],
                    height=190,
                    elem_classes="pixels",
                    elem_id="picture",
                )
                # A choice of one is no choice.
                classifier = FreeDropdown(
                    list(CLASSIFIERS), value=default.classifier, label="Classifier",
                    visible=len(CLASSIFIERS) > 1,
                )  # fmt: skip
                codec = FreeDropdown(
                    list(CODECS), value=default.codec, label="Codec", visible=len(CODECS) > 1
                )
                with gr.Row():
                    attack = FreeDropdown(
                        list(ATTACKS), value=default.attack, label="Attack", min_width=120, elem_id="attack"
                    )
                    target = FreeDropdown(
                        [("any other", ""), *lab.classifier(default.classifier).classes],
                        value="",
                        label="Target class",
                        min_width=120,
                        elem_id="target",
                    )
                about = gr.Markdown(spec.about, elem_classes="hint")
                threat_model = FreeRadio(
                    KNOWLEDGE, value=default.threat_model, label="The attacker", elem_id="threat-model"
                )
                epsilon = FreeSlider(
                    1, 32, value=default.epsilon, step=1, label="Strength, in 1/255", elem_id="epsilon"
                )
                steps = FreeSlider(
                    1, spec.max_steps, value=default.steps, step=1, label=spec.steps_label, elem_id="steps"
                )
                seed = gr.Number(
                    value=default.seed, precision=0, label="Seed", visible=spec.seeded, elem_id="seed"
                )
                run = gr.Button("Attack it", variant="primary", elem_id="run")
            with gr.Column(scale=3, min_width=320):
                verdict = gr.Markdown(
                    "Press **Attack it** to see what happens to this picture.", elem_id="verdict"
                )
                with gr.Row(elem_id="strip", equal_height=False):
                    original, original_notes = strip_item("Original")
                    perturbation, perturbation_notes = strip_item("Perturbation, magnified")
                    adversarial, adversarial_notes = strip_item("Adversarial")
                    code, code_notes = strip_item("Binary code, 12 planes")
                    reconstruction, reconstruction_notes = strip_item("Reconstruction")
                with gr.Accordion("The run as JSON", open=False):
                    summary = gr.JSON(show_label=False)

        gallery.select(
            choose_example,
            None,
            picture,
            queue=False,
            trigger_mode="always_last",
            show_progress="hidden",
            api_visibility="private",
        )
        attack.change(
            lambda name: (ATTACKS[name].about, *controls_for(name)),
            attack,
            [about, epsilon, steps, target, seed],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        run.click(
            handlers.run,
            [picture, classifier, attack, threat_model, epsilon, steps, target, seed, codec],
            [
                verdict, original, perturbation, adversarial, code, reconstruction,
                original_notes, perturbation_notes, adversarial_notes, code_notes,
                reconstruction_notes, summary,
            ],
            api_name="run",
            show_progress_on=verdict,
            concurrency_limit=1,
            concurrency_id=MODEL_QUEUE,
        )  # fmt: skip
        _api_only(handlers, picture, classifier, codec)
    return demo


def choose_example(chosen: gr.SelectData) -> str:
    """The file of the example that was clicked."""
    return example_pictures()[chosen.index][0]


def _api_only(handlers: Handlers, picture: gr.Image, classifier: gr.Dropdown, codec: gr.Dropdown) -> None:
    """Endpoints that the page itself does not use."""
    trigger = gr.Button(visible=False)
    limits: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": MODEL_QUEUE}
    trigger.click(
        handlers.defend,
        [picture, codec],
        [gr.Image(visible=False, format="png", label="Reconstruction"),
         gr.File(visible=False, label="Packed code")],
        api_name="defend",
        **limits,
    )  # fmt: skip
    trigger.click(
        handlers.classify,
        [picture, classifier],
        gr.JSON(visible=False, label="Prediction"),
        api_name="classify",
        **limits,
    )
    gr.api(handlers.scenarios, api_name="scenarios")


def launch_options() -> dict[str, Any]:
    """What ``launch`` is told, besides where to listen."""
    return {
        "theme": theme(),
        "css": CSS,
        "show_error": True,
        "max_file_size": "20mb",
        "ssr_mode": False,
        "run_history": False,
        "footer_links": ["api"],
        # Gradio serves files of the current directory only, which need not be the repository.
        "allowed_paths": [str(EXAMPLES)],
    }
