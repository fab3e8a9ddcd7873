import re
from typing import Any
from xml.etree import ElementTree

import pytest

from app import curves
from model import curve
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
    other = curves.training(WEIGHTS / "cifar10")
    assert not set(re.findall(IDS, text)) & set(re.findall(IDS, other))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert used
    assert set(used) <= set(re.findall(IDS, text))


def test_a_drawing_that_is_not_there_is_not_missed(tmp_path):
    assert curves.of_report(tmp_path) == '<div class="curves"></div>'


def test_a_run_with_a_single_test_has_no_curve():
    folder = WEIGHTS / "cifar10-on-reconstructions"
    assert len(read_json(folder / "history.json")["epochs"]) == 1
    assert curves.training(folder) == ""
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
    assert axis in words(curves.training(WEIGHTS / name))
    assert "](curve.svg)" in (WEIGHTS / name / "README.md").read_text()


def record(task: str, *scores: float, **more: object) -> dict[str, Any]:
    epochs = [{"epoch": 1.5 * (n + 1), "accuracy": score} for n, score in enumerate(scores)]
    return {"recipe": {"task": task}, "epochs": epochs, **more}


def test_a_curve_goes_through_the_runs_of_a_recipe():
    """The second run went on from the first; before that, another recipe's weights were taken."""
    other = record("codec", 0.0)
    last = record("classifier", 0.5, 0.6, before=record("classifier", 0.3, 0.4, before=other))
    assert curve.points(last) == ("accuracy", [[(1.5, 0.3), (3.0, 0.4)], [(4.5, 0.5), (6.0, 0.6)]])
    assert curve.summary(last) == "accuracy on test pictures: from 0.3 at first to 0.6 at the end"
    assert "epoch, over 2 runs" in curve.draw(last)
    assert curve.worth_drawing(last)
    assert not curve.worth_drawing(record("classifier", 0.5, before=other))


def test_the_curve_of_adversarial_training_is_of_what_stood_on_pictures_held_out():
    run = record("robust", 0.8, held_out=100)
    run["epochs"][0]["robust_accuracy"] = 0.4
    assert curve.points(run) == ("robust_accuracy", [[(1.5, 0.4)]])
    assert "on training pictures held out" in curve.summary(run)


def test_a_curve_of_an_earlier_run_is_not_kept(tmp_path):
    curve.write(tmp_path, record("classifier", 0.5, 0.6))
    assert (tmp_path / curve.FILE).is_file()
    curve.write(tmp_path, record("classifier", 0.5))
    assert not (tmp_path / curve.FILE).exists()
