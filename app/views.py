"""An outcome as what the page's components show."""

import base64
import html
import json
from typing import Any, NamedTuple

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from PIL import Image
from torch import Tensor

from app import figures, words
from app.images import encode, to_picture
from app.measure import packed
from app.page import text
from app.scenario import Outcome, Prediction


class AttackView(NamedTuple):
    """What a run changes on the page, besides its state and the fields of :class:`StripView`."""

    verdict: str
    results: Any
    """Update of all that is hidden before the first run."""
    outcomes: list[Outcome]
    compared: Any
    """Update of the row in which both attackers stand."""
    attackers: str
    detail: Any
    """Update of the choice between them."""
    slider: str
    adversarial_file: str
    code_file: str
    summary_file: str


def attack(outcomes: list[Outcome], pair: str, reports: dict[str, Any]) -> AttackView:
    """What one attacker's run, or both attackers' runs, change on the page.

    Args:
        outcomes: the first one is shown in detail.
        pair: what the before/after slider compares, a key of ``text.PAIRS``.
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
        # Small pictures are enlarged with hard pixels, large ones are shrunk and must not be.
        gr.update(visible=True, elem_classes=["small"] if first.is_small else []),
        outcomes,
        gr.update(visible=both),
        attacker_cards(outcomes, measured) if both else "",
        gr.update(visible=both, value=first.scenario.threat_model),
        before_after(first, pair),
        *downloads(first),
    )


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

    original: Image.Image
    perturbation: Image.Image
    adversarial: Image.Image
    code: Image.Image
    reconstruction: Image.Image
    original_notes: str
    perturbation_notes: str
    adversarial_notes: str
    code_notes: str
    reconstruction_notes: str
    planes_original: Image.Image
    planes_adversarial: Image.Image
    numbers: str
    summary: dict[str, Any]


def strip(outcome: Outcome) -> StripView:
    """The pictures of a run, the planes of its code, and what is said of them."""
    result, says = outcome.summary(), outcome.predictions
    factor = figures.magnification(outcome.original, outcome.adversarial)
    coloured = figures.code_mosaic(outcome.code_adversarial, outcome.code_original)
    return StripView(
        original=to_picture(outcome.original),
        perturbation=figures.perturbation(outcome.original, outcome.adversarial),
        adversarial=to_picture(outcome.adversarial),
        code=coloured,
        reconstruction=to_picture(outcome.defended_adversarial),
        original_notes=bars(text.BARE, says["original"]) + bars(text.DEFENDED, says["defended_original"]),
        perturbation_notes=notes(words.perturbation(result, factor)),
        adversarial_notes=bars(text.BARE, says["adversarial"]),
        code_notes=notes(words.code(result, outcome.code_original.numel())),
        reconstruction_notes=bars(text.DEFENDED, says["defended_adversarial"]),
        planes_original=figures.code_mosaic(outcome.code_original),
        planes_adversarial=coloured,
        numbers=notes(words.numbers(result)),
        summary=result,
    )


def before_after(outcome: Outcome, pair: str) -> str:
    """The two pictures of a key of ``text.PAIRS`` on top of each other, with a slider between them.

    Gradio's own slider is for the mouse alone; this one is an ``input``, which the keyboard reaches, too.
    ``page.js`` moves the border when it is moved.
    """
    pictures = "".join(
        f'<img alt="{html.escape(text.VIEW_NAMES[view])}" src="{_data_url(getattr(outcome, view))}">'
        for view in text.PAIRS[pair]
    )
    left, right = (html.escape(text.VIEW_NAMES[view]) for view in text.PAIRS[pair])
    return (
        f'<div class="before-after">{pictures}<span>{left}</span><span>{right}</span>'
        f'<input type="range" value="50" aria-label="{text.SLIDER.format(left)}"></div>'
    )


def _data_url(x: Tensor) -> str:
    return "data:image/png;base64," + base64.b64encode(encode(to_picture(x), "PNG")).decode()


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
    rows = "".join(
        f'<div class="bar"><span class="fill" style="width:{100 * share:.1f}%"></span>'
        f"<span>{html.escape(label)}</span><span>{share:.1%}</span></div>"
        for label, share in prediction.top[:count]
    )
    return f'<div class="says"><div class="title">{html.escape(title)}</div>{rows}</div>'


def notes(rows: dict[str, str]) -> str:
    """Named statements."""
    body = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in rows.items())
    return f'<dl class="notes">{body}</dl>'
