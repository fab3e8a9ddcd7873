"""A report for the tests, with figures that are made up."""

from collections.abc import Iterable
from typing import Any

DEFENCES = {
    "none": "no defence",
    "comdefend-cifar10": "ComDefend, the paper's loss",
    "comdefend-cifar10-purify": "ComDefend, trained to purify",
    "jpeg-50": "JPEG, quality 50, 4:2:0",
}
GREY = {"none": 0.0, "comdefend-cifar10": 0.3, "comdefend-cifar10-purify": 0.61, "jpeg-50": 0.42}
WORST = {"none": 0.0, "comdefend-cifar10": 0.01, "comdefend-cifar10-purify": 0.113, "jpeg-50": 0.02}


def cell(
    defence: str, attack: str, epsilon: float | None, threat_model: str, accuracy: float, **more: object
) -> dict:
    return {
        "defence": defence, "attack": attack, "epsilon": epsilon, "threat_model": threat_model,
        "steps": None if attack in ("clean", "FGSM") else 10, "gradient": None, "loss": None, "restarts": 1,
        "cascade": False, "accuracy": accuracy, "images": 1000,
        "interval": [max(0, accuracy - 0.03), accuracy + 0.03], **more,
    }  # fmt: skip


def autoattack(
    report: dict[str, Any], attack: str, epsilon: float, defences: Iterable[str] = DEFENCES
) -> None:
    """Put an AutoAttack, or a part of it, into a report."""
    report["cells"] += [cell(name, attack, epsilon, "adaptive", 0.1, cascade=True) for name in defences]


def made_up_report() -> dict[str, Any]:
    """A whole report of four defences at two strengths."""
    cells = []
    for name in DEFENCES:
        difference = {} if name == "none" else {"difference": -0.02, "difference_interval": [-0.035, -0.005]}
        cells.append(cell(name, "clean", None, "no attacker", 0.9, **difference))
    for epsilon in (2.0, 8.0):
        for name in DEFENCES:
            cells.append(cell(name, "noise", epsilon, "no attacker", 0.85))
            who = "white-box" if name == "none" else "grey-box"
            cells += [
                cell(name, attack, epsilon, who, GREY[name] + (0.1 if epsilon == 2 else 0))
                for attack in ("FGSM", "BIM", "PGD")
            ]
    for name in list(DEFENCES)[1:]:
        cells.append(cell(name, "PGD", 8.0, "adaptive", 0.2, images=500, gradient="identity", loss="margin"))
    cells += [
        cell("jpeg-50", "PGD", 8.0, "adaptive", 0.123, cascade=True, restarts=5, images=500),
        cell("jpeg-50", "Square", 8.0, "black-box", 0.4, images=100),
        cell("jpeg-50", "transfer", 8.0, "black-box", 0.7),
        cell("jpeg-50", "DeepFool", 8.0, "grey-box", 0.55, images=100, success_rounded=0.9,
             success_before_rounding=0.95, median_l2_before_rounding=0.11, median_l2_rounded=0.15,
             median_linf_255_before_rounding=3.2, median_linf_255_rounded=4.0),
    ]  # fmt: skip
    interval = {"interval": [0.0, 0.2], "images": 500}
    passed = {"name": "iterating beats a single step", "passed": True, "detail": "fine"}
    return {
        "classifier": "cifar10", "command": "python app.py --evaluate", "data": "CIFAR-10", "images": 1000,
        "seed": 3, "device": "a CPU", "minutes": 12.5, "versions": {"torch": "2.0"},
        "weights": {"cifar10": "abc123"}, "strikes": [], "not_run": [], "defences": DEFENCES,
        "codecs": ["comdefend-cifar10", "comdefend-cifar10-purify"],
        "preset": "standard", "adaptive_images": 500, "cells": cells,
        "worst": [
            {"defence": name, "epsilon": epsilon, "accuracy": WORST[name] + more, **interval}
            for name in DEFENCES
            for epsilon, more in ((2.0, 0.2), (8.0, 0.0))
        ],
        "checks": {"comdefend-cifar10": [passed], "jpeg-50": [passed]},
        "dial": [
            {"defence": "comdefend-cifar10-purify", "planes": planes, "threat_model": "no attacker",
             "attack": "clean", "epsilon": None, "accuracy": planes / 12, "interval": [0, 1], "images": 300}
            for planes in range(1, 13)
        ],
    }  # fmt: skip


def rows(text: str) -> list[list[str]]:
    """The cells of all tables of a Markdown text, line by line."""
    return [
        [part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line[:2] == "| "
    ]
