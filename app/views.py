"""An outcome as what the page's components show."""

import html
import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from app import chart, figures, words
from app.events import Frame
from app.images import data_url, encode, to_picture
from app.measure import packed
from app.page import text
from app.scenario import Outcome, Prediction, ScenarioError
from model.entries import SMALL

SKIP: Any = gr.skip()
"""Leaves a component as it is."""


class RunView(NamedTuple):
    """What goes on: the state of a run, and of the buttons."""

    status: Any = SKIP
    stop: Any = SKIP
    """Update of the button that ends it."""
    done: Any = SKIP
    """What was asked for last, and is shown or on its way."""
    before: Any = SKIP
    """The outcomes of the run before."""
    flip: Any = SKIP
    """Update of the button that shows them."""


class AttackView(NamedTuple):
    """What a run changes on the page, besides its state and the fields of :class:`StripView`."""

    verdict: Any = SKIP
    results: Any = SKIP
    """Update of all that is hidden before the first run."""
    outcomes: Any = SKIP
    compared: Any = SKIP
    """Update of the row in which both attackers stand."""
    attackers: Any = SKIP
    detail: Any = SKIP
    """Update of the choice between them."""
    slider: Any = SKIP
    adversarial_file: Any = SKIP
    code_file: Any = SKIP
    summary_file: Any = SKIP


def attack(outcomes: list[Outcome], left: str, right: str, reports: dict[str, Any]) -> AttackView:
    """What one attacker's run, or both attackers' runs, change on the page.

    Args:
        outcomes: the first one is shown in detail.
        left, right: what the before/after slider compares, keys of ``text.PICTURES``.
        reports: the published evaluations, by classifier.
    """
    first = outcomes[0]
    both = len(outcomes) > 1
    results = [outcome.summary() for outcome in outcomes]
    measured = [words.measured(result, reports) for result in results]
    if both:
        verdict = f"**{words.comparison(results)}**"
    else:
        verdict = f"**{words.verdict(results[0])}**\n\n{measured[0]}"
    return AttackView(
        verdict,
        gr.update(visible=True, elem_classes=_size(first.is_small)),
        outcomes,
        gr.update(visible=both),
        attacker_cards(outcomes, measured) if both else "",
        gr.update(visible=both, value=first.scenario.threat_model),
        before_after(first, left, right),
        *downloads(first),
    )


def _size(is_small: bool) -> list[str]:
    """Small pictures are enlarged with hard pixels, large ones are shrunk and must not be."""
    return ["small"] if is_small else []


def downloads(outcome: Outcome) -> tuple[str, str, str]:
    """The files to take home, in the order of ``text.DOWNLOADS``: picture, code and run."""
    return (
        cached_file("adversarial.png", encode(to_picture(outcome.adversarial), "PNG")),
        cached_file("code.npz", packed(outcome.code_adversarial, outcome.adversarial)),
        cached_file("result.json", json.dumps(outcome.summary(), indent=2).encode()),
    )


def cached_file(name: str, data: bytes) -> str:
    """The path of a new file in Gradio's own cache, which the page's delete_cache empties."""
    return save_bytes_to_cache(data, name, get_upload_folder())


class StripView(NamedTuple):
    """One outcome in detail, in the order of the page's components."""

    strip: Any = SKIP
    """Update of what has the pictures in it."""
    original: Any = SKIP
    perturbation: Any = SKIP
    adversarial: Any = SKIP
    code: Any = SKIP
    reconstruction: Any = SKIP
    original_notes: Any = SKIP
    perturbation_notes: Any = SKIP
    adversarial_notes: Any = SKIP
    code_notes: Any = SKIP
    reconstruction_notes: Any = SKIP
    chart: Any = SKIP
    difference: Any = SKIP
    difference_notes: Any = SKIP
    planes_original: Any = SKIP
    planes_adversarial: Any = SKIP
    numbers: Any = SKIP
    summary: Any = SKIP


def strip(outcome: Outcome) -> StripView:
    """The pictures of a run, the planes of its code, and what is said of them."""
    result, says = outcome.summary(), outcome.predictions
    factor = figures.magnification(outcome.original, outcome.adversarial)
    coloured = figures.code_mosaic(outcome.code_adversarial, outcome.code_original)
    difference, times = figures.difference(outcome.original, outcome.defended_adversarial)
    steps = outcome.trail[-1].step if outcome.trail else 0
    bits = min(outcome.code_original.numel(), outcome.code_adversarial.numel())
    return StripView(
        strip=gr.update(elem_classes=_size(outcome.is_small)),
        original=to_picture(outcome.original),
        perturbation=figures.perturbation(outcome.original, outcome.adversarial),
        adversarial=to_picture(outcome.adversarial),
        code=coloured,
        reconstruction=to_picture(outcome.defended_adversarial),
        original_notes=bars(text.BARE, says["original"]) + bars(text.DEFENDED, says["defended_original"]),
        perturbation_notes=notes(words.perturbation(result, factor)),
        adversarial_notes=bars(text.BARE, says["adversarial"]),
        code_notes=notes(words.code(result, bits)),
        reconstruction_notes=bars(text.DEFENDED, says["defended_adversarial"]),
        chart=chart.confidence(outcome.trail, steps, says["original"].label),
        difference=difference,
        difference_notes=paragraph(words.difference(times)),
        planes_original=figures.code_mosaic(outcome.code_original),
        planes_adversarial=coloured,
        numbers=notes(words.numbers(result)),
        summary=result,
    )


