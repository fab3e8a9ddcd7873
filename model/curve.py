"""The training curve of a model: what it scored after each epoch, over all runs that led to it."""

import io
from pathlib import Path
from typing import Any

INK, PAPER = "#000000", "#ffffff"
SCORES = {
    "robust_accuracy": "accuracy under adaptive PGD",
    "attacked_accuracy": "accuracy under grey-box BIM",
    "agreement": "agreement under noise",
    "psnr_db": "PSNR with hard codes, dB",
    "accuracy": "accuracy",
}
"""What a run was scored by, the most telling first, and how the axis is called."""
FILE = "curve.svg"


def lineage(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of the same recipe whose weights a run went on from, and itself, the first one first."""
    runs = [record]
    while "before" in runs[0] and runs[0]["before"]["recipe"]["task"] == record["recipe"]["task"]:
        runs.insert(0, runs[0]["before"])
    return runs


def points(record: dict[str, Any]) -> tuple[str, list[list[tuple[float, float]]]]:
    """The score's name, and for each run of the lineage its (epoch, score), the epochs added up."""
    score = next(name for name in SCORES if name in record["epochs"][0])
    runs, passed = [], 0.0
    for run in lineage(record):
        runs.append([(passed + row["epoch"], row[score]) for row in run["epochs"]])
        passed += run["epochs"][-1]["epoch"]
    return score, runs


def worth_drawing(record: dict[str, Any]) -> bool:
    """Whether there is more than a single point."""
    return sum(map(len, points(record)[1])) > 1


def draw(record: dict[str, Any]) -> str:
    """The curve as SVG."""
    score, runs = points(record)
    # Imported when used: whoever only wants the weights does without it.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 2.4), layout="constrained", facecolor=PAPER)
    panel = figure.subplots()
    for number, run in enumerate(runs):
        epochs, scores = zip(*run, strict=True)
        panel.plot(epochs, scores, color="#3b82f6", marker="o", markersize=4)
        if number:
            panel.axvline(runs[number - 1][-1][0], color=INK, alpha=0.3, linestyle=":", linewidth=1)
    own = f", over {len(runs)} runs, each scored under its own settings" if len(runs) > 1 else ""
    panel.set_xlabel(f"epoch{own}", fontsize="medium" if not own else "small")
    panel.set_ylabel(SCORES[score])
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9)
    panel.grid(alpha=0.2, color=INK)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "curve"}):  # text stays text
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def summary(record: dict[str, Any]) -> str:
    """The curve in a sentence."""
    score, runs = points(record)
    first, last = runs[0][0][1], runs[-1][-1][1]
    whose = "training pictures held out" if record.get("held_out") else "test pictures"
    return f"{SCORES[score]} on {whose}: from {first:.3g} at first to {last:.3g} at the end"


def write(folder: Path, record: dict[str, Any]) -> None:
    """Draw the curve beside a model's weights; if there is none, that of an earlier run goes."""
    (folder / FILE).unlink(missing_ok=True)
    if worth_drawing(record):
        (folder / FILE).write_text(draw(record), encoding="utf-8")
