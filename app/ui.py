"""The page: layout, words and wiring."""

from pathlib import Path
from typing import Any

import gradio as gr

from app import curves, drawing, views
from app.components import (
    FreeDropdown,
    FreeNumber,
    FreeRadio,
    FreeSlider,
    GuardedBlocks,
    Picture,
    PictureFile,
)
from app.handlers import BOTH, READY, AttackView, Handlers
from app.lab import AUTO, Lab, Scenario
from app.uploads import EXAMPLES, MAX_BYTES
from model.attacks import ATTACKS, MAX_EPSILON, MIN_EPSILON, THREAT_MODELS
from model.cards import card_body
from model.evaluate import REPORTS, published, table
from model.evaluate.markdown import failed_checks, headline, markdown
from model.zoo import CLASSIFIERS, CODECS

FIRST = "espresso"
CSS = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
Components = dict[str, Any]

RUN_INPUTS = (
    "image", "classifier", "attack", "threat_model", "epsilon", "steps", "target", "seed", "codec", "planes"
)  # fmt: skip
"""The controls, in the order of the parameters of ``Handlers.run``."""

MODEL_QUEUE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
"""Options of events that compute: one model, one device, one at a time."""

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Options of events that need no model."""

INTRO = """
# ComDefend lab

**Attack a picture, and see what a binary code leaves of the attack.** ComDefend squeezes the picture
through a binary code of at most 12 bits per pixel and rebuilds it; the classifier stays as it is. It was
meant for attackers who do not know of it, and weak perturbations.
"""

HOW = """
An attack changes a picture by amounts too small to see, in the direction that the classifier minds
most. ComDefend stands before the classifier. Its first network, ComCNN, gives each pixel 12 numbers, of
which only the signs are kept: the binary code. Its second network, RecCNN, rebuilds the picture from those
bits alone. A perturbation that flips no bit is gone entirely; one that flips bits leaves a trace of each. One
codec was trained with noise on the 12 numbers, as the paper has it; the other with noise on the pictures, so
that it removes more. No attack was ever shown to either.

The classifier is not touched, and does not know: the same codec stands before any of them.
"""

FAILS = """
- **Against an attacker who knows of it.** The code's threshold has no gradient, but a smooth stand-in for
  it has, and that is enough. Choose *Knows both*, and watch the code bend to the attack.
- **Against larger perturbations.** A code that rebuilds a picture faithfully rebuilds its perturbation, too.
  The purifying codec loses more of it, and pays with the picture's detail. How much, the second tab says.
- **Sometimes without any attack.** The reconstruction is not the original, and a picture that was close
  to the border between two classes can fall to the other side.
- **Against other things than small perturbations:** stickers, rotations, other pictures.

