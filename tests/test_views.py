import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from app import chart, views
from app.events import Frame
from app.figures import LEAST_PLANE
from app.images import to_picture
from app.page.text import PICTURES
from app.scenario import Prediction, Scenario, ScenarioError


@pytest.fixture
def outcomes(lab, picture) -> list:
    return [
        lab.run(picture, Scenario(classifier="cifar10", threat_model=knowledge, epsilon=16))
        for knowledge in ("grey-box", "adaptive")
    ]


def test_the_strip_shows_what_was_computed(outcomes):
    view = views.strip(outcomes[0])
    assert np.array_equal(np.asarray(view.adversarial), np.asarray(to_picture(outcomes[0].adversarial)))
    assert np.array_equal(
        np.asarray(view.reconstruction), np.asarray(to_picture(outcomes[0].defended_adversarial))
    )
    assert view.summary == outcomes[0].summary()
    assert view.original_notes.count('class="bar"') == 8
    flipped = (outcomes[0].code_original != outcomes[0].code_adversarial).sum().item()
    assert f"{flipped:,} of 3,072 bits" in view.code_notes
    grey = np.asarray(view.planes_original)
    assert (grey[..., 0] == grey[..., 2]).all()
    coloured = np.asarray(view.planes_adversarial)
    scale = LEAST_PLANE // 16  # each bit is a square of so many pixels
    assert (coloured[..., 0] != coloured[..., 2]).sum() == flipped * scale**2


@pytest.mark.parametrize("right", PICTURES)
def test_before_and_after_are_the_exact_pictures(outcomes, right):
    """Any of the pictures can be compared with any other."""
    text = views.before_after(outcomes[0], "adversarial", right)
    found = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall('base64,([^"]+)', text)
    ]
    shown = views.strip(outcomes[0])
    wanted = {name: getattr(shown, name, None) for name in PICTURES} | {
        "clean_reconstruction": to_picture(outcomes[0].defended_original)
    }
    assert len(found) == 2
    assert np.array_equal(found[0], np.asarray(shown.adversarial))
    assert np.array_equal(found[1], np.asarray(wanted[right]))
    assert 'type="range"' in text


def test_no_other_picture_can_be_compared(outcomes):
    with pytest.raises(ScenarioError, match="no picture 'secret'"):
        views.before_after(outcomes[0], "secret", "code")


def test_the_chart_tells_what_both_systems_said(outcomes):
    outcome = outcomes[0]
    begin, end = outcome.trail
    middle = end._replace(step=4, bare=end.bare._replace(original=0.5, label="<b>"))
    drawing = chart.confidence((begin, middle, end), 10, "<i>")
    root = ElementTree.fromstring(drawing)  # noqa: S314 - well-formed, and nothing in it is taken for markup
    assert "<b>" not in drawing
    assert "<i>" not in drawing
    lines = root.findall(".//{*}polyline")
    assert len(lines) == 2
    xs, ys = zip(*(map(float, point.split(",")) for point in lines[0].get("points").split()), strict=True)
    assert xs == (chart.LEFT, pytest.approx(0.6 * chart.LEFT + 0.4 * chart.RIGHT, abs=0.1), chart.RIGHT)
    assert ys[1] == pytest.approx((chart.TOP + chart.BOTTOM) / 2)
    assert root.find(".//{*}svg").get("aria-label").startswith("Confidence in “<i>” over 10 steps. Without")
    assert chart.confidence((begin, end), 10, "frog") == ""  # two points are no course


def test_a_frame_shows_the_attack_so_far(outcomes):
    outcome = outcomes[0]
    frame = Frame(
        step=3, steps=10, original=outcome.original, adversarial=outcome.adversarial,
        code_original=outcome.code_original, code_adversarial=outcome.code_adversarial,
        defended_adversarial=outcome.defended_adversarial,
        bare=outcome.predictions["adversarial"], defended=outcome.predictions["defended_adversarial"],
        trail=outcome.trail,
    )  # fmt: skip
    shown, wanted = views.frame(frame), views.strip(outcome)
    for name in ("strip", "original", "perturbation", "adversarial", "code", "reconstruction"):
        a, b = getattr(shown, name), getattr(wanted, name)
        assert a == b if name == "strip" else np.array_equal(np.asarray(a), np.asarray(b))
    assert shown.adversarial_notes == wanted.adversarial_notes
    assert shown.reconstruction_notes == wanted.reconstruction_notes
    assert views.frame(frame, is_first=False).original == views.SKIP
    assert shown.numbers == views.SKIP  # what is known at the end only


def test_both_attackers_stand_next_to_each_other(outcomes):
    text = views.attacker_cards(outcomes, ["remark <1>", "remark <2>"])
    assert text.count('class="card"') == 2
    assert text.index("grey-box") < text.index("remark &lt;1&gt;") < text.index("adaptive")


def test_labels_cannot_inject_markup():
    evil = "<script>alert(1)</script>"
    text = views.bars(evil, Prediction(evil, 1.0, [(evil, 1.0)])) + views.notes({evil: evil})
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 4
