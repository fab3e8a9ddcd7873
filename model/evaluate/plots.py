"""A report's figures, drawn with matplotlib."""

import itertools
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from model.defences import Codec
from model.evaluate.cells import Cell, Report, codecs, find_cell, strengths
from model.evaluate.presets import MAIN
from model.evaluate.record import CLASSIFIER_ALONE
from model.evaluate.systems import System

OURS = ("#2563eb", "#f97316", "#16a34a", "#9333ea", "#0891b2", "#db2777", "#854d0e", "#65a30d")
"""Colours of codecs; baselines are grey, told apart by their marks."""
MARKS = "sv^<>DPX*"
INK = "#000000"
DIALS_A_ROW = 3


def styles(report: Report) -> dict[str, dict[str, Any]]:
    """How each defence's line looks, the same in all figures."""
    colours, marks = iter(OURS), itertools.cycle(MARKS)
    found: dict[str, dict[str, Any]] = {}
    for name in report["defences"]:
        look: dict[str, Any] = {"color": "#8b8b8b", "linestyle": "--", "linewidth": 1}
        if name == "none":
            look = {"color": "#dc2626", "marker": "o", "linestyle": ":"}
        elif name in codecs(report):
            look = {"color": next(colours, INK), "marker": "o", "linewidth": 2}
        else:
            look["marker"] = next(marks)
        found[name] = {**look, "markersize": 4, "label": name}
    return found


def accuracy_against_strength(report: Report) -> Figure:
    """Robust accuracy of every defence, grey-box (BIM) on the left, adaptive (worst case) on the right.

    Where no adaptive attacker was there, there is no panel for one.
    """
    titles = ["grey-box: BIM, 10 steps"]
    if report["worst"]:
        titles.append("adaptive: worst case")
    figure = Figure(figsize=(9 if len(titles) == 2 else 6.4, 5), layout="constrained")
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    every = strengths(report)
    for name, style in styles(report).items():
        cells = [c for c in report["cells"] if c["defence"] == name]
        clean = find_cell(cells, attack="clean")
        grey = [c for c in cells if c["attack"] == "BIM" and c["threat_model"] in CLASSIFIER_ALONE]
        worst = [w for w in report["worst"] if w["defence"] == name]
        for panel, line in zip(panels, (grey, worst), strict=False):
            shown = [clean, *(find_cell(line, epsilon=epsilon) for epsilon in every)]
            _line(panel, [0, *every], shown, style)
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("strength, in 1/255")
        _plain(panel)
    panels[0].set_ylabel("accuracy, %")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=1 + len(titles),
        fontsize=8,
        frameon=False,
    )
    return figure


def flipped_bits(report: Report) -> Figure:
    """Share of code bits that change against strength, for random noise and for PGD on the classifier."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    panel = figure.subplots()
    for name, style in styles(report).items():
        for attack, line in (("PGD", "-"), ("noise", ":")):
            cells = [
                c for c in report["cells"]
                if c["defence"] == name and c["attack"] == attack and "bits_flipped" in c
            ]  # fmt: skip
            if cells:
                cells.sort(key=lambda c: c["epsilon"])
                look = style | {"linestyle": line, "label": f"{name}, {attack}"}
                panel.plot(
                    [0, *(c["epsilon"] for c in cells)],
                    [0, *(100 * c["bits_flipped"] for c in cells)],
                    **look,
                )
    panel.set_xlabel("strength, in 1/255")
    panel.set_ylabel("code bits flipped, %")
    _plain(panel)
    panel.legend(fontsize=8, frameon=False)
    return figure


def dial(report: Report) -> Figure:
    """Accuracy against the number of planes kept, clean and grey-box."""
    names = list(dict.fromkeys(d["defence"] for d in report["dial"]))
    columns = min(DIALS_A_ROW, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.4 * columns + 0.6, 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    panels = grid.flat[: len(names)]
    for empty in grid.flat[len(names) :]:
        empty.remove()
    colours = ("#16a34a", "#f97316", "#2563eb")
    for panel, name in zip(panels, names, strict=True):
        mine = [d for d in report["dial"] if d["defence"] == name]
        for colour, attack in zip(colours, dict.fromkeys(d["attack"] for d in mine), strict=False):
            line = sorted((d for d in mine if d["attack"] == attack), key=lambda d: d["planes"])
            label = attack if attack == "clean" else f"{attack}, {MAIN:g}/255, grey-box"
            style = {"color": colour, "marker": "o", "markersize": 3, "label": label}
            _line(panel, [d["planes"] for d in line], line, style)
        panel.set_title(name, fontsize=10)
        panel.set_xlabel("planes kept")
        _plain(panel)
    for panel in grid[:, 0]:
        panel.set_ylabel("accuracy, %")
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def examples(systems: list[System], pictures: dict[str, Tensor]) -> Figure:
    """A sheet: one column a picture; attacked or not, and what each codec makes of it.

    Args:
        pictures: by name of the attack, each of shape (N,3,H,W), range [0,1].
    """
    rows: dict[str, Tensor] = {}
    for attack, x in pictures.items():
        rows[attack] = x
        for system in systems:
            if isinstance(system.defence, Codec) and not system.own_classifier:
                rows[f"{attack}, {system.name}"] = system.defence(x)
    count = len(next(iter(rows.values())))
    figure = Figure(figsize=(0.85 * count + 2.6, 0.9 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), count, squeeze=False)
    for line, (name, x) in zip(panels, rows.items(), strict=True):
        for panel, picture in zip(line, x, strict=True):
            panel.imshow(picture.permute(1, 2, 0).clamp(0, 1).cpu().numpy(), interpolation="nearest")
            panel.set_axis_off()
        line[0].text(-0.1, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=8)
    return figure


def _line(panel: Axes, across: list[float], cells: list[Cell | None], style: dict[str, Any]) -> None:
    shown = [(x, c) for x, c in zip(across, cells, strict=True) if c is not None]
    if len(shown) < 2:
        return
    panel.errorbar(
        [x for x, _ in shown],
        [100 * c["accuracy"] for _, c in shown],
        [
            [max(0, 100 * (c["accuracy"] - c["interval"][0])) for _, c in shown],
            [max(0, 100 * (c["interval"][1] - c["accuracy"])) for _, c in shown],
        ],
        capsize=2,
        elinewidth=0.8,
        **style,
    )


def _plain(panel: Axes) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=9)
    panel.grid(alpha=0.2, color=INK)
    panel.set_ylim(bottom=0)
