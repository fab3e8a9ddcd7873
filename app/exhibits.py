"""A lesson as what the page shows: strips of pictures, drawings, and the sentences that were computed."""

import html
from collections.abc import Iterable
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from app import figures, svg, tab_words
from app.images import data_url, to_picture
from app.lessons import BINS, Coded, Lesson, NoisyCode
from app.page import text
from app.reports import Remains
from app.scenario import Outcome, Prediction
from app.views import share_bars
from model.config import CodecConfig
from model.entries import SMALL

EDGE = BINS // 10
"""So many bins at each end are near 0 or 1."""


class LessonView(NamedTuple):
    """The sections that have to wait until they are computed, by their names in ``text.LESSONS``."""

    example: str
    codec: str
    noise: str
    attackers: str


def lesson(lesson: Lesson, config: CodecConfig, codec: str) -> LessonView:
    """All sections that were computed, one of the codecs being looked at."""
    return LessonView(
        example=example(lesson.grey_box),
        codec=through_codec(config, lesson.coded[codec]),
        noise=noise(lesson),
        attackers=attackers((lesson.grey_box, lesson.adaptive)),
    )


def example(outcome: Outcome) -> str:
    """Original, perturbation and adversarial picture, with the classifier's two answers."""
    says = outcome.predictions
    factor = figures.magnification(outcome.original, outcome.adversarial)
    perturbation = figures.perturbation(outcome.original, outcome.adversarial)
    return _sentence(tab_words.example(outcome.summary(), factor)) + _strip(
        [
            _picture("original", outcome.original, _answer(text.SAYS, says["original"])),
            _figure(perturbation, "perturbation"),
            _picture("adversarial", outcome.adversarial, _answer(text.SAYS, says["adversarial"])),
        ]
    )


def through_codec(config: CodecConfig, coded: Coded | None) -> str:
    """A codec's networks, and, once it is there, what they make of a picture."""
    drawing = svg.networks(config)
    if coded is None:
        return drawing
    size = (coded.picture.shape[-2], coded.picture.shape[-1])
    return (
        _sentence(tab_words.code_of(config, size))
        + drawing
        + _strip(
            [
                _picture("picture", coded.picture),
                _figure(figures.code_mosaic(coded.code), "code"),
                _picture("reconstruction", coded.reconstruction),
            ]
        )
    )


def noise(lesson: Lesson) -> str:
    """How the codes of a trained and of an untrained network are spread, under growing noise."""
    trained, untrained = lesson.trained[1], lesson.untrained[1]
    rows = "".join(
        f"<h3>{html.escape(text.NETWORKS[name])}</h3>"
        + _strip([_histogram(name, code) for code in getattr(lesson, name)], "histograms")
        for name in text.NETWORKS
    )
    return _sentence(tab_words.flips(trained.sigma, trained.flipped, untrained.flipped)) + rows


def _histogram(name: str, code: NoisyCode) -> str:
    extreme = sum(code.shares[:EDGE]) + sum(code.shares[-EDGE:])
    said = tab_words.noisy_code(code.sigma, extreme, code.flipped)
    drawing = svg.histogram(code.shares, f"{text.NETWORKS[name]}: {said}")
    return f"<figure>{drawing}<figcaption>{html.escape(said)}</figcaption></figure>"


def attackers(outcomes: Iterable[Outcome]) -> str:
    """What each attacker made of one picture, and what the codec made of that."""
    return f'<div class="cards">{"".join(_attacker(outcome) for outcome in outcomes)}</div>'


def _attacker(outcome: Outcome) -> str:
    says = outcome.predictions
    return (
        f'<div class="card"><h3>{html.escape(text.ATTACKERS[outcome.scenario.threat_model])}</h3>'
        + _sentence(tab_words.held(outcome.summary()))
        + _strip(
            [
                _picture("adversarial", outcome.adversarial, _answer(text.SAYS, says["adversarial"])),
                _picture(
                    "reconstruction",
                    outcome.defended_adversarial,
                    _answer(text.SAYS_DEFENDED, says["defended_adversarial"]),
                ),
            ]
        )
        + "</div>"
    )


def failures(remains: Remains | None) -> str:
    """What a report says is left of right answers under attack; empty without a report."""
    if remains is None:
        return ""
    return share_bars(tab_words.remains_of(remains), tab_words.remains(remains), "says remains")


def _strip(figures: Iterable[str], kind: str = "") -> str:
    return f'<div class="exhibits {kind}">{"".join(figures)}</div>'


def _sentence(said: str) -> str:
    return f"<p>{html.escape(said)}</p>"


def _answer(form: str, says: Prediction) -> str:
    return form.format(f"“{says.label}”, {says.confidence:.0%}")


def _picture(name: str, x: Tensor, says: str = "") -> str:
    """A picture, (1,3,H,W) in [0,1], by its name in ``text.EXHIBITS``."""
    return _figure(to_picture(x), name, says)


def _figure(picture: Image.Image, name: str, says: str = "") -> str:
    caption, alt = text.EXHIBITS[name]
    # Small pictures are enlarged with hard pixels, large ones are shrunk and must not be.
    kind = ' class="hard"' if max(picture.size) <= SMALL else ""
    answer = f"<span>{html.escape(says)}</span>" if says else ""
    return (
        f'<figure><img{kind} alt="{html.escape(alt)}" src="{data_url(picture)}">'
        f"<figcaption>{html.escape(caption)}{answer}</figcaption></figure>"
    )
