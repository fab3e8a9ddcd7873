"""What a link says, what it opens, and the scenario as code, without a browser."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
import pytest
from PIL import Image

from app.address import FIRST, HIDEABLE, example_files, planes_of, read
from app.bundle import bundle
from app.handlers import sharing
from app.handlers.sharing import Opened
from app.lab import Lab
from app.page.text import CODE
from app.scenario import Scenario
from app.snippets import HOME
from model.attacks import THREAT_MODELS
from tests.conftest import PHOTOGRAPH, ROOT

CONTROLS: dict[str, Any] = {
    "image": PHOTOGRAPH.read_bytes(), "classifier": "auto", "attack": "PGD", "threat_model": "adaptive",
    "epsilon": 8, "steps": 20, "target": "", "seed": 3, "codec": "auto", "planes_percent": 100,
}  # fmt: skip


def visit(query: str) -> Opened:
    return sharing.open_address(SimpleNamespace(query_params=dict(parse_qsl(query))))


def link(hidden: list[str] | None = None, **changes: Any) -> tuple[str, str]:
    field, said = sharing.link(**{**CONTROLS, **changes}, hidden=hidden or [])
    assert field["visible"]
    return field["value"], said


def value(update: Any) -> Any:
    return update["value"] if isinstance(update, dict) else update


def test_an_address_that_says_nothing_leaves_the_page_as_it_is():
    opened = visit("__theme=dark")
    assert all(update == gr.skip() for update in opened[:-1])
    assert not opened.said["visible"]


def test_a_link_opens_what_was_chosen():
    for changes in (
        {},
        {"image": example_files()["frog"].read_bytes(), "target": "cat", "planes_percent": 50},
        {"attack": "DeepFool", "threat_model": "grey-box"},
        {"threat_model": "both", "codec": "comdefend-cifar10"},
        {"classifier": "cifar10", "codec": "comdefend-photo", "planes_percent": 5, "seed": None},
    ):
        chosen = {**CONTROLS, **changes}
        query, said = link(["seed", "codec"], **changes)
        opened = visit(query)
        assert said == ""
        assert not opened.said["visible"]
        assert example_files()[opened.image.split("/")[-1].split(".")[0]].read_bytes() == chosen["image"]
        for name in ("classifier", "attack", "threat_model", "target", "codec"):
            assert value(getattr(opened, name)) == chosen[name], name
        assert opened.hidden == ["seed", "codec"]
        assert value(opened.seed) == (chosen["seed"] or 0)
        if chosen["attack"] == "DeepFool":
            assert not opened.epsilon["visible"]
            assert not opened.target["visible"]
        else:
            assert (value(opened.epsilon), value(opened.steps)) == (8, 20)
        used = read(dict(parse_qsl(query)))[0]
        planes = planes_of(sharing._resolved(used).codec)
        assert opened.planes == pytest.approx(chosen["planes_percent"], abs=100 / planes)
        assert link(["codec", "seed"], **{**changes, "planes_percent": opened.planes})[0] == query


def test_a_target_is_among_the_choices_of_the_classifier_that_is_opened():
    target = visit("example=frog&target=cat").target
    assert target["value"] == "cat"
    assert len(target["choices"]) == 11
    assert len(visit("example=espresso&attack=FGSM").target["choices"]) == 1001


def test_a_picture_of_ones_own_is_not_in_a_link():
    own = (ROOT / "app" / "report" / "cifar10" / "examples.png").read_bytes()
    query, said = link(image=own)
    assert f"example={FIRST}&" in query
    assert f"“{FIRST}”" in said
    assert link(image=None) == (query, "")


def test_what_an_address_cannot_have_is_said_in_our_own_words():
    opened = visit("attack=<script>&epsilon=9e9&example=ship")
    assert opened.attack == "BIM"
    assert opened.said["visible"]
    assert "(attack, epsilon)" in opened.said["value"]
    assert "<script>" not in str(opened)
    nothing_else = visit("attack=magic")
    assert nothing_else.said["visible"]
    assert nothing_else.image == gr.skip()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attack": "magic"}, "Unknown attack"),
        ({"classifier": ["cifar10"]}, "Unknown classifier"),
        ({"codec": "/etc"}, "Unknown codec"),
        ({"epsilon": 1e9}, "no choice here: epsilon"),
        ({"epsilon": "strong"}, "Epsilon must be a number"),
        ({"steps": 100_000}, "no choice here: steps"),
        ({"target": "<script>"}, "no choice here: target"),
        ({"threat_model": "x" * 10_000}, "no choice here: threat_model"),
        ({"planes_percent": -1}, "share of planes kept"),
        ({"seed": float("nan")}, "Seed must be a whole number"),
        ({"image": b"no picture"}, "not a picture"),
    ],
)
def test_a_link_to_what_is_no_choice_is_refused_in_one_sentence(changes, message):
    with pytest.raises(gr.Error, match=message):
        link(**changes)
    with pytest.raises(gr.Error, match=message):
        sharing.code(**{**CONTROLS, **changes})


def test_only_what_can_be_hidden_is():
    assert "hide=epsilon,seed" in link(["seed", "run", "epsilon", "<script>"])[0]
    assert read(dict(parse_qsl(link(list(HIDEABLE))[0])))[0].hidden == HIDEABLE
    assert "hide" not in link()[0]


def test_the_code_names_what_was_chosen():
    blocks = re.findall(r"```\w+\n(.*?)```", sharing.code(**CONTROLS), re.DOTALL)
    python, client, curl = blocks
    assert 'load_classifier("imagenet")' in python
    assert "app/examples/espresso.jpg" in python
    assert 'threat_model="adaptive"' in client
    assert '"steps": 20' in curl
    assert HOME in client
    assert HOME in curl
    assert CODE.count("```") == 6


def test_the_run_that_is_shown_is_kept(classifier, codec, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    lab = Lab("cpu")
    lab._classifiers["cifar10"], lab._codecs["comdefend-cifar10"] = classifier, codec
    picture = Image.new("RGB", (16, 16), "teal")
    outcomes = [
        lab.run(picture, Scenario(classifier="cifar10", codec="comdefend-cifar10", threat_model=knowledge))
        for knowledge in THREAT_MODELS
    ]
    for index, knowledge in enumerate(THREAT_MODELS):
        assert Path(sharing.keep(outcomes, knowledge)).read_bytes() == bundle(outcomes[index])
    assert Path(sharing.keep(outcomes[:1], None)).read_bytes() == bundle(outcomes[0])
    for nothing in (None, []):
        with pytest.raises(gr.Error, match="no run to keep yet"):
            sharing.keep(nothing, "adaptive")
