"""Fifty pictures: how many an attack leaves classified rightly, against its strength."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from app.ask.bundle import fifty_pictures
from app.ask.strength import check_strength
from app.events import Progress
from app.lab import Lab
from app.run import Setup
from app.scenario import Scenario, ScenarioError, Watch
from model.attacks import attack
from model.classifiers import DefendedClassifier
from model.data import ImageSet, to_float
from model.metrics import wilson_interval

STRENGTHS = (2, 4, 8, 16)
"""In 1/255; those that the published report has figures of, and one between them."""
TOGETHER = 10
"""So many pictures are looked at before the next ones: one of each class."""
HEAVY = 2
"""So many are attacked in one step through a codec of the paper's shape, which takes ten times as long."""

Line = Literal["none", "grey-box", "adaptive"]
"""A curve: the classifier alone; through ComDefend, against who does not know of it; against who does."""
LINES: tuple[Line, ...] = ("none", "grey-box", "adaptive")


@dataclass(frozen=True)
class Count:
    """How many of so many pictures are classified rightly."""

    right: int = 0
    of: int = 0

    @property
    def share(self) -> float:
        """In [0,1]."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval of the share, 95 %, in [0,1]."""
        return wilson_interval(self.right, self.of)

    def plus(self, right: Tensor) -> "Count":
        """With more pictures: shape (B,), bool."""
        return Count(self.right + int(right.sum()), self.of + len(right))


@dataclass(frozen=True)
class Curves:
    """What was found so far."""

    scenario: Scenario
    """Resolved; its strength, threat model and target mean nothing here."""
    total: int
    """How many pictures there are."""
    counts: dict[tuple[Line, int], Count]
    """By curve and strength in 1/255; a strength of 0 is no attack. What was not tried is missing."""

    def line(self, line: Line) -> list[tuple[int, Count]]:
        """One curve, by rising strength."""
        return sorted((strength, count) for (name, strength), count in self.counts.items() if name == line)


def robust_accuracy(lab: Lab, scenario: Scenario, watch: Watch) -> Iterator[Progress | Curves]:
    """Attack the bundled pictures at each strength, ten pictures after ten.

    Each picture is led away from its true label, as in the published reports; whatever the scenario aims at
    is left aside. A picture is right if it is classified as its true label. The first two curves are of the
    same adversarial pictures. What is wrong through ComDefend without an attack counts as wrong at every
    strength of the adaptive attacker, who leaves it alone.

    Yields:
        A ``Progress`` before each batch at each strength, ``Curves`` after it.

    Raises:
        ScenarioError: the attack has no strength, or the classifier does not know these classes.
        AttackError, UnknownClassifierError, WeightsError: as :meth:`app.lab.Lab.run`.
        AttackCancelled: the watch stopped it.
    """
    check_strength(scenario)
    pictures = fifty_pictures()
    side = pictures.images.shape[-1]
    # A strength that the attack has, whatever the controls hold: it is not used.
    scenario = replace(scenario, target=None, epsilon=float(STRENGTHS[0]))
    setup = lab.resolve(scenario, (side, side), watch)
    labels = _numbered(pictures, setup, side)
    counts: dict[tuple[Line, int], Count] = {}
    batches = list(zip(pictures.images.split(TOGETHER), labels.split(TOGETHER), strict=True))
    trial = _Trial(lab, setup, watch)
    for number, (images, truth) in enumerate(batches):
        x, y = to_float(images).to(lab.device), truth.to(lab.device)
        seed = scenario.seed + number
        bare, defended = trial.right(x, y)
        unattacked: dict[Line, Tensor] = {"none": bare, "grey-box": defended, "adaptive": defended}
        for line, right in unattacked.items():
            counts[line, 0] = counts.get((line, 0), Count()).plus(right)
        for place, strength in enumerate(STRENGTHS):
            done = (number + place / len(STRENGTHS)) / len(batches)
            yield Progress(done, f"{strength}/255, {number * TOGETHER + len(x)} of {len(pictures)}")
            found = trial.attacked(x, y, strength, seed, adaptive=False)
            bare, grey = trial.right(found, y)
            found = trial.attacked(x[defended], y[defended], strength, seed, adaptive=True)
            adaptive = defended.clone()
            adaptive[defended] = trial.right(found, y[defended])[1]
            attacked: dict[Line, Tensor] = {"none": bare, "grey-box": grey, "adaptive": adaptive}
            for line, right in attacked.items():
                counts[line, strength] = counts.get((line, strength), Count()).plus(right)
            yield Curves(setup.scenario, len(pictures), dict(counts))


def _numbered(pictures: ImageSet, setup: Setup, side: int) -> Tensor:
    """The labels of the pictures as the classifier numbers its classes, shape (N,), int64."""
    classifier, known = setup.classifier, setup.classifier.classes
    if classifier.config.image_size != side or not set(pictures.classes) <= set(known):
        raise ScenarioError(
            f"the fifty pictures show {', '.join(pictures.classes)}, {side} × {side} pixels each; "
            f"{setup.scenario.classifier} was not made for them: choose a classifier of CIFAR-10"
        )
    return torch.tensor([known.index(name) for name in pictures.classes])[pictures.labels]


@dataclass(frozen=True)
class _Trial:
    """Attacks and answers of one setup, each a step."""

    lab: Lab
    setup: Setup
    watch: Watch

    @property
    def _models(self) -> nn.ModuleList:
        return nn.ModuleList((self.setup.classifier, self.setup.defence))

    def right(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Which pictures, (B,3,H,W), are classified as ``y``, (B,): alone, through the codec; (B,), bool."""
        if len(x) == 0:
            empty = torch.zeros(0, dtype=torch.bool, device=x.device)
            return empty, empty
        classifier, defence = self.setup.classifier, self.setup.defence
        with self.lab.step(self._models, self.watch, x), torch.no_grad():
            return classifier(x).argmax(1) == y, classifier(defence(x)).argmax(1) == y

    def attacked(self, x: Tensor, y: Tensor, strength: int, seed: int, *, adaptive: bool) -> Tensor:
        """Adversarial versions of pictures, (B,3,H,W), a few in each step, so that others need not wait."""
        scenario, classifier, defence = self.setup.scenario, self.setup.classifier, self.setup.defence
        heavy = adaptive and defence.codec.config.downscale == 1
        system = DefendedClassifier(classifier, defence) if adaptive else classifier
        together = HEAVY if heavy else TOGETHER
        found = [x[:0]]
        for few, true in zip(x.split(together), y.split(together), strict=True):
            if len(few) == 0:  # of no pictures, `split` makes one part
                break
            with self.lab.step(self._models, self.watch, few):
                found.append(
                    attack(
                        scenario.attack,
                        system,
                        few,
                        true,
                        epsilon=float(strength),
                        steps=scenario.steps,
                        seed=seed,
                    )
                )
        return torch.cat(found)
