"""What the page says beside the attack, in its first text and in the tabs, that depends on a run or on a
report. Pure functions."""

import math
from typing import Any

from app.reports import Line, Remains
from app.words import attack_sentence
from model.config import CodecConfig, in_words
from model.evaluate.cells import Cell
from model.evaluate.presets import SEED


def withstands(
    link: str,
    record: dict[str, Any],
    worst: Cell | None,
    bound: Cell | None = None,
    twin: Cell | None = None,
) -> str:
    """What an attacker who knows all leaves of a pair that was trained against him.

    Args:
        link: to the page with that pair.
        record: of the run that trained it, as ``history.json`` has it.
        worst: of :func:`app.reports.worst_of`; None: ``bound`` is told, or PGD's figure of the training,
            whichever is less.
        bound: of :func:`app.reports.bound_of`.
        twin: the same of the classifier that was trained likewise, without a codec.
    """
    share, images = record["test"]["robust_accuracy"], record["test_images"]
    epsilon = record["recipe"]["settings"]["epsilon"]
    attacker = f"PGD, 20 steps, {epsilon:g}/255; stronger attacks may leave less"
    at_most = alone = ""
    found = worst or bound
    if found is not None and (worst is not None or found["accuracy"] < share):
        share, images, epsilon = found["accuracy"], found["images"], found["epsilon"]
        among = "AutoAttack among them"
        if worst is None:
            at_most, among = "at most ", "not all of AutoAttack among them yet"
        attacker = f"each under its worst attack, {among}, {epsilon:g}/255"
        if twin is not None and twin["images"] == images:
            alone = f"; the classifier alone, trained likewise, on {at_most}{twin['accuracy']:.1%}"
    return (
        "On CIFAR-10, one codec here was trained to withstand an attacker who knows everything, and does so "
        f"in part: [codec and classifier trained together]({link}), right on {at_most}{share:.1%} of "
        f"{images:,} attacked pictures ({attacker}){alone}."
    )


def example(result: dict[str, Any], factor: int) -> str:
    """What an attack did to the classifier, by a perturbation that is shown ``factor`` times magnified."""
    return (
        f"Here {attack_sentence(result)} No colour value moved by more than "
        f"{result['metrics']['linf_255']:g} of 255; the perturbation is shown {factor} times magnified."
    )


def code_of(config: CodecConfig, size: tuple[int, int]) -> str:
    """How large a codec's code is, for a picture of (height, width) pixels."""
    bits = config.planes * math.prod(-(-side // config.downscale) for side in size)
    kept = ""
    if isinstance(config.kept, tuple):
        kept = f" Where nobody says, the noisier a picture, the fewer are kept: {in_words(config.kept)}."
    elif config.kept is not None:
        kept = f" {config.kept} of the planes are kept where nobody says."
    return (
        f"{config.planes} planes, {config.bits_per_pixel:g} bits per pixel: {bits:,} bits for these "
        f"{size[1]} × {size[0]} pixels of 24 bits.{kept}"
    )


def flips(sigma: float, trained: float, untrained: float) -> str:
    """The shares of bits that training's noise turns in a trained network, and in one before its training."""
    return (
        f"Training's noise (σ = {sigma:g}) turns {trained:.1%} of this codec's bits, and {untrained:.0%} of "
        f"those of the same network before training."
    )


def noisy_code(sigma: float, extreme: float, flipped: float) -> str:
    """How a code looks under noise."""
    return f"σ = {sigma:g}: {extreme:.0%} near 0 or 1, {flipped:.1%} turned"


def held(result: dict[str, Any]) -> str:
    """Whether the defence held, in a few words."""
    says = {view: answer["label"] for view, answer in result["predictions"].items()}
    if result["verdict"]["defence_held"]:
        return f"The defence held: it is still read as “{says['original']}”."
    return f"The defence fell: “{says['original']}” is read as “{says['defended_adversarial']}”."


def remains_of(remains: Remains) -> str:
    """Of what :func:`remains` tells."""
    return (
        f"Pictures that {remains.classifier} reads rightly behind {remains.codec} ({remains.about}), of "
        f"{remains.images:,}:"
    )


def remains(remains: Remains) -> list[tuple[str, float]]:
    """Who attacks how strongly, and the share of right answers that is left."""
    rows = [("No attack", remains.clean)]
    for title, cell in (
        ("Knows the classifier only", remains.grey_box),
        ("Knows both", remains.adaptive),
    ):
        if cell is not None:
            count = "" if cell["images"] == remains.images else f", of {cell['images']:,}"
            rows.append((f"{title}, {cell['epsilon']:g}/255{count}", cell["accuracy"]))
    return rows


def choice(name: str, report: dict[str, Any]) -> str:
    """How a published report is called where there are several, two of one classifier perhaps."""
    kind = "the paper's comparison, " if report["preset"] == SEED else ""
    about = f": {kind}{report['about']}" if report.get("about") else ""
    count = len(report["defences"])
    return f"{name}{about} ({count} systems, {report['images']:,} pictures)"


def line(name: str, attacker: str) -> str:
    """The name of a line of a chart: a defence, and who attacks."""
    return f"{name}; {attacker}"


def along(line: Line) -> str:
    """The values of a line of a chart."""
    parts = [
        f"{100 * cell['accuracy']:.1f} % at {strength:g}/255"
        if strength
        else f"{100 * cell['accuracy']:.1f} %"
        for strength, cell in line.cells.items()
    ]
    return ", ".join(parts)
