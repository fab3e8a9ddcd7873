"""Drawings of what was measured, as SVG that takes the page's own text colour."""

import hashlib
import html
import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK, PAPER = "#000000", "#ffffff"
"""Drawn in these colours, and shown in the page's: ``currentColor``, and nothing."""


SCORES = {
    "agreement": "agreement under noise",
    "psnr_db": "PSNR with hard codes, dB",
    "accuracy": "accuracy",
}
"""What a run was scored by, and how the axis is called."""


def training(record: dict[str, Any]) -> str:
    """The score on the test pictures over the epochs of a run; nothing of a run with a single test."""
    epochs = record["epochs"]
    if len(epochs) < 2:
        return ""
    score = next(name for name in SCORES if name in epochs[0])
    figure = Figure(figsize=(4.6, 2.4), layout="constrained")
    panel = figure.subplots()
    panel.plot([epoch["epoch"] for epoch in epochs], [epoch[score] for epoch in epochs],
               color="#3b82f6", marker="o", markersize=4)  # fmt: skip
    panel.set_xlabel("epoch")
    panel.set_ylabel(SCORES[score])
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9)
    panel.grid(alpha=0.2, color=INK)
    first, last = epochs[0][score], epochs[-1][score]
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none"}):  # text stays text
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return inline(buffer.getvalue(), f"From {first:.3g} after the first epoch to {last:.3g} at the end.")


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
    """An SVG file of matplotlib's as a part of a page, in whose colours it is drawn."""
    text = text[text.index("<svg") :].replace(INK, "currentColor").replace(PAPER, "none")
    # Inline in a page, its style sheet and its ids would be the whole page's.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>c{own}-", text)
    attributes = 'class="curve" role="img" fill="currentColor" stroke-linejoin="round"'
    attributes += f' aria-label="{html.escape(alt)}"'
    return text.replace("<svg", f"<svg {attributes}", 1)
