"""Accuracy with and without the codec, clean and attacked, the threat model beside each number."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from model import checkpoint, imagenet
from model.attacks import ATTACKS, AttackError, attack, find_attack
from model.checkpoint import REPOSITORY, WEIGHTS, WeightsError
from model.classifiers import CLASSIFIERS, Classifier, DefendedClassifier, load_classifier
from model.comdefend import ComDefend
from model.data import DataError, ImageSet, evenly_spaced, load_folder, load_split, to_float
from model.device import DeviceError, choose_device, device_name
from model.metrics import wilson_interval
from model.train import EXIT_ERROR, EXIT_OK, positive

FIGURES_FILE = WEIGHTS / "figures.json"
README = REPOSITORY / "README.md"
NOBODY = "no attacker"
BATCH_PIXELS = 100 * 32 * 32
"""A gradient through the codec needs about 12 kB a pixel: 1.2 GB for one batch."""


@dataclass(frozen=True)
class Plan:
    """Which attacks are run, and how strong."""

    attacks: tuple[str, ...] = ("FGSM", "PGD")
    epsilons: tuple[float, ...] = (2, 8)
    adaptive_images: int | None = None
    """How many pictures the adaptive attacker gets, who costs ten times more; None: all of them."""
    seed: int = 0

    def figures(self) -> int:
        """How many there will be."""
        attackers = 2 if self.adaptive_images == 0 else 3
        return 2 + attackers * len(self.epsilons) * len(self.attacks)


def batches(x: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures with their labels, as many at a time as memory allows."""
    size = max(1, BATCH_PIXELS // x[0, 0].numel())
    return zip(x.split(size), labels.split(size), strict=True)


def correct(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Which pictures the model classifies rightly, shape (N,), bool."""
    with torch.inference_mode():
        return torch.cat([model(x).argmax(1) == y for x, y in batches(images, labels)])


def attacked(name: str, epsilon: float, model: nn.Module, x: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Adversarial versions of ``x`` against ``model``, leading away from the true labels."""
    steps = find_attack(name).default_steps
    found = [
        attack(name, model, images.clone(), true, epsilon=epsilon, steps=steps, seed=seed + index)
        for index, (images, true) in enumerate(batches(x, labels))
    ]
    return torch.cat(found)


def cells(
    classifier: nn.Module, codec: nn.Module, x: Tensor, labels: Tensor, plan: Plan
) -> Iterator[dict[str, Any]]:
    """One figure after the other: attacker, attack, defence, accuracy with its interval."""
    defended = DefendedClassifier(classifier, codec).eval()
    systems: dict[str, nn.Module] = {"none": classifier, "comdefend": defended}

    def cell(attacker: str, name: str, epsilon: float | None, defence: str, right: Tensor) -> dict[str, Any]:
        count = int(right.sum())
        low, high = wilson_interval(count, len(right))
        return {
            "threat_model": attacker,
            "attack": name,
            "epsilon": epsilon,
            "steps": None if epsilon is None else find_attack(name).default_steps,
            "defence": defence,
            "accuracy": count / len(right),
            "interval": [round(low, 4), round(high, 4)],
            "images": len(right),
        }

    for defence, system in systems.items():
        standing = correct(system, x, labels)
        yield cell(NOBODY, "clean", None, defence, standing)
    few = min(len(x), len(x) if plan.adaptive_images is None else plan.adaptive_images)
    theirs = evenly_spaced(len(x), few).to(x.device)
    for epsilon in plan.epsilons:
        for name in plan.attacks:
            found = attacked(name, epsilon, classifier, x, labels, plan.seed)
            # Without a codec to know, this attacker knows all there is.
            yield cell("white-box", name, epsilon, "none", correct(classifier, found, labels))
            yield cell("grey-box", name, epsilon, "comdefend", correct(defended, found, labels))
            if few == 0:
                continue
            # What the defended classifier gets wrong unattacked is lost already.
            held = standing[theirs]
            if held.any():
                targets, true = x[theirs][held], labels[theirs][held]
                found = attacked(name, epsilon, defended, targets, true, plan.seed)
                held[held.clone()] = correct(defended, found, true)
            yield cell("adaptive", name, epsilon, "comdefend", held)


COLUMNS = {
    ("white-box", "none"): "undefended, white-box",
    ("grey-box", "comdefend"): "ComDefend, grey-box",
    ("adaptive", "comdefend"): "ComDefend, adaptive",
}
"""Who attacks what: the threat model stands above each number."""


def table(report: dict[str, Any]) -> str:
    """The report's figures as a Markdown table."""
    text = f"{report['images']:,} test pictures. Data: {report['data']}. Accuracy in %, with 95 % intervals."
    fewer = {c["images"] for c in report["cells"]} - {report["images"]}
    if fewer:
        text += f" The adaptive attacker, who costs most, saw {min(fewer)} of them."
    rows: dict[str, dict[tuple[str, str], str]] = {}
    for c in report["cells"]:
        low, high = (100 * v for v in c["interval"])
        number = f"{100 * c['accuracy']:.1f} ({low:.1f} to {high:.1f})"
        name = "none (clean)" if c["epsilon"] is None else f"{c['attack']}, {c['epsilon']:g}/255"
        name += f", {c['steps']} steps" if c["steps"] else ""
        attackers = [
            key for key in COLUMNS if c["defence"] == key[1] and c["threat_model"] in (key[0], NOBODY)
        ]
        rows.setdefault(name, {}).update(dict.fromkeys(attackers, number))
    lines = [text, "", f"| attack | {' | '.join(COLUMNS.values())} |", "|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(row.get(key, '') for key in COLUMNS)} |" for name, row in rows.items()]
    return "\n".join(lines)


def markers(classifier: str) -> tuple[str, str]:
    """Between which lines of the README a classifier's figures stand."""
    return f"<!-- figures of {classifier}: written by --evaluate -->", f"<!-- end of {classifier} -->"


def write_into(readme: Path, classifier: str, text: str) -> None:
    """Put ``text`` between a classifier's two markers in a Markdown file."""
    begin, end = markers(classifier)
    before, found_begin, rest = readme.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise DataError(f"{readme} lacks the markers {begin!r} and {end!r}")
    readme.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def published() -> dict[str, Any]:
    """The reports that were published, by classifier."""
    return checkpoint.read_json(FIGURES_FILE) if FIGURES_FILE.is_file() else {}


def publish(classifier: str, report: dict[str, Any]) -> None:
    """Put a report beside the weights and its table into the README."""
    write_into(README, classifier, table(report))
    checkpoint.write_json(FIGURES_FILE, {**published(), classifier: report})


def evaluate(classifier: nn.Module, codec: nn.Module, data: ImageSet, plan: Plan) -> list[dict[str, Any]]:
    """All figures on ``data``, with a progress bar."""
    x = to_float(data.images)
    found = cells(classifier, codec, x, data.labels, plan)
    return list(tqdm(found, total=plan.figures(), unit="figure"))


def load_test_pictures(root: Path | None, classifier: Classifier) -> ImageSet:
    """Test pictures as a classifier wants them, their labels in its numbering.

    Args:
        root: folder with ``test/CLASS/*`` or ``CLASS/*``, its classes some of the classifier's: by its names
            for them, or by WordNet's ("n01440764"). None means CIFAR-10, downloaded.
    """
    config = classifier.config
    if root is None:
        data = load_split(None, "test")
    else:
        folder = root / "test" if (root / "test").is_dir() else root
        data = load_folder(folder, config.image_size, config.crop)
    for known in (config.classes, imagenet.synsets() if len(config.classes) == 1000 else ()):
        if set(data.classes) <= set(known):
            numbers = torch.tensor([known.index(name) for name in data.classes])
            return replace(data, labels=numbers[data.labels], classes=config.classes)
    raise DataError(f"the data has classes that the classifier lacks: {', '.join(data.classes[:12])}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of an evaluation (``--data``, ``--data-name`` and ``--seed`` are training's too)."""
    group = parser.add_argument_group("evaluation")
    group.add_argument("--images", type=positive(int), default=1000, help="test pictures (default: 1000)")
    group.add_argument("--codec", default="comdefend-cifar10", help="a name, a folder or a Hub id")
    group.add_argument("--classifier", choices=CLASSIFIERS, default="cifar10")
    group.add_argument("--attacks", type=_names, default=Plan.attacks, metavar="A,B",
                       help=f"some of those with an epsilon (default: {','.join(Plan.attacks)})")  # fmt: skip
    group.add_argument("--epsilons", type=_numbers, default=Plan.epsilons, metavar="2,8",
                       help="L-infinity strengths in 1/255")  # fmt: skip
    group.add_argument("--adaptive-images", type=int,
                       help="how many pictures the adaptive attacker gets (default: all)")  # fmt: skip
    group.add_argument("--publish", action="store_true",
                       help="write the figures beside the weights and into the README")  # fmt: skip


def _names(text: str) -> tuple[str, ...]:
    for name in (names := tuple(text.split(","))):
        if name not in ATTACKS or not ATTACKS[name].has_epsilon:
            raise argparse.ArgumentTypeError(f"no attack with an epsilon is called {name!r}")
    return names


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(positive(float)(number) for number in text.split(","))


def main(args: argparse.Namespace, command: str) -> int:
    """Measure the shipped weights, print the table, and refresh the README's; the exit status."""
    try:
        device = choose_device(args.device)
        # Attacks need the picture's gradient only, not the weights'.
        classifier = load_classifier(args.classifier, device).requires_grad_(False)
        codec = ComDefend.from_pretrained(args.codec, map_location=device).requires_grad_(False)
        for model in (classifier, codec):
            model.to(memory_format=torch.channels_last)
        data = load_test_pictures(args.data, classifier).every(args.images).to(device)
        plan = Plan(args.attacks, args.epsilons, args.adaptive_images, args.seed or 0)
        found = evaluate(classifier, codec, data, plan)
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
            for folder in (WEIGHTS / args.classifier, checkpoint.find_folder(args.codec))
            if folder is not None and folder.is_dir()
        },
        "cells": found,
    }
    print(table(report))
    if args.publish:
        publish(args.classifier, report)
    return EXIT_OK
