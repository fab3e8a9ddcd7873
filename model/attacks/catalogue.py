"""Which attacks there are, and what each can be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from model.attacks import adapters
from model.attacks.adapters import Adapter
from model.attacks.pgd import Descent

ThreatModel = Literal["grey-box", "adaptive"]
THREAT_MODELS: tuple[ThreatModel, ...] = get_args(ThreatModel)
"""``grey-box``: the attacker knows the classifier, not the codec (the paper's setting).
``adaptive``: the attacker knows both and differentiates through the codec."""

MIN_EPSILON, MAX_EPSILON = 1.0, 64.0
"""In 1/255; an 8-bit picture knows no smaller step than 1."""


class AttackError(ValueError):
    """An attack was asked for what it cannot do; the message says what it can."""


@dataclass(frozen=True)
class AttackSpec:
    """One attack: its parameters, and how it is run.

    ``method`` is a function from the number of steps to a descent of :mod:`model.attacks.pgd`, or an adapter
    of one of torchattacks' attacks.
    """

    name: str
    about: str
    method: Callable[[int], Descent] | Adapter
    has_epsilon: bool = True
    default_steps: int | None = None
    max_steps: int = 1
    steps_label: str = "Steps"
    targetable: bool = True
    seeded: bool = False

    @property
    def has_steps(self) -> bool:
        return self.default_steps is not None

    def check(self, epsilon: float | None, steps: int | None, target: int | None) -> None:
        """Refuse parameters that the attack does not have or that are out of range."""
        if self.has_epsilon:
            if epsilon is None or not MIN_EPSILON <= epsilon <= MAX_EPSILON:  # also refuses NaN
                raise AttackError(
                    f"{self.name} needs an epsilon from {MIN_EPSILON:g} to {MAX_EPSILON:g} (in 1/255), "
                    f"got {epsilon}"
                )
        elif epsilon is not None:
            raise AttackError(f"{self.name} has no epsilon")
        if self.has_steps:
            if steps is None or steps != int(steps) or not 1 <= steps <= self.max_steps:
                raise AttackError(
                    f"{self.name} needs a whole number of {self.steps_label.lower()} from 1 to "
                    f"{self.max_steps}, got {steps}"
                )
        elif steps is not None:
            raise AttackError(f"{self.name} has no steps")
        if target is not None and not self.targetable:
            raise AttackError(f"{self.name} cannot be aimed at a target")


ATTACKS: dict[str, AttackSpec] = {
    spec.name: spec
    for spec in (
        AttackSpec("FGSM", "One step along the gradient's sign (Goodfellow et al. 2015).", Descent),
        AttackSpec(
            "BIM",
            "FGSM repeated in small steps; the paper calls it I-FGSM (Kurakin et al. 2017).",
            Descent,
            default_steps=10,
            max_steps=200,
        ),
        AttackSpec(
            "PGD",
            "BIM from a random start (Madry et al. 2018).",
            lambda steps: Descent(steps, random_start=True),
            default_steps=10,
            max_steps=200,
            seeded=True,
        ),
        AttackSpec(
            "MI-FGSM",
            "BIM with momentum 1; transfers well (Dong et al. 2018).",
            lambda steps: Descent(steps, momentum=1.0),
            default_steps=10,
            max_steps=200,
        ),
        AttackSpec(
            "DeepFool",
            "The nearest decision boundary in L2; has no epsilon (Moosavi-Dezfooli et al. 2016).",
            adapters.DEEPFOOL,
            has_epsilon=False,
            default_steps=50,
            max_steps=100,
            targetable=False,
        ),
        AttackSpec(
            "C&W",
            "A small L2 perturbation by optimisation; has no epsilon (Carlini & Wagner 2017).",
            adapters.CARLINI_WAGNER,
            has_epsilon=False,
            default_steps=50,
            max_steps=500,
        ),
        AttackSpec(
            "APGD",
            "PGD that sets its own step size, cross-entropy loss (Croce & Hein 2020).",
            adapters.APGD,
            default_steps=20,
            max_steps=200,
            targetable=False,
            seeded=True,
        ),
        AttackSpec(
            "Square",
            "Random search that sees only the scores, no gradient (Andriushchenko et al. 2020).",
            adapters.SQUARE,
            default_steps=500,
            max_steps=5000,
            steps_label="Queries",
            seeded=True,
        ),
    )
}

AUTO_ATTACK, AUTO_ATTACK_RAND = "AutoAttack", "AutoAttack-rand"
"""The whole of it, and that for defences that draw random numbers."""


def family(name: str) -> str:
    """What an attack is a part of: "AutoAttack" of "AutoAttack (FAB-T)". Most are a part of themselves."""
    return name.partition(" (")[0]


def is_autoattack(name: str) -> bool:
    """Whether an attack is AutoAttack, for whatever defences, or a part of it."""
    return family(name) in (AUTO_ATTACK, AUTO_ATTACK_RAND)


def _parts(whole: str, parts: Mapping[str, Adapter], about: str) -> list[AttackSpec]:
    """Parts of an attack that are run one after the other, each on what the ones before it left."""
    return [
        AttackSpec(
            f"{whole} ({part})",
            f"One of {whole}'s {len(parts)}: {part} ({about}).",
            method,
            default_steps=100,
            max_steps=100,
            targetable=False,
            seeded=True,
        )
        for part, method in parts.items()
    ]


EVALUATION_ATTACKS: dict[str, AttackSpec] = {
    spec.name: spec
    for spec in (
        AttackSpec(
            "APGD-DLR",
            "APGD on the difference of logits ratio, which no scale of the logits can flatten.",
            adapters.APGD_DLR,
            default_steps=20,
            max_steps=200,
            targetable=False,
            seeded=True,
        ),
        *_parts(AUTO_ATTACK, adapters.AUTO_ATTACK, "Croce & Hein 2020"),
        *_parts(
            AUTO_ATTACK_RAND,
            adapters.AUTO_ATTACK_RAND,
            "for defences that draw random numbers, each gradient a mean",
        ),
    )
}
"""Besides ``ATTACKS``: too slow, or too much alike, to be offered to a visitor."""


def parts_of(whole: str) -> list[str]:
    """The names of an attack's parts, in the order in which they are run."""
    return [name for name in EVALUATION_ATTACKS if family(name) == whole != name]


def find_attack(name: str, among: Mapping[str, AttackSpec] = ATTACKS | EVALUATION_ATTACKS) -> AttackSpec:
    """The attack of that name; an unknown one is an error that lists the names.

    Args:
        name: of the attack.
        among: those that may be meant; all there are, where nobody says.

    Raises:
        AttackError: there is none.
    """
    if not isinstance(name, str) or name not in among:
        raise AttackError(f"unknown attack {name!r}; choose from {', '.join(ATTACKS)}")
    return among[name]


def descent_of(name: str, steps: int = 1) -> Descent:
    """The hyper-parameters of FGSM, BIM, PGD or MI-FGSM, as the page runs them."""
    method = find_attack(name).method
    if isinstance(method, Adapter):
        raise AttackError(f"{name} is no descent of ours")
    return method(steps)
