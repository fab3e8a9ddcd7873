"""How each kind of job is done: from a job and a seed to records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.attacks import round_inside_ball
from model.data import ImageSet, evenly_spaced, to_float
from model.defences import Codec
from model.evaluate import measure
from model.evaluate.direct import OnPart, Part, attack_system
from model.evaluate.jobs import CleanJob, DirectJob, GreyBoxJob, Job, NoiseJob, PlanesJob, TransferJob
from model.evaluate.presets import AttackConfig
from model.evaluate.record import (
    AttackRecord,
    CleanRecord,
    NoiseRecord,
    PlanesRecord,
    Record,
    Scope,
    Scopes,
    ThreatModel,
    UnboundedRecord,
    to_bits,
    worst_case,
)
from model.evaluate.systems import System
from model.ops import keep_planes

FLIP_IMAGES = 100
"""On at most so many pictures, flipped bits are counted."""


class Answer(NamedTuple):
    """What a system makes of pictures that others were shown, too."""

    system: System
    scope: Scope
    correct: Tensor
    """Shape (count,), bool."""
    bits_flipped: float | None
    """None of what is no codec."""


class Executor:
    """What jobs need: the systems and the pictures.

    Args:
        systems: all that the jobs name.
        data: the pictures, of the classifier's size.
        scopes: which of them are whose.
        source: the classifier, with its name, to craft transferred pictures on, if a job does.
    """

    def __init__(
        self,
        systems: list[System],
        data: ImageSet,
        scopes: Scopes,
        source: tuple[str, nn.Module] | None = None,
    ) -> None:
        self.systems = {system.name: system for system in systems}
        self.scopes = scopes
        self.source = source
        self.x = to_float(data.images)  # (N,3,H,W)
        self.labels = data.labels

    def execute(
        self,
        job: Job,
        seed: int,
        before: Sequence[Record],
        done: Mapping[int, Part] | None = None,
        on_part: OnPart = lambda number, part, share: None,
    ) -> Sequence[Record]:
        """Do one job.

        Args:
            job: what to do.
            seed: of all that is left to chance in it.
            before: the records of earlier jobs: an attack on a defended system leaves alone what the system
                gets wrong unattacked, and a cascade what fell before.
            done, on_part: see :func:`model.evaluate.direct.attack_system`; other jobs are done as a whole.
        """
        match job:
            case CleanJob():
                return self._clean(job, seed)
            case NoiseJob():
                return self._noise(job, seed)
            case GreyBoxJob() if job.attack.has_epsilon:
                return self._grey_box(job, seed)
            case GreyBoxJob():
                classifier = self.systems[job.systems[0]].classifier
                return self._unbounded(job, job.systems, classifier, "grey-box", seed, before)
            case TransferJob():
                return self._transfer(job, seed)
            case DirectJob() if job.attack.has_epsilon:
                return self._direct(job, seed, before, done or {}, on_part)
            case DirectJob():
                target = self.systems[job.system].module
                return self._unbounded(job, [job.system], target, "adaptive", seed, before)
            case PlanesJob():
                return self._planes(job, seed)
        raise TypeError(f"nobody knows how to do a {type(job).__name__}")

    # The jobs.

    def _clean(self, job: CleanJob, seed: int) -> list[CleanRecord]:
        right = measure.correct(self.systems[job.system].module, *self._pictures(job.scope), seed)
        return [CleanRecord(system=job.system, scope=job.scope, right=to_bits(right))]

    def _noise(self, job: NoiseJob, seed: int) -> list[NoiseRecord]:
        """Signs at random, as large as the attacks and as blind as can be."""
        generator = torch.Generator().manual_seed(seed)
        signs = torch.randint(0, 2, self.x.shape, generator=generator).mul_(2).sub_(1).to(self.x)
        noisy = round_inside_ball((self.x + job.epsilon / 255 * signs).clamp(0, 1), self.x, job.epsilon)
        return [
            NoiseRecord(
                system=answer.system.name,
                epsilon=job.epsilon,
                scope=answer.scope,
                right=to_bits(answer.correct),
                bits_flipped=answer.bits_flipped,
            )
            for answer in self._answers(job.systems, "all", noisy, seed)
        ]

    def _grey_box(self, job: GreyBoxJob, seed: int) -> list[AttackRecord]:
        """Every step is taken, also where the classifier fell before: that is stronger before a defence."""
        target = self.systems[job.systems[0]].classifier
        x, labels = self._pictures(job.scope)
        found = measure.craft(target, x, labels, job.attack, job.epsilon, seed, stop_early=False)
        return self._shown(job.systems, "grey-box", job.attack, job.epsilon, job.scope, found.pictures, seed)

    def _transfer(self, job: TransferJob, seed: int) -> list[AttackRecord]:
        """What an attacker without any access can do."""
        if self.source is None or self.source[0] != job.source:
            raise ValueError(f"{job.source} is not there to craft pictures on")
        _, model = self.source
        found = measure.craft(model, self.x, self.labels, job.attack, job.epsilon, seed, stop_early=False)
        shown = AttackConfig("transfer", steps=job.attack.steps, black_box=True)
        return self._shown(job.systems, "black-box", shown, job.epsilon, "all", found.pictures, seed)

    def _direct(
        self,
        job: DirectJob,
        seed: int,
        before: Sequence[Record],
        done: Mapping[int, Part],
        on_part: OnPart,
    ) -> list[AttackRecord]:
        x, labels = self._pictures(job.scope)
        standing = self._standing(job, before)[self.scopes[job.scope]]
        return [attack_system(self.systems[job.system], x, labels, standing, job, seed, done, on_part)]

    def _unbounded(
        self,
        job: GreyBoxJob | DirectJob,
        systems: Iterable[str],
        target: nn.Module,
        threat_model: ThreatModel,
        seed: int,
        before: Sequence[Record],
    ) -> list[UnboundedRecord]:
        """DeepFool and C&W: how far they had to go, and how many of their pictures lie in the ball."""
        attack = job.attack
        crafted = measure.craft_unbounded(target, *self._pictures(job.scope), attack, seed)
        records = []
        for system in (self.systems[name] for name in systems):
            scope, (raw, rounded) = self._shown_to(system, job.scope, *crafted)
            x, labels = self._pictures(scope)
            clean = self._right_unattacked(system.name, before)[self.scopes[scope]]
            raw_right = measure.correct(system.module, raw, labels, seed)
            right = measure.correct(system.module, rounded, labels, seed)
            before_rounding = measure.distances(raw - x, clean, raw_right)
            after_rounding = measure.distances(rounded - x, clean, right)
            reach = (255 * (rounded - x).abs().amax((1, 2, 3))).cpu()
            records += [
                UnboundedRecord(
                    system=system.name,
                    threat_model=system.threat_model(threat_model),
                    attack=attack.name,
                    epsilon=epsilon,
                    steps=attack.steps,
                    scope=scope,
                    right=to_bits(clean & (right | (reach > epsilon + 1e-3))),
                    before_rounding=before_rounding,
                    rounded=after_rounding,
                )
                for epsilon in job.epsilons
            ]
        return records

    def _planes(self, job: PlanesJob, seed: int) -> list[PlanesRecord]:
        """Accuracy against the number of planes that are kept, clean and grey-box."""
        system = self.systems[job.system]
        if not isinstance(system.defence, Codec):
            raise TypeError("only a codec has planes")
        codec = system.defence.codec
        chosen = evenly_spaced(len(self.x), job.images)
        x, labels = self.x[chosen], self.labels[chosen]
        shown: list[tuple[str, ThreatModel, float | None, Tensor]] = [("clean", "no attacker", None, x)]
        for attack in job.attacks:
            found = measure.craft(system.classifier, x, labels, attack, job.epsilon, seed, stop_early=False)
            shown.append((attack.name, "grey-box", job.epsilon, found.pictures))
        records = []
        for name, threat_model, epsilon, pictures in shown:
            code = codec.compress(pictures, codec.planes)  # all of them, however few it would keep by itself
            size = (pictures.shape[-2], pictures.shape[-1])
            for planes in job.planes:
                rebuilt = codec.reconstruct(keep_planes(code, planes), size)
                right = measure.correct(system.classifier, rebuilt, labels, seed)
                records.append(
                    PlanesRecord(
                        system=system.name,
                        planes=planes,
                        attack=name,
                        epsilon=epsilon,
                        threat_model=threat_model,
                        right=to_bits(right),
                    )
                )
        return records

    # What they share.

    def _pictures(self, scope: Scope) -> tuple[Tensor, Tensor]:
        return self.x[self.scopes[scope]], self.labels[self.scopes[scope]]

    def _right_unattacked(self, system: str, before: Sequence[Record]) -> Tensor:
        """Which of all pictures a system classifies rightly as they are, shape (N,), bool."""
        (record,) = (r for r in before if isinstance(r, CleanRecord) and r.system == system)
        return record.spread(self.scopes)

    def _standing(self, job: DirectJob, before: Sequence[Record]) -> Tensor:
        """Which of all pictures are worth attacking, shape (N,), bool."""
        if job.cascade:
            return worst_case(before, job.system, job.epsilon, self.scopes)
        return self._right_unattacked(job.system, before)

    def _shown(
        self,
        systems: Iterable[str],
        threat_model: ThreatModel,
        attack: AttackConfig,
        epsilon: float,
        scope: Scope,
        pictures: Tensor,
        seed: int,
    ) -> list[AttackRecord]:
        """How each system fares on the same adversarial pictures."""
        return [
            replace(
                measure.attack_record(a.system, threat_model, attack, epsilon, a.scope, a.correct),
                bits_flipped=a.bits_flipped,
            )
            for a in self._answers(systems, scope, pictures, seed)
        ]

    def _answers(self, systems: Iterable[str], scope: Scope, pictures: Tensor, seed: int) -> list[Answer]:
        """What each system makes of the same pictures, and what they did to the codes."""
        answers = []
        for system in (self.systems[name] for name in systems):
            own_scope, (mine,) = self._shown_to(system, scope, pictures)
            x, labels = self._pictures(own_scope)
            right = measure.correct(system.module, mine, labels, seed)
            most = len(self.scopes["costly"]) if system.is_slow else FLIP_IMAGES
            some = evenly_spaced(len(x), min(len(x), most))
            answers.append(Answer(system, own_scope, right, measure.flipped(system, x[some], mine[some])))
        return answers

    def _shown_to(self, system: System, scope: Scope, *pictures: Tensor) -> tuple[Scope, Sequence[Tensor]]:
        """What a system is shown of a scope's pictures, each (N,3,H,W): a slow one sees a part of all."""
        if scope != "all" or not system.is_slow:
            return scope, pictures
        part = system.scope(scope)
        return part, [each[self.scopes[part]] for each in pictures]
