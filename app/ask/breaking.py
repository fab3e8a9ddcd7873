"""Until it breaks: the smallest strengths that fool the classifier, and that get through ComDefend."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from PIL import Image

from app.ask.strength import check_strength
from app.events import Progress
from app.lab import Lab
from app.scenario import Outcome, Scenario, Watch
from model.attacks import THREAT_MODELS, ThreatModel

System = Literal["classifier", "comdefend"]
"""Who looks at the adversarial picture: the classifier alone, or behind the codec."""
SYSTEMS: tuple[System, ...] = get_args(System)
FURTHEST = 32
"""The largest strength that is tried, in 1/255: where the page's slider ends, too."""


class Question(NamedTuple):
    """One of the four: whose picture, and who looks at it."""

    threat_model: ThreatModel
    system: System


QUESTIONS = tuple(Question(who, system) for who in THREAT_MODELS for system in SYSTEMS)


@dataclass(frozen=True)
class Bracket:
    """Where the smallest strength lies, as far as is known: above ``held``, at most ``broke``. In 1/255."""

    held: int
    """The largest strength below ``broke`` that did not break it; -1: it is broken without any attack."""
    broke: int | None
    """The smallest strength that broke it; None: none yet, or none at all."""

    @property
    def found(self) -> bool:
        """Whether there is nothing more to try."""
        return self.held == FURTHEST if self.broke is None else self.broke - self.held == 1

    @property
    def halvings(self) -> int:
        """About how many more attacks it takes."""
        if self.found:
            return 0
        # The first one is at the largest strength.
        return math.ceil(math.log2((FURTHEST if self.broke is None else self.broke) - self.held)) + (
            self.broke is None
        )


@dataclass(frozen=True)
class Breaking:
    """The four numbers, as far as they are known.

    - ``Question("grey-box", "classifier")``: the smallest strength at which a picture that was made against
      the classifier fools it.
    - ``Question("grey-box", "comdefend")``: at which such a picture gets through ComDefend.
    - ``Question("adaptive", "classifier")``: at which one that was made against the two together fools the
      classifier without the codec. Its maker did not aim at that.
    - ``Question("adaptive", "comdefend")``: at which such a one gets through ComDefend.

    A system is broken where it does not say what the classifier alone says of the original; with a target,
    where it says the target. So ComDefend may be broken without any attack: that is a strength of 0.
    """

    scenario: Scenario
    """Resolved; its strength and its threat model mean nothing here."""
    label: str
    """What the classifier says of the original."""
    brackets: dict[Question, Bracket]

    @property
    def done(self) -> bool:
        """Whether all four are known."""
        return all(bracket.found for bracket in self.brackets.values())


def until_it_breaks(
    lab: Lab, picture: Image.Image, scenario: Scenario, watch: Watch
) -> Iterator[Progress | Breaking]:
    """Find the four numbers by bisection over the whole strengths up to ``FURTHEST``, one attack a step.

    An 8-bit picture knows no halves: an attack of 2.5/255 moves no pixel further than one of 2.

    Bisection takes for granted what need not be so: that what breaks at one strength breaks at every larger
    one. An attack in ten steps may fail where a weaker one got there, and rounding adds its own. What is
    found is a strength that breaks the system and whose next smaller one does not. Where the largest one does
    not break it, smaller ones are not looked for, though all that were tried for another question count.

    Yields:
        A ``Progress`` before each attack, a ``Breaking`` after it; the last one is ``done``.

    Raises:
        ScenarioError, AttackError, UnknownClassifierError, WeightsError: as :meth:`app.lab.Lab.run`, or the
            attack has no strength.
        AttackCancelled: the watch stopped it.
    """
    check_strength(scenario)
    broken: dict[Question, dict[int, bool]] = {question: {} for question in QUESTIONS}
    total = 0
    for threat_model in THREAT_MODELS:
        while (strength := _next(broken, threat_model)) is not None:
            brackets = {question: bracket(tried) for question, tried in broken.items()}
            left = sum(it.halvings for it in brackets.values())
            total = max(total, left)
            yield Progress(1 - left / total, f"{threat_model}, {strength}/255")
            run = replace(scenario, threat_model=threat_model, epsilon=float(strength))
            watch.check()
            outcome = lab.run(picture, run, watch)  # one step: it waits for its turn
            for system in SYSTEMS:
                tried = broken[Question(threat_model, system)]
                tried[0], tried[strength] = _is_broken(outcome, system)
            yield Breaking(
                outcome.scenario,
                outcome.predictions["original"].label,
                {question: bracket(tried) for question, tried in broken.items()},
            )


def bracket(tried: dict[int, bool]) -> Bracket:
    """Where the smallest strength lies, by whether each that was tried, in 1/255, broke the system."""
    broke = min((strength for strength, broken in tried.items() if broken), default=None)
    if broke == 0:
        return Bracket(-1, 0)
    smaller = [strength for strength, broken in tried.items() if not broken]
    held = max((strength for strength in smaller if broke is None or strength < broke), default=0)
    return Bracket(held, broke)


def _next(broken: dict[Question, dict[int, bool]], threat_model: ThreatModel) -> int | None:
    """The strength to try next against one of an attacker's two systems; None: both are known."""
    for system in SYSTEMS:
        it = bracket(broken[Question(threat_model, system)])
        if not it.found:
            return FURTHEST if it.broke is None else (it.held + it.broke) // 2
    return None


def _is_broken(outcome: Outcome, system: System) -> tuple[bool, bool]:
    """Whether a system is broken without the attack, and by it."""
    views = ("original", "adversarial")
    before, after = (
        outcome.predictions[view if system == "classifier" else f"defended_{view}"].label  # type: ignore[index]
        for view in views
    )
    own, target = outcome.predictions["original"].label, outcome.scenario.target
    if target is None:
        return before != own, after != own
    return before == target, after == target
