"""What a run sees: of one picture through both systems, and of an attack while it goes on."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.events import Frame
from app.measure import predictions, readings
from app.scenario import Reading, Scenario, ScenarioError, Step
from model import DefendedClassifier
from model.classifiers import Classifier
from model.defences import Codec

FRAMES_SHARE = 0.17
"""At most this share of an attack's time goes into looking at it. Some more goes into drawing it."""
FRAMES_APART = 0.2
"""At least so many seconds lie between two frames: nobody sees more, and each has to be sent."""
WORTH_SECONDS = 0.4
"""What an attack comes to is there sooner than a frame would be drawn and sent, if it has less left to do."""


@dataclass(frozen=True)
class Setup:
    """A scenario with all that its names stand for."""

    scenario: Scenario
    """As it was asked for, with the names that ``auto`` stood for."""
    classifier: Classifier
    defence: Codec
    """The codec, with the planes that are kept."""
    target: int | None
    """The number of the class that is aimed at."""

    @property
    def is_adaptive(self) -> bool:
        """Whether the attacker knows the codec, too."""
        return self.scenario.threat_model == "adaptive"

    @property
    def attacked(self) -> torch.nn.Module:
        """The system that the attacker knows, and attacks."""
        return DefendedClassifier(self.classifier, self.defence) if self.is_adaptive else self.classifier


def target_index(scenario: Scenario, classifier: Classifier) -> int | None:
    """The number of the class that a scenario aims at, None for any other; refuse one that there is not."""
    if scenario.target is None:
        return None
    if scenario.target not in classifier.classes:
        raise ScenarioError(
            f"{scenario.classifier} knows no class {scenario.target!r} to aim at; "
            f"it knows {', '.join(classifier.classes[:10])}"
            f"{', ...' if len(classifier.classes) > 10 else ''}"
        )
    return classifier.classes.index(scenario.target)


@dataclass(frozen=True)
class Look:
    """One picture, (1,3,H,W), and all that both systems make of it."""

    picture: Tensor
    code: Tensor
    """Shape (1,K,h,w), of the planes that are kept."""
    rebuilt: Tensor
    """Shape (1,3,H,W)."""
    bare: Tensor
    """The classifier's logits for the picture, (1,classes)."""
    defended: Tensor
    """Those for its reconstruction."""

    @property
    def logits(self) -> Tensor:
        """Shape (2,classes): without ComDefend, and through it."""
        return torch.cat((self.bare, self.defended))


class Pace:
    """Says when to show an attack: so that it costs no more than a share of its time.

    How long that will be is told by the steps that are done. So the first frame can come early.

    Args:
        steps: how many the attack takes.
        cost: how many seconds a frame takes; the last one's duration is used from then on.
        share: at most so much of the attack's time; infinite: each step is shown.
        clock: in seconds.
    """

    def __init__(self, steps: int, cost: float, share: float, clock: Callable[[], float]) -> None:
        self._steps = steps
        self._cost = cost
        self._share = share
        self._clock = clock
        self._start = self._last = clock()
        self.spent = 0.0
        """Seconds that went into frames."""

    def due(self, step: int) -> bool:
        """Whether there is time for a frame after so many steps."""
        if self._share == math.inf:
            return True
        now = self._clock()
        a_step = (now - self._start - self.spent) / step
        return (
            now - self._last >= FRAMES_APART
            and a_step * (self._steps - step) >= WORTH_SECONDS
            and self.spent + self._cost <= self._share * a_step * self._steps
        )

    def shown(self, since: float) -> None:
        """A frame was made, which began at ``since``."""
        self._last = self._clock()
        self._cost = self._last - since
        self.spent += self._cost


class Film:
    """An attack on its way from the original to the adversarial picture, in as many frames as are cheap.

    Args:
        look: what both systems make of a picture.
        original: the same of the original, which took ``cost`` seconds.
        tell: is given the frames; None: nobody wants any, and none are made.
        share: of the attack's time that they may cost.
        clock: in seconds.
    """

    def __init__(
        self,
        setup: Setup,
        look: Callable[[Tensor], Look],
        original: Look,
        cost: float,
        tell: Callable[[Frame], None] | None,
        share: float,
        clock: Callable[[], float],
    ) -> None:
        self._setup = setup
        self._look = look
        self._original = original
        self._label = int(original.bare.argmax())
        self._clock = clock
        self._tell = tell
        self.steps = setup.scenario.steps or 1
        self._pace = Pace(self.steps, cost, share, clock) if tell is not None else None
        self.trail: tuple[Step, ...] = (self._step(0, original),)

    @property
    def spent(self) -> float:
        """Seconds that went into frames."""
        return self._pace.spent if self._pace is not None else 0.0

    @property
    def on_step(self) -> Callable[[int, Tensor], None] | None:
        """What the attack calls after each step."""
        return None if self._tell is None else self._show

    def ended(self, look: Look) -> tuple[Step, ...]:
        """The whole trail, the adversarial picture at its end."""
        return (*self.trail, self._step(self.steps, look))

    def _show(self, step: int, now: Tensor) -> None:
        if self._tell is None or self._pace is None or step >= self.steps or not self._pace.due(step):
            return
        start = self._clock()
        look = self._look(now)
        self.trail = (*self.trail, self._step(step, look))
        bare, defended = predictions(self._setup.classifier, look.logits)
        self._tell(
            Frame(
                step=step,
                steps=self.steps,
                original=self._original.picture.cpu(),
                adversarial=look.picture.cpu(),
                code_original=self._original.code.cpu(),
                code_adversarial=look.code.cpu(),
                defended_adversarial=look.rebuilt.cpu(),
                bare=bare,
                defended=defended,
                trail=self.trail,
            )
        )
        self._pace.shown(since=start)

    def _step(self, step: int, look: Look) -> Step:
        bare, defended = self._read(look)
        return Step(step, bare, defended)

    def _read(self, look: Look) -> list[Reading]:
        return readings(self._setup.classifier, look.logits, self._label)
