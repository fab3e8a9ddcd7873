"""The attacks with their hyper-parameters, and how many of them each preset runs."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from model.attacks import find_attack
from model.attacks.adapters import Adapter
from model.attacks.catalogue import AUTO_ATTACK, AUTO_ATTACK_RAND, descent_of, family, is_autoattack, parts_of
from model.attacks.pgd import Descent, Loss
from model.defences import Defence, GaussianNoise, Nothing
from model.evaluate.record import Scope

MAIN = 8.0
"""The strength, in 1/255, at which everything is measured."""
SEED = "seed"
"""The preset of the paper's own comparison."""
LARGE = 64.0
"""A strength at which nothing may survive: where something does, the gradient is masked."""


@dataclass(frozen=True)
class AttackConfig:
    """One attack, ready to be run: by gradient descent of our own, or by torchattacks.

    ``name`` and ``steps`` are those of ``ATTACKS``, for whoever compares a report with a run of the page.
    """

    name: str
    descent: Descent | None = None
    steps: int | None = None
    gradient: str | None = None
    """The stand-in that it goes through; None: the defence's first."""
    black_box: bool = False
    """It needs no gradient and asks the defended system itself."""

    @property
    def has_epsilon(self) -> bool:
        return self.descent is not None or find_attack(self.name).has_epsilon

    @property
    def key(self) -> str:
        """What tells it from all others, in a few words: a part of a job's key, and so of its seed."""
        parts = [self.name, str(self.steps or 1)]
        if self.gradient:
            parts.append(self.gradient)
        if self.descent and self.descent.loss != "cross-entropy":
            parts.append(self.descent.loss)
        if self.descent and self.descent.restarts > 1:
            parts.append(f"{self.descent.restarts} restarts")
        return ", ".join(parts)

    def passes(self) -> int:
        """Passes through the attacked system, backward ones counted as two."""
        if self.descent is not None:
            return 3 * self.descent.steps * self.descent.restarts * self.descent.draws
        method = find_attack(self.name).method
        if not isinstance(method, Adapter):
            raise TypeError(f"{self.name} is a descent and was given none")
        return method.passes(self.steps or 1)

    def to_dict(self) -> dict[str, Any]:
        """All hyper-parameters, for the report."""
        return {**asdict(self), "descent": asdict(self.descent) if self.descent else None}


FGSM = AttackConfig("FGSM", descent_of("FGSM"))
BIM, MI_FGSM = (AttackConfig(name, descent_of(name, 10), steps=10) for name in ("BIM", "MI-FGSM"))
UNBOUNDED = [AttackConfig(name, steps=50) for name in ("DeepFool", "C&W")]
"""Attacks without a strength: what they make counts where it lies inside the ball."""


def pgd_config(steps: int, loss: Loss = "cross-entropy", restarts: int = 1) -> AttackConfig:
    """PGD from a random start."""
    return AttackConfig("PGD", replace(descent_of("PGD", steps), loss=loss, restarts=restarts), steps=steps)


