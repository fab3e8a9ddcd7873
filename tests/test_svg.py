"""Drawings in the page."""

import re
from xml.etree import ElementTree

import pytest

from app import svg
from app.page.build import FOLDER
from app.places import PUBLISHED
from model.config import CodecConfig
from model.curve import INK, PAPER
from model.files import read_json
from model.pretrained import WEIGHTS

IDS = r' id="([^"]+)"'
SVG = "{http://www.w3.org/2000/svg}"


def words(text: str) -> list[str]:
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert {drawing.get("role") for drawing in root.iter(f"{SVG}svg")} == {"img"}
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


def test_a_reports_drawings_are_in_the_pages_colours():
    text = svg.of_report(PUBLISHED.reports / "cifar10")
    said = words(text)
    assert {"planes kept", "code bits flipped, %"} <= set(said)
    assert "grey-box: BIM, 10 steps" not in said  # the chart above has these figures
    # Ink and paper stand in style attributes alone, where the style sheet finds them.
    coloured = re.findall(rf"(?:fill|stroke): (?:{INK}|{PAPER})(?=[;\"])", text)
    assert len(coloured) == text.count(INK) + text.count(PAPER)
    assert set(coloured) == {f"stroke: {INK}", f"fill: {PAPER}"}
    rules = (FOLDER / "views.css").read_text()
    assert all(f'.curve [style*="{colour}"] {{' in rules for colour in coloured)
    assert "<style" not in text  # it would be the whole page's


def test_drawings_on_one_page_share_no_ids():
    text = svg.of_report(PUBLISHED.reports / "cifar10")
    other = svg.training(WEIGHTS / "cifar10")
    assert not set(re.findall(IDS, text)) & set(re.findall(IDS, other))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert used
    assert set(used) <= set(re.findall(IDS, text))


def test_a_reports_drawings_call_defences_as_the_page_does():
    folder = PUBLISHED.reports / "resnet20-ingredients"
    long, short = "runs/ablation/two-guides", "two-guides"
    assert long in words(svg.of_report(folder))
    said = words(svg.of_report(folder, {long: short}))
    assert short in said
    assert long not in said


def test_a_drawing_that_is_not_there_is_not_missed(tmp_path):
    assert svg.of_report(tmp_path) == '<div class="curves"></div>'


def test_a_run_with_a_single_test_has_no_curve():
    folder = WEIGHTS / "cifar10-on-reconstructions"
    assert len(read_json(folder / "history.json")["epochs"]) == 1
    assert svg.training(folder) == ""
    assert "![" not in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("comdefend-cifar10", "PSNR with hard codes, dB"),
        ("comdefend-cifar10-purify", "agreement under noise"),
        ("cifar10", "accuracy"),
    ],
)
def test_the_training_curve_names_its_score_and_the_card_shows_it(name, axis):
    assert axis in words(svg.training(WEIGHTS / name))
    assert "](curve.svg)" in (WEIGHTS / name / "README.md").read_text()


def test_the_drawing_follows_the_configuration():
    config = CodecConfig(com_widths=(5, 77, 4), rec_widths=(9, 3))
    text = svg.networks(config)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for width in (5, 77, 4, 9, 3):
        assert str(width) in words
    assert words.count("4 bits per pixel") == 2
    assert "3 convolutions" in root.get("aria-label")
    assert not any(word.startswith("folded") for word in words if word)
    assert "#" not in text  # drawn in the text's own colour, whatever it is


def test_the_drawing_of_the_light_shape_has_its_folds_planes_and_shortcuts():
    config = CodecConfig.light(downscale=4, planes=64, width=96, com_blocks=3, rec_blocks=2)
    root = ElementTree.fromstring(svg.networks(config))  # noqa: S314 - our own text
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("folded 4 × 4") == 2
    assert words.count("64 planes") == words.count("4 bits per pixel") == 2
    arcs = [path.get("d") for path in root.iter("{http://www.w3.org/2000/svg}path") if "-14" in path.get("d")]
    assert sum("q" in d for d in arcs) == 5
    assert "folded 4 × 4" in root.get("aria-label")
