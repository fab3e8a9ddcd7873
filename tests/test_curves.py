import re
from xml.etree import ElementTree

import pytest

from app import curves
from model.checkpoint import WEIGHTS, read_json
from model.evaluate import REPORTS

IDS = r' id="([^"]+)"'
SVG = "{http://www.w3.org/2000/svg}"


def words(text: str) -> list[str]:
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert {drawing.get("role") for drawing in root.iter(f"{SVG}svg")} == {"img"}
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


def test_a_reports_drawings_are_in_the_pages_colours():
    text = curves.of_report(REPORTS / "cifar10")
    said = words(text)
    assert {"grey-box: BIM, 10 steps", "adaptive: worst case", "planes kept", "code bits flipped, %"} <= set(
        said
    )
    assert "#000000" not in text  # the text has the page's colour, whatever it is
    assert "#ffffff" not in text  # and the paper its background
    assert "<style" not in text  # it would be the whole page's


def test_drawings_on_one_page_share_no_ids():
    text = curves.of_report(REPORTS / "cifar10")
    other = curves.training(read_json(WEIGHTS / "cifar10" / "history.json"))
    assert not set(re.findall(IDS, text)) & set(re.findall(IDS, other))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert used
    assert set(used) <= set(re.findall(IDS, text))


def test_a_drawing_that_is_not_there_is_not_missed(tmp_path):
    assert curves.of_report(tmp_path) == '<div class="curves"></div>'


def test_a_run_with_a_single_test_has_no_curve():
    record = read_json(WEIGHTS / "comdefend-cifar10-purify" / "history.json")
    assert curves.training(record | {"epochs": record["epochs"][:1]}) == ""
    while len(record["epochs"]) == 1:
        record = record["before"]
    assert "agreement under noise" in words(curves.training(record))


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("comdefend-cifar10", "PSNR with hard codes, dB"),
        ("cifar10", "accuracy"),
    ],
)
def test_the_training_curve_names_its_score(name, axis):
    assert axis in words(curves.training(read_json(WEIGHTS / name / "history.json")))
