"""A run to take home, what a link says, and what it opens; the present scenario as code."""

from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import gradio as gr

from app import figures, snippets
from app.address import (
    FIRST,
    HIDEABLE,
    Address,
    example_files,
    example_of,
    planes_of,
    read,
    size_of,
)
from app.bundle import bundle
from app.handlers.errors import answered
from app.handlers.visitors import Upload
from app.images import open_picture
from app.page import text
from app.scenario import (
    BOTH,
    Outcome,
    Scenario,
    ScenarioError,
    in_detail,
    kept_planes,
    make_scenario,
    percent_of,
)
from app.shelf import resolved, resolved_codec
from app.views import cached_file
from model.attacks import ATTACKS
from model.zoo import classifier_for, find_classifier


class Opened(NamedTuple):
    """What an address changes on the page, by the names of the controls; and what is said of it."""

    image: Any
    classifier: Any
    attack: Any
    threat_model: Any
    epsilon: Any
    steps: Any
    target: Any
    seed: Any
    codec: Any
    planes: Any
    about: Any
    """What the attack is."""
    hidden: Any
    said: Any


@answered
def open_address(request: gr.Request) -> Opened:
    """The controls as the page's address has them; an address that says nothing leaves all as it is."""
    address, left_out = read(dict(request.query_params))
    said = gr.update(visible=bool(left_out), value=text.LEFT_OUT.format(", ".join(left_out)))
    if address == Address():
        return Opened._make([*[gr.skip()] * (len(Opened._fields) - 1), said])
    asked, spec = address.scenario, ATTACKS[address.scenario.attack]
    used = _resolved(address)
    classes = find_classifier(used.classifier).config().classes
    steps = gr.update(visible=False)
    if spec.has_steps:
        steps = gr.update(visible=True, label=spec.steps_label, maximum=spec.max_steps, value=asked.steps)
    return Opened(
        image=str(example_files()[address.example]),
        classifier=asked.classifier,
        attack=asked.attack,
        threat_model=BOTH if address.both else asked.threat_model,
        epsilon=gr.update(visible=True, value=asked.epsilon)
        if spec.has_epsilon
        else gr.update(visible=False),
        steps=steps,
        target=gr.update(
            choices=[text.ANY_OTHER, *classes], value=asked.target or "", visible=spec.targetable
        ),
        seed=gr.update(visible=spec.seeded, value=asked.seed),
        codec=asked.codec,
        planes=percent_of(asked.planes, planes_of(used.codec)),
        about=spec.about,
        hidden=list(address.hidden),
        said=said,
    )


@answered
def keep(outcomes: list[Outcome], threat_model: str | None) -> str:
    """The archive of the run that is shown: of two attackers', the one that is shown in detail."""
    outcome = in_detail(outcomes, threat_model)
    if outcome is None:
        raise ScenarioError("there is no run to keep yet: attack a picture first")
    return cached_file("run.zip", bundle(outcome))


@answered
def link(
    image: Upload,
    classifier: str,
    attack: str,
    threat_model: str,
    epsilon: float,
    steps: float,
    target: str | None,
    seed: float,
    codec: str,
    planes_percent: float,
    hidden: list[str],
) -> tuple[Any, str]:
    """The query of an address with these controls, and what it does not have."""
    controls = (classifier, attack, threat_model, epsilon, steps, target, seed, codec, planes_percent)
    address = _address(image, *controls, hidden=hidden)
    said = "" if image is None or example_of(image) else text.OWN_PICTURE.format(address.example)
    return gr.update(visible=True, value=address.query()), said


@answered
def code(
    image: Upload,
    classifier: str,
    attack: str,
    threat_model: str,
    epsilon: float,
    steps: float,
    target: str | None,
    seed: float,
    codec: str,
    planes_percent: float,
) -> str:
    """The scenario of these controls as code; of two attackers the first."""
    controls = (classifier, attack, threat_model, epsilon, steps, target, seed, codec, planes_percent)
    address = _address(image, *controls)
    asked = _resolved(address)
    return text.CODE.format(
        python=snippets.python(asked, address.example),
        client=snippets.client(address.scenario, address.example),
        curl=snippets.curl(address.scenario, address.example),
    )


def _address(image: Upload, *controls: Any, hidden: list[str] | None = None) -> Address:
    """An address with what the controls hold, from the classifier to the share of planes.

    Raises:
        AttackError, ScenarioError, UnknownClassifierError: they hold what is no choice.
    """
    classifier, attack, threat_model, epsilon, steps, target, seed, codec, percent = controls
    both = threat_model == BOTH
    threat_model = Scenario.threat_model if both else threat_model
    example = _example(image)
    used = resolved_codec(codec, resolved(classifier, size_of(example)))
    planes = kept_planes(percent, planes_of(used))
    scenario = make_scenario(classifier, attack, threat_model, epsilon, steps, target, seed, codec, planes)
    address = Address(scenario, example, both, tuple(name for name in HIDEABLE if name in (hidden or ())))
    _, wrong = read(dict(parse_qsl(address.query())))
    if wrong:
        raise ScenarioError(f"this is no choice here: {', '.join(wrong)}")
    return address


def _example(image: Upload) -> str:
    """The name of the example that a picture is, else of the first one of its kind."""
    if image is None:
        return FIRST
    if name := example_of(image):
        return name
    kind = classifier_for(*open_picture(image, figures.PREVIEW).info["size"])
    return next(name for name in (FIRST, *example_files()) if classifier_for(*size_of(name)) == kind)


def _resolved(address: Address) -> Scenario:
    """The scenario with the names that ``auto`` stands for."""
    name = resolved(address.scenario.classifier, size_of(address.example))
    return replace(address.scenario, classifier=name, codec=resolved_codec(address.scenario.codec, name))
