import re
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes

from app import curves
from model.checkpoint import WEIGHTS, read_json
from model.evaluate import published

IDS = r' id="([^"]+)"'
SVG = "{http://www.w3.org/2000/svg}"


def words(text: str) -> list[str]:
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert {drawing.get("role") for drawing in root.iter(f"{SVG}svg")} == {"img"}
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ["cifar10", "imagenet"])
def test_the_robustness_curves_show_every_attack_and_attacker(name):
    report = published()[name]
    text = curves.robustness(report)
    for attack in {cell["attack"] for cell in report["cells"]} - {"clean"}:
        assert attack in words(text)
    assert set(curves.NAMES.values()) <= set(words(text))
    assert "#000000" not in text  # the text has the page's colour, whatever it is
    assert "<style" not in text  # it would be the whole page's
    other = curves.training(read_json(WEIGHTS / "cifar10" / "history.json"))
    assert not set(re.findall(IDS, text)) & set(re.findall(IDS, other))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert used
    assert set(used) <= set(re.findall(IDS, text))


def test_the_lines_are_where_the_figures_are(monkeypatch):
    drawn: dict[str, tuple] = {}

    def errorbar(_panel: Axes, x: list, y: list, errors: list, *, label: str, **_: object) -> None:
        drawn[label] = (x, y, errors)

    monkeypatch.setattr(Axes, "errorbar", errorbar)
    monkeypatch.setattr(Axes, "legend", lambda _panel, **_: None)  # there is nothing to name
    cells = [
        {"attack": "clean", "epsilon": None, "threat_model": "no attacker", "defence": "comdefend",
         "accuracy": 0.9, "interval": [0.8, 0.95]},
        {"attack": "clean", "epsilon": None, "threat_model": "no attacker", "defence": "none",
         "accuracy": 0.92, "interval": [0.9, 0.94]},
        {"attack": "FGSM", "epsilon": 2, "threat_model": "adaptive", "defence": "comdefend",
         "accuracy": 0.5, "interval": [0.4, 0.65]},
    ]  # fmt: skip
    curves.robustness({"cells": cells})
    assert list(drawn) == [curves.NAMES["adaptive"]]
    x, y, (below, above) = drawn[curves.NAMES["adaptive"]]
    assert x == [0, 2]
    assert y == [90, 50]
    assert below == pytest.approx([10, 10])
    assert above == pytest.approx([5, 15])


def test_an_attacker_that_was_not_measured_has_no_line():
    report = published()["imagenet"]
    cells = [cell for cell in report["cells"] if cell["threat_model"] != "adaptive"]
    assert curves.NAMES["adaptive"] not in words(curves.robustness({**report, "cells": cells}))


@pytest.mark.parametrize(
    ("name", "axis"), [("comdefend-cifar10", "PSNR with hard codes, dB"), ("cifar10", "accuracy")]
)
def test_the_training_curve_names_its_score(name, axis):
    assert axis in words(curves.training(read_json(WEIGHTS / name / "history.json")))
