"""What each plane of a code carries: pictures and predictions without some of them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.events import Progress
from app.lab import Lab
from app.measure import predictions
from app.scenario import Outcome, Prediction, ScenarioError, Watch, whole
from model.metrics import psnr
from model.ops import without_planes

TOGETHER = {1: 2, 2: 8, 4: 8}
"""So many codes are rebuilt in one step, by how far the codec scales down: that decides what one costs."""


@dataclass(frozen=True)
class Without:
    """A run's two pictures, rebuilt without some planes."""

    off: tuple[int, ...]
    """The numbers of those planes, rising, from 0."""
    original: Tensor
    """Reconstruction of the original, shape (1,3,H,W)."""
    adversarial: Tensor
    """Reconstruction of the adversarial picture, shape (1,3,H,W)."""
    says_original: Prediction
    says_adversarial: Prediction
    psnr_db: float | None
    """Of the adversarial picture's reconstruction to the one with all planes; None: they are equal."""


@dataclass(frozen=True)
class Carried:
    """What single planes carry of the adversarial picture, for those that were tried so far."""

    changes: tuple[float, ...]
    """How far the reconstruction moves when a plane is switched off: root mean square, in 1/255."""
    labels: tuple[str, ...]
    """What the classifier says without that plane."""


def chosen_planes(value: object, total: int) -> tuple[int, ...]:
    """The planes that a visitor switched off, rising; what he sent may be anything.

    Raises:
        ScenarioError: it is no list of numbers of planes.
        AttackError: one is no whole number.
    """
    if not isinstance(value, list) or len(value) > total:
        raise ScenarioError(f"the planes that are off are a list of at most {total} numbers")
    numbers = sorted({whole(number, "The number of a plane") for number in value})
    if numbers and not 0 <= numbers[0] <= numbers[-1] < total:
        raise ScenarioError(f"the code has planes 0 to {total - 1}, not {numbers[0]} to {numbers[-1]}")
    return tuple(numbers)


def without(lab: Lab, outcome: Outcome, off: Collection[int], watch: Watch) -> Without:
    """A run's two pictures without some planes, which are off as :func:`model.ops.without_planes` has it.

    Args:
        off: their numbers, of those that the run kept.

    Raises:
        AttackCancelled, ScenarioError: the watch stopped it.
    """
    classifier = lab.classifier(outcome.scenario.classifier, watch)
    codec = lab.codec(outcome.scenario.codec)
    size = (outcome.original.shape[-2], outcome.original.shape[-1])
    codes = [_whole_code(code, codec.planes) for code in (outcome.code_original, outcome.code_adversarial)]
    with lab.step(nn.ModuleList((classifier, codec)), watch, outcome.original), torch.inference_mode():
        # One at a time, as in a run: with nothing off, the pictures are the run's, bit for bit.
        rebuilt = [codec.reconstruct(without_planes(code, off).to(lab.device), size) for code in codes]
        answers = predictions(classifier, torch.cat([classifier(x) for x in rebuilt]))
    original, adversarial = (x.cpu() for x in rebuilt)
    closeness = psnr(adversarial, outcome.defended_adversarial).item()
    return Without(
        off=tuple(sorted(off)),
        original=original,
        adversarial=adversarial,
        says_original=answers[0],
        says_adversarial=answers[1],
        psnr_db=None if closeness == float("inf") else closeness,
    )


def carried(lab: Lab, outcome: Outcome, watch: Watch) -> Iterator[Progress | Carried]:
    """Switch off one plane of the adversarial picture's code after the other, a few in each step.

    Yields:
        A ``Progress`` before each step, a ``Carried`` after it; the last one has all planes.

    Raises:
        AttackCancelled, ScenarioError: the watch stopped it.
    """
    classifier = lab.classifier(outcome.scenario.classifier, watch)
    codec = lab.codec(outcome.scenario.codec)
    models = nn.ModuleList((classifier, codec))
    size = (outcome.original.shape[-2], outcome.original.shape[-1])
    code = _whole_code(outcome.code_adversarial, codec.planes).to(lab.device)  # (1,K,h,w)
    full = outcome.defended_adversarial.to(lab.device)  # (1,3,H,W)
    count = outcome.code_adversarial.shape[1]
    together = TOGETHER[codec.config.downscale]
    changes: list[float] = []
    labels: list[str] = []
    for first in range(0, count, together):
        numbers = range(first, min(count, first + together))
        yield Progress(first / count, f"{first} of {count}")
        with lab.step(models, watch, outcome.original), torch.inference_mode():
            rebuilt = codec.reconstruct(torch.cat([without_planes(code, (n,)) for n in numbers]), size)
            moved = (rebuilt - full).square().mean((1, 2, 3)).sqrt()  # (B,)
            answers = predictions(classifier, classifier(rebuilt))
        changes += (255 * moved).tolist()
        labels += [answer.label for answer in answers]
        yield Carried(tuple(changes), tuple(labels))


def _whole_code(code: Tensor, planes: int) -> Tensor:
    """A code with the planes that were not kept, which are zero: (1,k,h,w) to (1,K,h,w)."""
    return torch.cat((code, code.new_zeros(1, planes - code.shape[1], *code.shape[2:])), 1)