def frame(now: Frame, is_first: bool = True) -> StripView:
    """What of the strip changes while an attack goes on; the original is the same in all but the first."""
    return StripView(
        strip=gr.update(elem_classes=_size(now.original.shape[-1] <= SMALL)),
        original=to_picture(now.original) if is_first else SKIP,
        perturbation=figures.perturbation(now.original, now.adversarial),
        adversarial=to_picture(now.adversarial),
        code=figures.code_mosaic(now.code_adversarial, now.code_original),
        reconstruction=to_picture(now.defended_adversarial),
        adversarial_notes=bars(text.BARE, now.bare),
        reconstruction_notes=bars(text.DEFENDED, now.defended),
        chart=chart.confidence(now.trail, now.steps, now.trail[0].bare.label),
    )


def before_after(outcome: Outcome, left: str, right: str) -> str:
    """Two pictures of a run, keys of ``text.PICTURES``, on top of each other, with a slider between them.

    Gradio's own slider is for the mouse alone; this one is an ``input``, which the keyboard reaches, too.
    ``page.js`` moves the border when it is moved.

    Raises:
        ScenarioError: there is no such key.
    """
    pair = [picture_of(outcome, which) for which in (left, right)]
    names = [html.escape(text.PICTURES[which]) for which in (left, right)]
    pictures = "".join(
        f'<img alt="{name}" src="{data_url(picture)}">' for name, picture in zip(names, pair, strict=True)
    )
    captions = "".join(f"<span>{name}</span>" for name in names)
    return (
        f'<div class="before-after">{pictures}{captions}'
        f'<input type="range" value="50" aria-label="{text.SLIDER.format(names[0])}"></div>'
    )


def picture_of(outcome: Outcome, which: str) -> Image.Image:
    """A picture of a run by its key of ``text.PICTURES``."""
    makers: dict[str, Callable[[], Image.Image]] = {
        "original": lambda: to_picture(outcome.original),
        "perturbation": lambda: figures.perturbation(outcome.original, outcome.adversarial),
        "adversarial": lambda: to_picture(outcome.adversarial),
        "code": lambda: figures.code_mosaic(outcome.code_adversarial, outcome.code_original),
        "reconstruction": lambda: to_picture(outcome.defended_adversarial),
        "clean_reconstruction": lambda: to_picture(outcome.defended_original),
        "difference": lambda: figures.difference(outcome.original, outcome.defended_adversarial)[0],
    }
    if which not in makers:
        raise ScenarioError(f"there is no picture {which!r} to compare; there are {', '.join(makers)}")
    return makers[which]()


def paragraph(sentence: str) -> str:
    """One statement."""
    return f'<p class="notes">{html.escape(sentence)}</p>'


def attacker_cards(outcomes: list[Outcome], remarks: list[str]) -> str:
    """Several attackers' outcomes next to each other, each with a remark."""
    cards = "".join(_card(outcome, remark) for outcome, remark in zip(outcomes, remarks, strict=True))
    return f'<div class="cards">{cards}</div>'


def _card(outcome: Outcome, remark: str) -> str:
    result = outcome.summary()
    title = text.ATTACKERS[outcome.scenario.threat_model]
    return (
        f'<div class="card"><h2>{html.escape(title)}</h2><p>{html.escape(words.verdict(result))}</p>'
        f"<p>{html.escape(remark)}</p>"
        + bars(text.CARD_BARE, outcome.predictions["adversarial"], 3)
        + bars(text.CARD_DEFENDED, outcome.predictions["defended_adversarial"], 3)
        + "</div>"
    )


def bars(title: str, prediction: Prediction, count: int = 5) -> str:
    """The most probable classes as a small table with bars."""
    return share_bars(title, prediction.top[:count])


def share_bars(title: str, shares: Iterable[tuple[str, float]], kind: str = "says") -> str:
    """Shares in [0,1] as a small table with bars, each with what it is of; ``kind`` are its classes."""
    rows = "".join(
        f'<div class="bar"><span class="fill" style="width:{100 * share:.1f}%"></span>'
        f"<span>{html.escape(label)}</span><span>{share:.1%}</span></div>"
        for label, share in shares
    )
    return f'<div class="{kind}"><div class="title">{html.escape(title)}</div>{rows}</div>'


def notes(rows: dict[str, str]) -> str:
    """Named statements."""
    body = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in rows.items())
    return f'<dl class="notes">{body}</dl>'