It is a subject of research, not a protection to rely on.
"""

KNOWLEDGE = [
    (views.ATTACKERS["grey-box"], "grey-box"),
    (views.ATTACKERS["adaptive"], "adaptive"),
    ("Both, next to each other", BOTH),
]

STRIP = {
    "original": "Original",
    "perturbation": "Perturbation",
    "adversarial": "Adversarial",
    "code": "Binary code",
    "reconstruction": "Reconstruction",
}
PLANES = {
    "planes_original": "Of the original",
    "planes_adversarial": "Of the adversarial picture",
}
DOWNLOADS = {
    "adversarial_file": "Adversarial picture (PNG)",
    "code_file": "Its packed code (NPZ)",
    "summary_file": "The run (JSON)",
}

SHOW_STATUS = """() => {
    const status = document.getElementById('status');
    const top = status.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight / 2) status.scrollIntoView();
    return [];
}"""
FOCUS = "() => document.getElementById('{}').focus({{preventScroll: true}})"
"""The button that was pressed is disabled or gone: without this the keyboard starts anew at the top."""

ON_LOAD = """() => {
    document.getElementById('verdict').setAttribute('aria-live', 'polite');
    // Wide tables scroll, which the keyboard can do only with what has the focus.
    new MutationObserver(() => document.querySelectorAll('.report:not([tabindex])').forEach(
        (table) => { table.tabIndex = 0; }
    )).observe(document.body, {childList: true, subtree: true});
    document.querySelector('#target input').addEventListener('focus', (event) => event.target.select());
}"""

LEGEND = (
    '<p class="legend">White is 1, black is 0. In the adversarial picture\'s code, '
    '<span class="raised">orange</span> bits were turned from 0 to 1 by the attack, '
    '<span class="lowered">blue</span> ones from 1 to 0.</p>'
)


def theme() -> gr.themes.Base:
    """System fonts only: the page asks no other host for anything."""
    # White on the theme's own orange is too pale to read.
    return gr.themes.Default(font=FONTS, font_mono=["ui-monospace", "monospace"]).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )


def example_pictures() -> list[tuple[str, str]]:
    """The example pictures with their captions, photographs first."""
    paths = sorted(EXAMPLES.glob("*.jpg")) + sorted(EXAMPLES.glob("*.png"))
    return [(str(path), path.stem.replace("-", " ")) for path in paths]


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


def build_demo(lab: Lab) -> gr.Blocks:
    """The page over a lab. Theme and CSS are given to ``launch``, see :func:`launch_options`."""
    reports = published()
    handlers = Handlers(lab, reports)
    with GuardedBlocks(title="ComDefend lab", fill_width=True, delete_cache=(3600, 3600)) as demo:
        gr.Markdown(INTRO, elem_id="intro")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Attack a picture"):
                gallery = _examples()
                with gr.Row():
                    with gr.Column(scale=1, min_width=300):
                        upload, inputs = _controls(handlers)
                        with gr.Row(elem_id="actions"):
                            run = gr.Button("Attack it", variant="primary", elem_id="run", min_width=120)
                            stop = gr.Button(
                                "Stop", variant="stop", elem_id="stop", min_width=80, visible=False
                            )
                    with gr.Column(scale=3, min_width=320):
                        shown = _verdict()
                        with gr.Column(visible=False) as shown["results"]:
                            shown |= _strip() | _details() | _planes()
                        _explanations(lab)
            with gr.Tab("How well it defends", elem_id="report"):
                _reports(reports)
        _wire_controls(handlers, gallery, upload, inputs, shown)
        demo.load(None, js=ON_LOAD)
        _wire_run(demo, handlers, inputs, shown, run, stop)
        _wire_api(lab, handlers)
    return demo


def _examples() -> gr.Gallery:
    gr.Markdown("Four photographs, and ten CIFAR-10 test pictures of 32 × 32 pixels:", elem_classes="hint")
    return gr.Gallery(
        value=example_pictures(),
        label="Example pictures",
        show_label=False,
        container=False,
        format="png",
        columns=14,
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="examples",
    )


def _controls(handlers: Handlers) -> tuple[Components, Components]:
    """What a visitor chooses: what is said of the upload, and the parameters of ``Handlers.run``."""
    default = Scenario()
    spec = ATTACKS[default.attack]
    first = next((path for path, _ in example_pictures() if Path(path).stem == FIRST), None)
    _, note, preview, targets = handlers.inspect(first, default.classifier)

    image = PictureFile(
        value=first,
        label="Picture",
        type="filepath",
        format="png",
        sources=["upload", "clipboard", "webcam"],
        height=210,
        elem_id="picture",
    )
    upload = {
        "note": gr.Markdown(note, elem_classes="hint", elem_id="note"),
        "preview": gr.Image(
            preview.get("value"),
            visible=preview["visible"],
            label="What is used of it",
            alt_text="The picture; what is cut away is dark",
            height=130,
            format="png",
            interactive=False,
            buttons=[],
            elem_id="preview",
        ),
    }
    about = [(f"{name}: {entry.about}", name) for name, entry in CLASSIFIERS.items()]
    inputs = {
        "image": image,
        "classifier": FreeDropdown(
            [("Automatic, by the picture's size", AUTO), *about],
            value=default.classifier,
            label="Classifier",
            elem_id="classifier",
        ),
        "codec": FreeDropdown(
            [
                ("Automatic, by the picture's size", AUTO),
                *((f"{name}: {entry.about}", name) for name, entry in CODECS.items()),
            ],
            value=default.codec,
            label="Codec",
            elem_id="codec",
        ),
        "planes": FreeSlider(
            5,
            100,
            value=100,
            step=5,
            label="Planes of the code that are kept, in % (fewer: not for the paper's loss)",
            elem_id="kept",
        ),
    }
    with gr.Row():
        inputs["attack"] = FreeDropdown(
            list(ATTACKS), value=default.attack, label="Attack", min_width=120, elem_id="attack"
        )
        inputs["target"] = FreeDropdown(
            targets["choices"], value="", label="Target class", min_width=120, elem_id="target"
        )
    upload["about"] = gr.Markdown(spec.about, elem_classes="hint")
    inputs |= {
        "threat_model": FreeRadio(
            KNOWLEDGE, value=default.threat_model, label="The attacker", elem_id="threat-model"
        ),
        "epsilon": FreeSlider(
            1, 32, value=default.epsilon, step=1, label="Strength, in 1/255", elem_id="epsilon"
        ),
        "steps": FreeSlider(
            1, spec.max_steps, value=default.steps, step=1, label=spec.steps_label, elem_id="steps"
        ),
        "seed": FreeNumber(
            value=default.seed, precision=0, label="Seed", visible=spec.seeded, elem_id="seed"
        ),
    }
    return upload, inputs


def _verdict() -> Components:
    """What happened, in words, for one attacker or for both."""
    shown: Components = {
        "status": gr.Markdown(READY, elem_id="status"),
        "verdict": gr.Markdown(elem_id="verdict"),
        "outcomes": gr.State([], time_to_live=3600),
    }
    with gr.Column(visible=False, elem_id="attackers") as shown["compared"]:
        shown["attackers"] = gr.HTML()
        shown["detail"] = gr.Radio(
            [(title, name) for name, title in views.ATTACKERS.items()],
            label="Shown in detail",
            elem_id="detail",
        )
    return shown


def _strip() -> Components:
    """From the original to the reconstruction."""
    shown: Components = {}
    with gr.Row(elem_id="strip", equal_height=False):
        for name, title in STRIP.items():
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
            gr.Markdown("## Before and after")
            choices = list(views.PAIRS)
            shown["pair"] = gr.Radio(
                choices, value=choices[0], show_label=False, container=False, label="Compare", elem_id="pair"
            )
            shown["slider"] = gr.HTML(elem_id="slider")
        with gr.Column(scale=2, min_width=260):
            gr.Markdown("## In numbers")
            shown["numbers"] = gr.HTML()
            gr.Markdown("## To take home")
            for name, title in DOWNLOADS.items():
                shown[name] = gr.DownloadButton(title, size="sm", elem_id=name)
    return shown


def _planes() -> Components:
    """The code of both pictures, and the run as JSON."""
    shown: Components = {}
    gr.Markdown("## The code, plane by plane")
    gr.HTML(LEGEND)
    with gr.Row(elem_id="planes"):
        for name, title in PLANES.items():
            with gr.Column(min_width=300):
                gr.Markdown(f"### {title}")
                shown[name] = _picture(name, title)
    with gr.Accordion("The run as JSON", open=False):
        shown["summary"] = gr.JSON(show_label=False)
    return shown


def _explanations(lab: Lab) -> None:
    with gr.Row():
        with gr.Column(min_width=300):
            gr.Markdown(f"## How it works\n{HOW}")
            for shape in dict.fromkeys(drawing.networks(lab.codec(name).config) for name in CODECS):
                gr.HTML(shape)
        with gr.Column(min_width=300):
            gr.Markdown(f"## Where it fails\n{FAILS}")
    for name, entry in CODECS.items():
        with gr.Accordion(f"How the codec was trained: {name}, {entry.about}", open=False):
            gr.HTML(curves.training(entry.folder))
            gr.Markdown(card_body(entry.folder))


def _reports(reports: dict[str, Any]) -> None:
    """What was measured on many pictures, worst first."""
    for name, report in reports.items():
        gr.Markdown(f"## `{name}`: {report['about']}")
        first, rest = headline(report), table(report)
        gr.Markdown(first)
        if failed := failed_checks(report):
            gr.Markdown("\n".join(["Checks of the evaluation that failed:", "", *(f"- {f}" for f in failed)]))
        gr.Markdown(rest.removeprefix(first), elem_classes="report")
        gr.HTML(curves.of_report(REPORTS / name))
        sheet = REPORTS / name / "examples.png"
        if sheet.is_file():
            gr.Image(
                str(sheet),
                label="What each codec makes of eight test pictures, attacked and not",
                alt_text="A sheet of test pictures: clean and attacked, each before and after each codec",
                format="png",
                interactive=False,
                buttons=["fullscreen"],
                elem_classes="sheet",
            )
        with gr.Accordion(f"All figures, checks and hyper-parameters: {name}", open=False):
            _, _, everything = markdown(report).partition("\n## ")
            gr.Markdown(f"## {everything}", elem_classes="report")


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


def _wire_controls(
    handlers: Handlers, gallery: gr.Gallery, upload: Components, inputs: Components, shown: Components
) -> None:
    """Events that need no model."""
    gallery.select(choose_example, None, inputs["image"], trigger_mode="always_last", **QUICK)
    gr.on(
        [inputs["image"].change, inputs["classifier"].change],
        handlers.inspect,
        [inputs["image"], inputs["classifier"], inputs["target"], shown["outcomes"]],
        [shown["status"], upload["note"], upload["preview"], inputs["target"]],
        trigger_mode="always_last",
        **QUICK,
    )
    inputs["attack"].change(
        lambda name: (ATTACKS[name].about, *controls_for(name)),
        inputs["attack"],
        [upload["about"], inputs["epsilon"], inputs["steps"], inputs["target"], inputs["seed"]],
        **QUICK,
    )


def _wire_run(
    demo: gr.Blocks,
    handlers: Handlers,
    inputs: Components,
    shown: Components,
    run: gr.Button,
    stop: gr.Button,
) -> None:
    """The attack, how it is stopped, and what can be looked at afterwards."""
    buttons = [run, stop]

    def running(is_so: bool) -> list[Any]:
        return [gr.update(interactive=not is_so), gr.update(visible=is_so)]

    strip = [shown[name] for name in views.StripView._fields]
    begun = run.click(lambda: running(True), None, buttons, js=SHOW_STATUS, **QUICK)
    attacked = begun.then(
        handlers.attack,
        [inputs[name] for name in RUN_INPUTS] + [shown["pair"]],
        [shown[name] for name in ("status", *AttackView._fields)] + strip,
        show_progress_on=shown["status"],
        api_visibility="private",
        **MODEL_QUEUE,
    )
    begun.then(None, js=FOCUS.format("stop"))
    for ended in (attacked.success, attacked.failure):  # Gradio 6.31's `then` is not reached by errors
        ended(lambda: running(False), None, buttons, **QUICK).then(None, js=FOCUS.format("run"))
    stopped = stop.click(handlers.stop, None, shown["status"], cancels=[attacked], **QUICK)
    stopped.then(lambda: running(False), None, buttons, **QUICK).then(None, js=FOCUS.format("run"))
    demo.unload(handlers.leave)
    looked_at = [shown["outcomes"], shown["detail"], shown["pair"]]
    shown["pair"].change(handlers.compare, looked_at, shown["slider"], **QUICK)
    shown["detail"].input(
        handlers.show,
        looked_at,
        [shown[name] for name in ("slider", *DOWNLOADS)] + strip,
        **QUICK,
    )


def _wire_api(lab: Lab, handlers: Handlers) -> None:
    """Endpoints, with components of their own: None is a value there, and every choice is an API's."""
    trigger = gr.Button(visible=False)

    def picture(title: str) -> gr.Image:
        return gr.Image(visible=False, format="png", label=title)

    def packed() -> gr.File:
        return gr.File(visible=False, label="Packed code")

    def choice(title: str, values: list[str], value: str) -> FreeDropdown:
        return FreeDropdown(values, value=value, label=title, visible=False)

    default = Scenario()
    upload = PictureFile(visible=False, type="filepath", label="Picture")
    classifier = choice("Classifier", [AUTO, *CLASSIFIERS], default.classifier)
    codec = choice("Codec", [AUTO, *CODECS], default.codec)

    def planes() -> FreeNumber:
        most = max(lab.codec(name).planes for name in CODECS)
        return FreeNumber(None, visible=False, label=f"Planes kept, 1 to {most}; None: all")

    trigger.click(
        handlers.run,
        [
            upload,
            classifier,
            choice("Attack", list(ATTACKS), default.attack),
            choice("Threat model", list(THREAT_MODELS), default.threat_model),
            FreeNumber(default.epsilon, visible=False,
                       label=f"Epsilon in 1/255, {MIN_EPSILON:g} to {MAX_EPSILON:g}"),
            FreeNumber(None, visible=False, label="Steps; None: the attack's own default"),
            gr.Textbox(None, visible=False, label="Target, the name of a class; None: any other"),
            FreeNumber(default.seed, visible=False, label="Seed"),
            codec,
            planes(),
        ],
        [
            picture("Original"), picture("Adversarial"), picture("Reconstruction"), packed(),
            gr.JSON(visible=False, label="Result"),
        ],
        api_name="run",
        **MODEL_QUEUE,
    )  # fmt: skip
    trigger.click(
        handlers.defend,
        [upload, codec, planes()],
        [picture("Reconstruction"), packed()],
        api_name="defend",
        **MODEL_QUEUE,
    )
    trigger.click(
        handlers.classify,
        [upload, classifier],
        gr.JSON(visible=False, label="Prediction"),
        api_name="classify",
        **MODEL_QUEUE,
    )
    gr.api(handlers.scenarios, api_name="scenarios")


def choose_example(chosen: gr.SelectData) -> str:
    """The file of the example that was clicked."""
    return example_pictures()[chosen.index][0]


def launch_options() -> dict[str, Any]:
    """What ``launch`` is told, besides where to listen."""
    return {
        "theme": theme(),
        "css": CSS,
        "show_error": True,
        "max_file_size": MAX_BYTES,
        "ssr_mode": False,
        "run_history": False,
        "footer_links": ["api"],
        # Gradio serves files of the current directory only, which need not be the repository.
        "allowed_paths": [str(EXAMPLES)],
    }
