"""All that is to be done, as jobs, before any of it is begun."""

import math
from collections.abc import Iterable, Iterator

import torch

from model.attacks.catalogue import is_autoattack
from model.comdefend import ComDefend
from model.config import CodecConfig
from model.data import evenly_spaced
from model.defences import Codec
from model.entries import Pictures
from model.evaluate.jobs import CleanJob, DirectJob, GreyBoxJob, Job, NoiseJob, PlanesJob, TransferJob
from model.evaluate.presets import MAIN, MI_FGSM, AttackConfig, Preset
from model.evaluate.record import Scope, Scopes
from model.evaluate.systems import System

# For the time left:
CODEC_COST: dict[Pictures, int] = {"small": 17, "garments": 17, "photographs": 90}
"""What a pass through the paper's codec costs, in passes through a classifier of such pictures."""
FALLING = 0.3
"""Share of an attack's steps that are run, since pictures drop out as they fall."""
PLANES_IMAGES = 300
"""At most so many pictures are shown with some planes only."""
PLANES_TRIED = 12
"""At most so many numbers of planes are tried."""


def choose_scopes(count: int, preset: Preset) -> Scopes:
    """Which of ``count`` pictures are whose, evenly spaced and each among the larger choice."""
    adaptive = evenly_spaced(count, min(count, preset.adaptive_images))
    few, costly = (
        adaptive[evenly_spaced(len(adaptive), min(len(adaptive), images))]
        for images in (preset.few_images, preset.costly_images)
    )
    part = adaptive if len(adaptive) else evenly_spaced(count, min(count, preset.costly_images))
    return {"all": torch.arange(count), "adaptive": adaptive, "few": few, "part": part, "costly": costly}


def plan(systems: list[System], preset: Preset, scopes: Scopes, source: str | None = None) -> list[Job]:
    """All jobs of an evaluation, the most telling first.

    Args:
        systems: as :func:`model.evaluate.systems.load_systems` gives them, the undefended one among them.
        preset: which attacks.
        scopes: on which pictures, of :func:`choose_scopes`.
        source: the classifier to craft transferred pictures on; None leaves these out. It is not shown to
            systems that have it themselves.
    """
    return _Planner(systems, preset, scopes, source).jobs()


