"""An outcome as what the page's components show."""

import base64
import html
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from app import figures, words
from app.images import encode, to_picture
from app.lab import Outcome, Prediction, View

VIEW_NAMES: dict[View, str] = {
    "original": "Original",
    "adversarial": "Adversarial",
    "defended_original": "Reconstruction",
    "defended_adversarial": "Reconstruction",
}
PAIRS: dict[str, tuple[View, View]] = {
    "Original and adversarial": ("original", "adversarial"),
    "Adversarial and its reconstruction": ("adversarial", "defended_adversarial"),
    "Original and its reconstruction": ("original", "defended_original"),
}
"""What the before/after slider can compare: two pictures of an outcome."""

ATTACKERS = {"grey-box": "Knows the classifier only (grey-box)", "adaptive": "Knows both (adaptive)"}


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
    result = outcome.summary()
    metrics, says = result["metrics"], outcome.predictions
    factor = figures.magnification(outcome.original, outcome.adversarial)
    bits = outcome.code_original.numel()
    coloured = figures.code_mosaic(outcome.code_adversarial, outcome.code_original)
    return StripView(
        original=to_picture(outcome.original),
        perturbation=figures.perturbation(outcome.original, outcome.adversarial),
        adversarial=to_picture(outcome.adversarial),
        code=coloured,
        reconstruction=to_picture(outcome.defended_adversarial),
        original_notes=bars("The classifier says", says["original"])
        + bars("Through ComDefend", says["defended_original"]),
        perturbation_notes=notes(
            {
                "Shown": f"{factor} times magnified" if metrics["linf_255"] else "there is none",
                "Largest change": f"{metrics['linf_255']:g}/255",
            }
        ),
        adversarial_notes=bars("The classifier says", says["adversarial"]),
        code_notes=notes(
            {
                "Size": f"{metrics['code_bits_per_pixel']:g} bits per pixel",
                "Flipped": f"{round(metrics['code_bits_flipped'] * bits):,} of {bits:,} bits, in colour",
            }
        ),
        reconstruction_notes=bars("Through ComDefend", says["defended_adversarial"]),
        planes_original=figures.code_mosaic(outcome.code_original),
        planes_adversarial=coloured,
        numbers=notes(words.numbers(result)),
        summary=result,
    )


def before_after(outcome: Outcome, choice: str) -> str:
    """The two pictures of a key of ``PAIRS`` on top of each other, with a slider between them.

    Gradio's own slider is for the mouse alone; this one is an ``input``, which the keyboard reaches, too.
    """
    pictures = "".join(
        f'<img alt="{html.escape(VIEW_NAMES[view])}" src="{_data_url(getattr(outcome, view))}">'
        for view in PAIRS[choice]
    )
    left, right = (html.escape(VIEW_NAMES[view]) for view in PAIRS[choice])
    return (
        f'<div class="before-after">{pictures}<span>{left}</span><span>{right}</span>'
        f'<input type="range" value="50" aria-label="Share of the picture that shows: {left}" '
        "oninput=\"this.parentElement.style.setProperty('--at', this.value + '%')\"></div>"
    )


def _data_url(x: Tensor) -> str:
    return "data:image/png;base64," + base64.b64encode(encode(to_picture(x), "PNG")).decode()


def attacker_cards(outcomes: list[Outcome], remarks: list[str]) -> str:
    """Several attackers' outcomes next to each other, each with a remark."""
    cards = "".join(_card(outcome, remark) for outcome, remark in zip(outcomes, remarks, strict=True))
    return f'<div class="cards">{cards}</div>'


def _card(outcome: Outcome, remark: str) -> str:
    result = outcome.summary()
    title = ATTACKERS[outcome.scenario.threat_model]
    return (
        f'<div class="card"><h2>{html.escape(title)}</h2><p>{html.escape(words.verdict(result))}</p>'
        f"<p>{html.escape(remark)}</p>"
        + bars("Adversarial, the bare classifier", outcome.predictions["adversarial"], 3)
        + bars("Adversarial, through ComDefend", outcome.predictions["defended_adversarial"], 3)
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
