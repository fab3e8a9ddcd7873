"""Drawings of what was measured, as SVG that takes the page's own text colour."""

import hashlib
import html
import re
from pathlib import Path

from model import curve
from model.checkpoint import read_json
from model.curve import INK, PAPER


def training(folder: Path) -> str:
    """The training curve of a model in a folder; nothing of one with a single test."""
    path = folder / curve.FILE
    if not path.is_file():
        return ""
    return inline(path.read_text(encoding="utf-8"), curve.summary(read_json(folder / "history.json")))


ALTS = {
    "accuracy": "Accuracy against strength, grey-box and adaptive: the tables say the same.",
    "bits": "Share of code bits that an attack and that noise flip, against strength.",
    "dial": "Accuracy against the number of planes of the code that are kept.",
}
"""The drawings of a report, in the order in which they are shown, and what they show."""


def of_report(folder: Path) -> str:
    """The drawings of a published report, those that there are."""
    drawn = [(folder / f"{name}.svg", alt) for name, alt in ALTS.items()]
    shown = "".join(inline(path.read_text(encoding="utf-8"), alt) for path, alt in drawn if path.is_file())
    return f'<div class="curves">{shown}</div>'


def inline(text: str, alt: str) -> str:
    """An SVG file of matplotlib's as a part of a page, in whose colours it is shown: its own, and none."""
    text = text[text.index("<svg") :].replace(INK, "currentColor").replace(PAPER, "none")
    # Inline in a page, its style sheet and its ids would be the whole page's.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>c{own}-", text)
    attributes = 'class="curve" role="img" fill="currentColor" stroke-linejoin="round"'
    attributes += f' aria-label="{html.escape(alt)}"'
    return text.replace("<svg", f"<svg {attributes}", 1)