@dataclass(frozen=True)
class Preset:
    """How much is measured."""

    name: str
    images: int
    adaptive_images: int
    """How many of them the adaptive attacker gets, who costs ten times more and comes many times."""
    few_images: int
    """How many get each of the strongest attacks alone; else these come as a cascade, each on what still
    stands."""
    costly_images: int = 20
    """On how many of the adaptive attacker's pictures a system is attacked itself that is slow to attack: on
    large ones, codecs of the paper's shape and noisy defences. Of what was made against the classifier, such
    a codec sees all that the adaptive attacker gets, a noisy defence everything."""
    epsilons: tuple[float, ...] = (2.0, MAIN, 16.0)
    steps: int = 10
    """How many PGD makes."""
    restarts: int = 1
    unbounded: Literal["few", "all"] | None = None
    """On which pictures DeepFool and C&W, which have no strength, are run against the classifier."""
    suite: bool = False
    """Whether all other attacks are run, too, or only FGSM, BIM and PGD by straight-through."""
    everywhere: bool = False
    """Whether the suite is run at all strengths, or only at 8/255."""
    queries: int = 500
    attacks: tuple[str, ...] | None = None
    """Only attacks of these names, see :func:`model.attacks.catalogue.family`; None: all."""

    def has_suite(self, epsilon: float) -> bool:
        return self.suite and (self.everywhere or epsilon == MAIN)

    def grey(self, epsilon: float) -> list[AttackConfig]:
        """Attacks of that strength on the classifier, whose pictures every defence gets to see."""
        found = [FGSM, BIM, pgd_config(self.steps)]
        if self.has_suite(epsilon):
            found += [MI_FGSM, AttackConfig("APGD", steps=20), AttackConfig("APGD-DLR", steps=20)]
        return self._chosen(found)

    def grey_unbounded(self) -> list[AttackConfig]:
        """Attacks without a strength on the classifier, whose pictures every defence gets to see."""
        return self._chosen(UNBOUNDED) if self.unbounded else []

    def direct(self, defence: Defence) -> list[AttackConfig]:
        """Attacks on the defended system, each on all pictures that the adaptive attacker gets."""
        return self._chosen([self._fit(attack, defence) for attack in (FGSM, BIM, pgd_config(self.steps))])

    def cascade(self, epsilon: float, defence: Defence) -> list[AttackConfig]:
        """Stronger attacks on the defended system, each on what the ones before it left standing."""
        if not self.has_suite(epsilon):
            return []
        attacks = [pgd_config(self.steps, loss="margin", restarts=self.restarts)]
        attacks += [replace(pgd_config(self.steps), gradient=form) for form in defence.gradients[1:]]
        attacks += [MI_FGSM]
        found = [self._fit(attack, defence) for attack in attacks]
        found += [AttackConfig("APGD", steps=20), AttackConfig("APGD-DLR", steps=20)]
        found += [AttackConfig("Square", steps=self.queries, black_box=True)]
        parts = parts_of(AUTO_ATTACK_RAND if defence.noisy else AUTO_ATTACK)
        found += [AttackConfig(part, steps=100) for part in parts]
        return self._chosen(found)

    def alone(self, epsilon: float, defence: Defence) -> list[AttackConfig]:
        """Attacks on the defended system that a few pictures get, however they fared before."""
        if not self.has_suite(epsilon) or epsilon != MAIN:
            return []
        shown = [attack for attack in self.cascade(epsilon, defence) if not is_autoattack(attack.name)]
        return shown + self._chosen(UNBOUNDED)

    def _fit(self, attack: AttackConfig, defence: Defence) -> AttackConfig:
        """The attack with gradients averaged where the defence draws random numbers."""
        if not defence.noisy or attack.descent is None:
            return attack
        return replace(attack, descent=replace(attack.descent, draws=10))

    def for_the_checks(self, defence: Defence) -> list[tuple[AttackConfig, float, Scope]]:
        """What the sanity checks want besides: more steps, and a strength that nothing survives."""
        longer = [2 * self.steps, 4 * self.steps] if self.suite else [2 * self.steps]
        found: list[tuple[AttackConfig, float, Scope]] = [
            (self._fit(pgd_config(steps), defence), MAIN, "adaptive") for steps in longer
        ]
        found.append((self._fit(pgd_config(self.steps), defence), LARGE, "few"))
        return found if self.allows(found[0][0]) else []

    def names(self) -> set[str]:
        """The names of all attacks that it would run without a choice among them."""
        every = replace(self, attacks=None).hyper_parameters({"": Nothing(), "noisy": GaussianNoise(0.1)})
        return {family(attack["name"]) for attack in every}

    def allows(self, attack: AttackConfig) -> bool:
        """Whether it is among the attacks that were asked for."""
        return self.attacks is None or family(attack.name) in self.attacks

    def _chosen(self, attacks: list[AttackConfig]) -> list[AttackConfig]:
        return [attack for attack in attacks if self.allows(attack)]

    def hyper_parameters(self, defences: dict[str, Defence]) -> list[dict[str, Any]]:
        """Every attack of the run, once; pictures that are transferred come from MI-FGSM."""
        attacks = [MI_FGSM] if self.allows(MI_FGSM) else []
        attacks += self.grey_unbounded()
        for epsilon in self.epsilons:
            attacks += self.grey(epsilon)
            for defence in defences.values():
                attacks += self.direct(defence) + self.cascade(epsilon, defence)
                attacks += self.alone(epsilon, defence)
                attacks += [attack for attack, _, _ in self.for_the_checks(defence)]
        return [attack.to_dict() for attack in dict.fromkeys(attacks)]


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("quick", images=200, adaptive_images=200, few_images=100),
        Preset(SEED, images=500, adaptive_images=100, few_images=100, epsilons=(MAIN, 16.0), unbounded="all"),
        Preset(
            "photographs",
            images=400,
            adaptive_images=100,
            few_images=50,
            epsilons=(2.0, 4.0, MAIN, 16.0),
            unbounded="few",
        ),
        Preset(
            "robust",
            images=500,
            adaptive_images=500,
            few_images=50,
            epsilons=(MAIN,),
            steps=20,
            unbounded="few",
            suite=True,
        ),
        Preset(
            "standard",
            images=1000,
            adaptive_images=1000,
            few_images=100,
            steps=20,
            unbounded="few",
            suite=True,
        ),
        Preset(
            "full",
            images=10_000,
            adaptive_images=10_000,
            few_images=1000,
            steps=50,
            restarts=5,
            unbounded="few",
            suite=True,
            everywhere=True,
            queries=5000,
        ),
    )
}
