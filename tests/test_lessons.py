"""The tab "How it works", without a browser: what is computed for it, and how it is shown."""

import html
import re
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from app import exhibits, lessons, svg
from app.handlers.learning import Learning
from app.lessons import BINS, Coded, Lesson, Lessons, under_noise, untrained_logits
from app.page import text
from app.reports import remains
from app.scenario import Scenario
from model import ComDefend
from model.cards import page_text
from model.files import read_json
from model.zoo import CODECS, FAITHFUL
from tests.conftest import TINY_CODEC
from tests.reports import made_up_report

MOST_WORDS = 90


@pytest.fixture
def lesson(lab, picture, codec, pictures) -> Lesson:
    """What the tiny models came to."""
    grey_box, adaptive = (
        lab.run(picture, Scenario(classifier="cifar10", codec=FAITHFUL, threat_model=knowledge, epsilon=16))
        for knowledge in ("grey-box", "adaptive")
    )
    x = pictures[:1]
    noisy = under_noise(lab.logits(pictures, FAITHFUL), 20)
    return Lesson(grey_box, adaptive, {FAITHFUL: Coded(x, *lab.defend(x, FAITHFUL))}, noisy, noisy)


def said(markup: str) -> list[str]:
    """The words of a section's running text: headings, captions and drawings are no part of it."""
    return " ".join(re.findall(r"<p>(.*?)</p>", markup)).split()


def static(name: str) -> list[str]:
    heading, _, words = text.LESSONS[name].strip().partition("\n")
    assert heading.startswith("## ")
    return words.split()


