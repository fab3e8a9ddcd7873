"""Accuracy with and without the codec, clean and attacked, the threat model beside each number."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from model import checkpoint
from model.attacks import AttackError, attack
from model.checkpoint import REPOSITORY, WEIGHTS, WeightsError
from model.classifiers import DefendedClassifier, load_classifier
from model.comdefend import ComDefend
from model.data import DataError, ImageSet, load_split
from model.device import DeviceError, choose_device, device_name
from model.metrics import wilson_interval
from model.train import EXIT_ERROR, EXIT_OK, positive

FIGURES_FILE = WEIGHTS / "figures.json"
README = REPOSITORY / "README.md"
BEGIN, END = "<!-- figures: written by --evaluate -->", "<!-- end of figures -->"
ATTACKS_RUN: tuple[tuple[str, int | None], ...] = (("FGSM", None), ("PGD", 10))
BATCH = 100
LEAST_IMAGES = 1000
"""Fewer pictures are a trial, and not published in the README."""


def correct(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which pictures the model classifies rightly, shape (N,), bool."""
    with torch.inference_mode():
        answers = [
            model(x).argmax(1) == y for x, y in zip(images.split(BATCH), labels.split(BATCH), strict=True)
        ]
    return torch.cat(answers)


def attacked(
    name: str, steps: int | None, epsilon: float, model: nn.Module, x: Tensor, labels: Tensor, seed: int
) -> Tensor:
    """Adversarial versions of ``x`` against ``model``, leading away from the true labels."""
    batches = [
        attack(name, model, images.clone(), true, epsilon=epsilon, steps=steps, seed=seed + index)
        for index, (images, true) in enumerate(zip(x.split(BATCH), labels.split(BATCH), strict=True))
    ]
    return torch.cat(batches)


def cells(
    classifier: nn.Module,
    codec: nn.Module,
    x: Tensor,
    labels: Tensor,
    epsilons: tuple[float, ...],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """One figure after the other: attacker, attack, defence, accuracy with its interval."""
    defended = DefendedClassifier(classifier, codec).eval()
    systems: dict[str, nn.Module] = {"none": classifier, "comdefend": defended}

    def cell(
        attacker: str, name: str, epsilon: float | None, steps: int | None, defence: str, right: Tensor
    ) -> dict[str, Any]:
        count = int(right.sum())
        low, high = wilson_interval(count, len(right))
        return {
            "threat_model": attacker,
            "attack": name,
            "epsilon": epsilon,
            "steps": steps,
            "defence": defence,
            "accuracy": count / len(right),
            "interval": [round(low, 4), round(high, 4)],
            "images": len(right),
        }

    for defence, system in systems.items():
        standing = correct(system, x, labels)
        yield cell("no attacker", "clean", None, None, defence, standing)
    for epsilon in epsilons:
        for name, steps in ATTACKS_RUN:
            found = attacked(name, steps, epsilon, classifier, x, labels, seed)
            # Without a codec to know, this attacker knows all there is.
            yield cell("white-box", name, epsilon, steps, "none", correct(classifier, found, labels))
            yield cell("grey-box", name, epsilon, steps, "comdefend", correct(defended, found, labels))
            # What the defended classifier gets wrong unattacked is lost already.
            held = torch.zeros_like(standing)
            if standing.any():
                found = attacked(name, steps, epsilon, defended, x[standing], labels[standing], seed)
                held[standing] = correct(defended, found, labels[standing])
            yield cell("adaptive", name, epsilon, steps, "comdefend", held)


def table(report: dict[str, Any]) -> str:
    """The report's figures as a Markdown table."""
    lines = [
        f"{report['images']:,} test pictures of: {report['data']}. Accuracy in %, 95 % intervals.",
        "",
        "| the attacker | attack | defence | accuracy |",
        "|---|---|---|---|",
    ]
    for c in report["cells"]:
        name = c["attack"] if c["epsilon"] is None else f"{c['attack']}, {c['epsilon']:g}/255"
        if c["steps"]:
            name += f", {c['steps']} steps"
        defence = "none" if c["defence"] == "none" else "ComDefend"
        low, high = (100 * v for v in c["interval"])
        lines.append(
            f"| {c['threat_model']} | {name} | {defence} | "
            f"{100 * c['accuracy']:.1f} ({low:.1f} to {high:.1f}) |"
        )
    return "\n".join(lines)


def write_into(readme: Path, text: str) -> None:
    """Put ``text`` between the two markers of a Markdown file."""
    before, marker, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not marker or not end:
        raise ValueError(f"{readme} lacks the markers {BEGIN!r} and {END!r}")
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def evaluate(
    classifier: nn.Module,
    codec: nn.Module,
    data: ImageSet,
    epsilons: tuple[float, ...] = (2, 8),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """All figures on ``data``, with a progress bar."""
    x = (data.images.float() / 255).contiguous(memory_format=torch.channels_last)
    total = 2 + 3 * len(epsilons) * len(ATTACKS_RUN)
    found = cells(classifier, codec, x, data.labels, epsilons, seed)
    return list(tqdm(found, total=total, unit="figure"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of an evaluation (``--data``, ``--data-name`` and ``--seed`` are training's too)."""
    group = parser.add_argument_group("evaluation")
    group.add_argument("--images", type=positive(int), default=1000, help="test pictures (default: 1000)")
    group.add_argument("--codec", default="comdefend-cifar10", help="a name, a folder or a Hub id")


def main(args: argparse.Namespace, command: str) -> int:
    """Measure the shipped weights, print the table, and refresh the README's; the exit status."""
    try:
        device = choose_device(args.device)
        # Attacks need the picture's gradient only, not the weights'.
        classifier = load_classifier("cifar10", device).requires_grad_(False)
        codec = ComDefend.from_pretrained(args.codec, map_location=device).requires_grad_(False)
        for model in (classifier, codec):
            model.to(memory_format=torch.channels_last)
        data = load_split(args.data, "test").every(args.images).to(device)
        if data.classes != classifier.classes:
            raise DataError(f"the data has the classes {data.classes}, not {classifier.classes}")
        found = evaluate(classifier, codec, data, seed=args.seed or 0)
    except (WeightsError, DataError, AttackError, DeviceError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    report = {
        "command": command,
        "data": args.data_name or ("CIFAR-10" if args.data is None else args.data.resolve().name),
        "images": len(data),
        "seed": args.seed or 0,
        "device": device_name(device),
        "torch": torch.__version__,
        "weights": {
            folder.name: checkpoint.file_hash(folder / checkpoint.TENSORS_FILE)
            for folder in (WEIGHTS / "cifar10", checkpoint.find_folder(args.codec))
            if folder is not None
        },
        "cells": found,
    }
    print(table(report))
    shipped = checkpoint.find_folder(args.codec) == WEIGHTS / "comdefend-cifar10"
    if shipped and len(data) >= LEAST_IMAGES:
        checkpoint.write_json(FIGURES_FILE, report)
        write_into(README, table(report))
    return EXIT_OK
