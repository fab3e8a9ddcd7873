"""What is asked of a run, what it finds, and how it is watched meanwhile."""

import copy
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor

from model.attacks import ATTACKS, AttackCancelled, AttackError, ThreatModel, find_attack
from model.entries import SMALL

View = Literal["original", "adversarial", "defended_original", "defended_adversarial"]
VIEWS: tuple[View, ...] = ("original", "adversarial", "defended_original", "defended_adversarial")

BOTH = "both"
"""In the place of a threat model, on the page: one run for each, next to each other."""
AUTO = "auto"
"""In the place of a classifier's or a codec's name: the one that suits the picture's size."""


class ScenarioError(ValueError):
    """A run was asked for something that is no choice; the message says what is."""


class Watch:
    """How a run tells how far it is, and how it is told to stop, from another thread.

    Args:
        on_progress: called with the share done, and of what.
        limit_s: how many seconds the run may take.
        clock: in seconds; the limit is kept by it.
    """

    def __init__(
        self,
        on_progress: Callable[[float, str], None] | None = None,
        limit_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_progress = on_progress
        self._stop = threading.Event()
        self._limit_s = limit_s
        self._clock = clock
        self._end = clock() + limit_s
        self.waits: list[float] = []
        """For how many seconds the run waited for its turn, each time that it did."""
        self.overtaken = False
        """Whether it was stopped because the same visitor asks for another run."""

    def stop(self, overtaken: bool = False) -> None:
        """End the run at its next layer."""
        self.overtaken = overtaken
        self._stop.set()

    def heard_by(self, on_progress: Callable[[float, str], None]) -> "Watch":
        """The same watch, stopped with this one and at the same time, which tells somebody else."""
        other = copy.copy(self)
        other._on_progress = on_progress
        return other

    def check(self) -> None:
        """Raise ``AttackCancelled`` if the run is to stop, ``ScenarioError`` if it takes too long."""
        if self._stop.is_set():
            raise AttackCancelled
        if self._clock() > self._end:
            raise ScenarioError(
                f"this run took more than {self._limit_s:.0f} s and was ended; choose fewer steps"
            )

    def report(self, share: float, what: str) -> None:
        """Say that ``share`` of ``what`` is done."""
        self.check()
        if self._on_progress is not None:
            self._on_progress(share, what)


@dataclass(frozen=True)
class Scenario:
    """What is asked of one run. ``epsilon`` is in 1/255; None where the attack has none.

    ``classifier`` and ``codec`` may be ``auto``; the scenario of an outcome names what they were.
    ``planes`` is how many planes of the code are kept; None keeps as many as the codec is meant to.
    """

    classifier: str = AUTO
    codec: str = AUTO
    attack: str = "BIM"
    threat_model: ThreatModel = "grey-box"
    epsilon: float | None = 4
    steps: int | None = 10
    target: str | None = None
    seed: int = 0
    planes: int | None = None


def make_scenario(
    classifier: str,
    attack: str,
    threat_model: str,
    epsilon: float | None,
    steps: float | None,
    target: str | None,
    seed: float | None,
    codec: str,
    planes: float | None,
) -> Scenario:
    """A scenario from what the components hold.

    What the attack lacks becomes None; a strength or a number of steps that is None, its default.
    """
    spec = find_attack(attack, among=ATTACKS)
    return Scenario(
        classifier=classifier,
        codec=codec,
        attack=attack,
        threat_model=threat_model,  # type: ignore[arg-type]  # the lab refuses others
        epsilon=number(_or(epsilon, Scenario.epsilon), "Epsilon") if spec.has_epsilon else None,
        steps=whole(_or(steps, spec.default_steps), spec.steps_label) if spec.has_steps else None,
        target=target or None,
        seed=whole(_or(seed, 0), "Seed"),
        planes=None if planes is None else whole(planes, "Planes"),
    )


def _or(value: float | None, default: float | None) -> float | None:
    return default if value is None else value


def number(value: Any, name: str) -> float:
    """A number from a component's value; whether it suits is for others to say."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AttackError(f"{name} must be a number, got {value!r}")
    return value


def whole(value: Any, name: str) -> int:
    """A whole number from a component's value."""
    value = number(value, name)
    if not abs(value) < 2**31 or value != int(value):  # also refuses NaN
        raise AttackError(f"{name} must be a whole number, got {value}")
    return int(value)


def kept_planes(percent: Any, total: int) -> int | None:
    """How many planes a share of a code's ``total`` ones is, at least one; None for 0, which is automatic.

    Raises:
        ScenarioError: the share is not from 0 to 100 %.
    """
    share = number(percent, "The share of planes kept")
    if not 0 <= share <= 100:  # also refuses NaN
        raise ScenarioError("the share of planes kept is from 0 to 100 %")
    return max(1, round(total * share / 100)) if share else None


def percent_of(planes: int | None, total: int) -> float:
    """The share of a code's ``total`` planes that :func:`kept_planes` turns into so many again."""
    return 0 if planes is None else 100 * planes / total


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one picture."""

    label: str
    confidence: float
    top: list[tuple[str, float]]
    """The five most probable classes with their probabilities."""


class Reading(NamedTuple):
    """What one system says at one moment of an attack."""

    label: str
    confidence: float
    """In that label."""
    original: float
    """In the label that the bare classifier gave the original."""


class Step(NamedTuple):
    """What both systems say after so many steps of an attack."""

    step: int
    bare: Reading
    defended: Reading


@dataclass(frozen=True)
class Outcome:
    """All that one run found. Pictures have shape (1,3,H,W), codes (1,K,h,w), K planes being kept."""

    scenario: Scenario
    original: Tensor
    adversarial: Tensor
    defended_original: Tensor
    defended_adversarial: Tensor
    code_original: Tensor
    code_adversarial: Tensor
    predictions: dict[View, Prediction]
    verdict: dict[str, bool]
    metrics: dict[str, float | None]
    sizes_bytes: dict[str, int]
    """How many bytes the adversarial picture takes: as a packed code, as PNG, as JPEG of quality 75."""
    timings_ms: dict[str, float]
    device: str
    trail: tuple[Step, ...] = ()
    """From the original to the adversarial picture, with the steps between that somebody wanted to see."""

    @property
    def is_small(self) -> bool:
        """Whether a page will enlarge its pictures."""
        return self.original.shape[-1] <= SMALL

    def summary(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "scenario": asdict(self.scenario),
            "predictions": {view: asdict(self.predictions[view]) for view in VIEWS},
            "verdict": self.verdict,
            "metrics": self.metrics,
            "sizes_bytes": self.sizes_bytes,
            "timings_ms": self.timings_ms,
            "device": self.device,
        }


def in_detail(outcomes: Sequence[Outcome] | None, threat_model: str | None) -> Outcome | None:
    """The run that is shown in detail: the only one, or of two attackers' this one's; None: there is none."""
    outcomes = outcomes or ()
    for outcome in outcomes:
        if len(outcomes) == 1 or outcome.scenario.threat_model == threat_model:
            return outcome
    return None