def test_noise_turns_small_logits_and_leaves_large_ones():
    large = under_noise(torch.tensor([-1e6, 1e6]).expand(1, 1, 500, 2), 20)
    assert [code.flipped for code in large] == [0, 0, 0, 0]
    assert all(code.shares[0] == code.shares[-1] == 0.5 for code in large)
    small = under_noise(torch.full((1, 1, 100, 100), 0.1), 20)
    assert small[0].flipped == 0
    assert small[0].shares[BINS // 2] == 1  # sigmoid(0.1) is 0.525
    assert small[1].flipped == pytest.approx(0.5, abs=0.02)
    assert [code.sigma for code in small] == [0, 20, 200, 2000]
    for code in small:
        assert sum(code.shares) == pytest.approx(1, abs=1e-5)


def test_noise_is_the_same_at_every_start():
    logits = torch.linspace(-50, 50, 1000).view(1, 1, 10, 100)
    assert under_noise(logits, 20) == under_noise(logits, 20)


def test_the_untrained_network_is_the_same_at_every_start_and_no_other(codec, pictures):
    torch.manual_seed(5)
    first = untrained_logits(pictures, TINY_CODEC)
    assert torch.equal(first, untrained_logits(pictures, TINY_CODEC))
    assert first.shape == codec.logits(pictures).shape
    assert not torch.equal(first, codec.logits(pictures))


def test_the_lab_tells_the_numbers_before_the_threshold(lab, codec, pictures):
    logits = lab.logits(pictures, FAITHFUL)
    assert torch.equal((logits > 0).to(torch.uint8), codec.compress(pictures))
    with lab.turns.turn():  # it was given back
        pass


def test_a_lesson_is_made_of_two_runs_and_every_codec(lab, codec, monkeypatch):
    asked = []
    for name in CODECS:
        lab._codecs[name] = codec
    monkeypatch.setattr(
        lab, "run", lambda picture, scenario: asked.append((picture.size, scenario)) or scenario
    )
    made = lessons.make(lab)
    assert made.grey_box.threat_model == "grey-box"
    assert made.adaptive.threat_model == "adaptive"
    (one, first), (other, second) = asked
    assert one == other
    assert first.epsilon == second.epsilon
    assert list(made.coded) == list(CODECS)
    for name, coded in made.coded.items():
        small = CODECS[name].pictures == "small"
        assert (coded.picture.shape[-1] == 32) is small
        assert coded.reconstruction.shape == coded.picture.shape
    assert len(made.trained) == len(made.untrained) == len(lessons.NOISES)
    assert made.trained != made.untrained


def test_the_run_that_the_page_opens_with_is_not_computed_again(lab, codec, lesson, monkeypatch):
    asked = []
    for name in CODECS:
        lab._codecs[name] = codec
    monkeypatch.setattr(lab, "run", lambda picture, scenario: asked.append(scenario.threat_model) or scenario)
    room = Lessons(lab, SimpleNamespace(outcome=lesson.grey_box))
    room.begin().join()
    assert room.lesson.grey_box is lesson.grey_box
    assert asked == ["adaptive"]


def test_it_is_made_once_and_a_failure_is_kept(lab, monkeypatch, caplog):
    made = []
    monkeypatch.setattr(lessons, "make", lambda lab: made.append(lab) or "a lesson")
    room = Lessons(lab)
    room.begin().join()
    room.begin().join()
    assert made == [lab]
    assert room.lesson == "a lesson"
    monkeypatch.setattr(lessons, "make", lambda lab: 1 / 0)
    broken = Lessons(lab)
    broken.begin().join()
    assert broken.failed
    assert broken.lesson is None
    assert "could not be made" in caplog.text


def test_what_a_visitor_is_told_before_and_after(lab, lesson):
    room = SimpleNamespace(lesson=None, failed=False, begin=lambda: None)
    learning = Learning(lab, room, {})
    seen, timer, said, *sections = learning.lesson(False, FAITHFUL)
    assert (seen, timer["active"], said) == (False, True, text.LESSON_PENDING)
    assert len(sections) == len(exhibits.LessonView._fields)
    assert "<svg" in learning.codec(FAITHFUL)
    assert "<img" not in learning.codec(FAITHFUL)
    room.lesson = lesson
    seen, timer, said, *sections = learning.lesson(False, FAITHFUL)
    assert (seen, timer["active"], said["visible"]) == (True, False, False)
    assert all(section.count("<figure>") >= 3 for section in sections)
    assert learning.codec(FAITHFUL) == sections[1]
    again = learning.lesson(True, FAITHFUL)
    assert len(again) == 3 + len(sections)
    assert not any(isinstance(value, str) for value in again)  # nothing is sent twice
    room.lesson, room.failed = None, True
    seen, timer, said, *_ = learning.lesson(False, FAITHFUL)
    assert (seen, timer["active"], said) == (False, False, text.LESSON_FAILED)


@pytest.mark.parametrize("hostile", [None, "no-such-codec", ["comdefend-photo"], {"a": 1}, 3])
def test_what_is_no_codec_and_no_report_is_one_sentence(lab, hostile):
    room = SimpleNamespace(lesson=None, failed=False, begin=lambda: None)
    learning = Learning(lab, room, {"cifar10": made_up_report()})
    for ask in (learning.codec, learning.report, lambda name: learning.lesson(False, name)):
        with pytest.raises(gr.Error, match=r"(?i)unknown (codec|report)"):
            ask(hostile)


def test_every_section_is_short_and_has_a_picture_with_words_for_it(lab, lesson):
    view = exhibits.lesson(lesson, lab.codec(FAITHFUL).config, FAITHFUL)
    sections = view._asdict() | {"failures": exhibits.failures(remains({"cifar10": made_up_report()}))}
    assert list(sections) == list(text.LESSONS)
    for name, markup in sections.items():
        assert 20 <= len(static(name)) + len(said(markup)) <= MOST_WORDS, name
        pictures = re.findall(r"<(?:img|svg)[^>]*>", markup)
        named = re.findall(r'(?:alt|aria-label)="([^"]{10,})"', markup)
        assert len(pictures) == len(named)
        assert pictures or 'class="bar"' in markup


def test_the_sections_say_what_was_computed(lab, lesson):
    view = exhibits.lesson(lesson, lab.codec(FAITHFUL).config, FAITHFUL)
    says = lesson.grey_box.predictions
    for answer in (says["original"], says["adversarial"]):
        assert f"The classifier says “{answer.label}”, {answer.confidence:.0%}" in view.example
    for outcome in (lesson.grey_box, lesson.adaptive):
        held = "held" if outcome.verdict["defence_held"] else "fell"
        assert f"The defence {held}" in view.attackers
        answer = outcome.predictions["defended_adversarial"]
        assert f"Through ComDefend: “{answer.label}”, {answer.confidence:.0%}" in view.attackers
    assert "12 planes, 12 bits per pixel: 3,072 bits for these 16 × 16 pixels" in view.codec
    assert f"turns {lesson.trained[1].flipped:.1%} of this codec's bits" in html.unescape(view.noise)


def test_the_failures_are_the_reports_figures():
    markup = exhibits.failures(remains({"cifar10": made_up_report()}))
    assert re.findall(r"<span>([\d.]+%)</span>", markup) == ["90.0%", "61.0%", "11.3%"]
    assert exhibits.failures(None) == ""


def test_a_histogram_is_as_high_as_its_shares():
    drawing = svg.histogram((0.25, 0.0, 0.75), "what it shows")
    heights = [float(h) for h in re.findall(r'<rect [^>]*height="([\d.]+)"', drawing)]
    assert heights[1] == 0
    assert heights[2] == pytest.approx(3 * heights[0], abs=0.2)
    assert 'aria-label="what it shows"' in drawing


@pytest.mark.parametrize("name", CODECS)
def test_what_is_said_of_a_training_names_no_commands(name):
    folder = CODECS[name].folder
    said = page_text(ComDefend.from_pretrained(folder).config, read_json(folder / "history.json"))
    assert "- Length: " in said
    assert "python app.py" not in said
    assert "runs/" not in said
