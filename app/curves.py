"""Curves of what was measured, as SVG that takes the page's own text colour."""

import hashlib
import html
import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#000000"
"""Drawn in this colour, and shown in the page's: ``currentColor``."""
MARKS = {
    "white-box": ("#8b8b8b", "s", ":"),
    "grey-box": ("#3b82f6", "o", "-"),
    "adaptive": ("#f97316", "^", "-"),
}
NAMES = {
    "white-box": "undefended (white-box)",
    "grey-box": "ComDefend (grey-box)",
    "adaptive": "ComDefend (adaptive)",
}


def robustness(report: dict[str, Any]) -> str:
    """Accuracy against strength, one drawing an attack, one line an attacker, with 95 % intervals.

    Args:
        report: of the evaluation of one classifier.
    """
    cells = report["cells"]
    attacks = dict.fromkeys(cell["attack"] for cell in cells if cell["epsilon"] is not None)
    return f'<div class="curves">{"".join(_robustness(cells, attack) for attack in attacks)}</div>'


def _robustness(cells: list[dict[str, Any]], attack: str) -> str:
    figure = Figure(figsize=(3.6, 2.9), layout="constrained")
    panel = figure.subplots()
    clean = {cell["defence"]: cell for cell in cells if cell["epsilon"] is None}
    for who, (colour, marker, style) in MARKS.items():
        line = [clean["none" if who == "white-box" else "comdefend"]]
        line += [c for c in cells if (c["attack"], c["threat_model"]) == (attack, who)]
        if len(line) == 1:
            continue
        panel.errorbar(
            [cell["epsilon"] or 0 for cell in line],
            [100 * cell["accuracy"] for cell in line],
            [
                [max(0, 100 * (cell["accuracy"] - cell["interval"][0])) for cell in line],
                [max(0, 100 * (cell["interval"][1] - cell["accuracy"])) for cell in line],
            ],
            color=colour, marker=marker, linestyle=style, markersize=4, capsize=2, label=NAMES[who],
        )  # fmt: skip
    panel.set_title(attack, fontsize=10)
    panel.set_xlabel("strength, in 1/255")
    panel.set_ylabel("accuracy, %")
    panel.set_ylim(0, 100)
    panel.legend(frameon=False, fontsize=8)
    _plain(panel)
    return _svg(figure, f"Accuracy against strength under {attack}: the table says the same.")


def training(record: dict[str, Any]) -> str:
    """The score on the test pictures over the epochs of a run."""
    epochs = record["epochs"]
    score = "psnr_db" if "psnr_db" in epochs[0] else "accuracy"
    figure = Figure(figsize=(4.6, 2.4), layout="constrained")
    panel = figure.subplots()
    panel.plot([epoch["epoch"] for epoch in epochs], [epoch[score] for epoch in epochs],
               color="#3b82f6", marker="o", markersize=4)  # fmt: skip
    panel.set_xlabel("epoch")
    panel.set_ylabel("PSNR with hard codes, dB" if score == "psnr_db" else "accuracy")
    _plain(panel)
    first, last = epochs[0][score], epochs[-1][score]
    return _svg(figure, f"From {first:.3g} after the first epoch to {last:.3g} at the end.")


def _plain(panel: Axes) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9)
    panel.grid(alpha=0.2, color=INK)


def _svg(figure: Figure, alt: str) -> str:
    figure.patch.set_alpha(0)
    for panel in figure.axes:
        panel.patch.set_alpha(0)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none"}):  # text stays text
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    # Inline in a page, its style sheet and its ids would be the whole page's.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>c{own}-", text)
    attributes = 'class="curve" role="img" fill="currentColor" stroke-linejoin="round"'
    attributes += f' aria-label="{html.escape(alt)}"'
    return text.replace("<svg", f"<svg {attributes}", 1)