class _Planner:
    """The systems, the preset and the scopes, for all the kinds of jobs."""

    def __init__(self, systems: list[System], preset: Preset, scopes: Scopes, source: str | None) -> None:
        self.systems = systems
        self.classifiers = dict.fromkeys(system.classifier_name for system in systems)
        self.preset = preset
        self.counts = {scope: len(indices) for scope, indices in scopes.items()}
        self.source = source
        self.epsilons = sorted(preset.epsilons, key=lambda epsilon: abs(math.log(epsilon / MAIN)))

    def jobs(self) -> list[Job]:
        with_main = MAIN in self.epsilons
        found: list[Job] = [self._clean(system) for system in self.systems]
        for epsilon in self.epsilons:
            found.append(self._noise(epsilon))
            found += self._grey_box(epsilon)
        if self.source is not None and with_main and self.preset.allows(MI_FGSM):
            found.append(self._transfer(self.source))
        slow = [system for system in self.systems if system.is_slow_to_attack]
        fast = [system for system in self.systems if not system.is_slow_to_attack]
        if self.counts["adaptive"]:
            found += self._adaptive(fast)
            if with_main:
                found += self._alone(fast)
        found += self._unbounded()
        if with_main:
            found += [
                self._planes(system, system.defence.codec)
                for system in self.systems
                if isinstance(system.defence, Codec) and system.planes_can_be_dropped
            ]
        if self.counts["adaptive"]:
            found += self._adaptive(slow)
        # Stable: but for AutoAttack, which takes longest and sees least, the order stays.
        return sorted(found, key=_is_of_autoattack)

    def _cost_to_show(self, systems: Iterable[System], scope: Scope) -> float:
        return sum(self.counts[system.scope(scope)] * price(system) for system in systems)

    def _clean(self, system: System) -> CleanJob:
        cost = self._cost_to_show([system], "all")
        return CleanJob(system=system.name, scope=system.scope("all"), cost=cost)

    def _noise(self, epsilon: float) -> NoiseJob:
        cost = self._cost_to_show(self.systems, "all")
        return NoiseJob(systems=_names(self.systems), epsilon=epsilon, cost=cost)

    def _grey_box(self, epsilon: float) -> Iterator[GreyBoxJob]:
        """Attacks of a strength on the classifiers."""
        for classifier in self.classifiers:
            for attack in self.preset.grey(epsilon):
                yield self._on_classifier(classifier, attack, (epsilon,), "all")

    def _unbounded(self) -> Iterator[GreyBoxJob]:
        """Attacks without a strength on the classifiers; :meth:`_alone` has those on the defended systems."""
        scope = self.preset.unbounded
        if scope is None or not self.counts[scope]:
            return
        for classifier in self.classifiers:
            for attack in self.preset.grey_unbounded():
                yield self._on_classifier(classifier, attack, self.preset.epsilons, scope)

    def _on_classifier(
        self, classifier: str, attack: AttackConfig, epsilons: tuple[float, ...], scope: Scope
    ) -> GreyBoxJob:
        systems = [system for system in self.systems if system.classifier_name == classifier]
        return GreyBoxJob(
            classifier=classifier,
            systems=_names(systems),
            attack=attack,
            epsilons=epsilons,
            scope=scope,
            cost=self.counts[scope] * attack.passes() + self._cost_to_show(systems, scope),
        )

    def _transfer(self, source: str) -> TransferJob:
        systems = [system for system in self.systems if system.classifier_name != source]
        return TransferJob(
            source=source,
            systems=_names(systems),
            attack=MI_FGSM,
            epsilon=MAIN,
            cost=self.counts["all"] * MI_FGSM.passes() + self._cost_to_show(systems, "all"),
        )

    def _adaptive(self, systems: list[System]) -> Iterator[DirectJob]:
        """Attacks that all of the adaptive attacker's pictures get, what the checks want besides, and then
        cascades: attacks that only see what still stands."""
        defended = [system for system in systems if not system.undefended]
        for epsilon in self.epsilons:
            for system in defended:
                for attack in self.preset.direct(system.defence):
                    yield self._on_system(system, attack, epsilon, "adaptive")
        if MAIN in self.epsilons:
            for system in defended:
                for attack, epsilon, scope in self.preset.for_the_checks(system.defence):
                    yield self._on_system(system, attack, epsilon, scope)
        for epsilon in self.epsilons:
            for system in systems:
                for attack in self.preset.cascade(epsilon, system.defence):
                    yield self._on_system(system, attack, epsilon, "adaptive", cascade=True)

    def _alone(self, systems: list[System]) -> Iterator[DirectJob]:
        """Attacks that a few pictures get, however they fared before; where each takes minutes, none do."""
        for system in systems:
            for attack in self.preset.alone(MAIN, system.defence):
                # Without a defence, those without a strength are the grey-box ones.
                if attack.has_epsilon or not system.undefended:
                    yield self._on_system(system, attack, MAIN, "few")

    def _on_system(
        self, system: System, attack: AttackConfig, epsilon: float, scope: Scope, cascade: bool = False
    ) -> DirectJob:
        scope = system.scope(scope)
        cost = self.counts[scope] * attack.passes() * price(system) * FALLING
        if cascade:
            cost *= FALLING
        return DirectJob(
            system=system.name,
            attack=attack,
            epsilons=(epsilon,) if attack.has_epsilon else self.preset.epsilons,
            scope=scope,
            cascade=cascade,
            cost=cost,
        )

    def _planes(self, system: System, codec: ComDefend) -> PlanesJob:
        images = min(self.counts["all"], PLANES_IMAGES)
        planes = planes_tried(codec.planes)
        attacks = self.preset.grey(MAIN)[:2]
        shown = (1 + len(attacks)) * len(planes)
        return PlanesJob(
            system=system.name,
            planes=planes,
            attacks=tuple(attacks),
            epsilon=MAIN,
            images=images,
            cost=images * (sum(attack.passes() for attack in attacks) + shown * price(system)),
        )


def price(system: System) -> float:
    """What a pass of one picture through a system costs, in passes through the classifier alone."""
    defence = system.defence
    if isinstance(defence, Codec):
        share = defence.codec.config.multiply_adds / CodecConfig().multiply_adds
        return 1 + CODEC_COST[system.pictures] * share
    return 1 + CODEC_COST[system.pictures] if defence.learned else 1


def planes_tried(planes: int) -> tuple[int, ...]:
    """How many of a code's planes are kept, the whole code the last one."""
    count = planes if planes <= PLANES_TRIED else 8
    return tuple(round(planes * (i + 1) / count) for i in range(count))


def _names(systems: list[System]) -> tuple[str, ...]:
    return tuple(system.name for system in systems)


def _is_of_autoattack(job: Job) -> bool:
    return isinstance(job, DirectJob) and is_autoattack(job.attack.name)
