"""Signs of a broken evaluation: an attack that fails because gradients vanish, not because a defence holds.

After "Obfuscated Gradients Give a False Sense of Security" (Athalye, Carlini and Wagner 2018) and "On
Evaluating Adversarial Robustness" (Carlini et al. 2019). They judge adaptive attacks only: under grey-box,
one step may rightly transfer better than ten.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from model.evaluate.presets import LARGE, MAIN
from model.evaluate.record import AttackRecord, CleanRecord, NoiseRecord, Record, Scope, ScopeRecord, Scopes

SURVIVORS = 0.05
"""The share of the pictures that may be left at a strength that nothing survives."""
SILENT = 0.01
"""Share of pictures without any gradient."""
DOUBLING = 0.5
"""Points by which doubled steps may lower the accuracy; one picture is allowed in any case."""


@dataclass(frozen=True)
class Check:
    """What was looked for, and what was found. ``passed`` is None where it was not measured."""

    name: str
    passed: bool | None
    detail: str

    def to_dict(self) -> dict[str, object]:
        return {"name": self.name, "passed": self.passed, "detail": self.detail}


class Evidence:
    """The records of one system, by kind."""

    def __init__(self, records: list[Record], system: str, scopes: Scopes) -> None:
        self.scopes = scopes
        mine = [record for record in records if record.system == system]
        self.clean = next((record for record in mine if isinstance(record, CleanRecord)), None)
        self.noise = [record for record in mine if isinstance(record, NoiseRecord)]
        self.attacks = [r for r in mine if isinstance(r, AttackRecord) and not r.cascade]
        """A cascade says nothing of its attack alone."""

    def adaptive(self, attack: str, epsilon: float) -> AttackRecord | None:
        """The first one of that name that knew the whole system."""
        for record in self.attacks:
            if (record.attack, record.epsilon, record.threat_model) == (attack, epsilon, "adaptive"):
                return record
        return None

    def standing(self, record: ScopeRecord, scope: Scope = "adaptive") -> Tensor:
        """Which pictures of a scope stood, shape (count,), bool; they must be among the record's.

        What is wrong unattacked stands nowhere, so that all records count alike.
        """
        everywhere = record.spread(self.scopes)
        if self.clean is not None:
            everywhere &= self.clean.spread(self.scopes)
        return everywhere[self.scopes[scope]]

    def accuracy(self, record: ScopeRecord, scope: Scope = "adaptive") -> float:
        return self.standing(record, scope).float().mean().item()


def checks(records: list[Record], system: str, scopes: Scopes, epsilons: tuple[float, ...]) -> list[Check]:
    """All checks of one defended system.

    Args:
        records: of the run.
        system: its name.
        scopes: as they are for this system, see :meth:`model.evaluate.systems.System.own_scopes`.
        epsilons: the strengths that were run, in 1/255.
    """
    evidence = Evidence(records, system, scopes)
    return [
        _many_steps_beat_one(evidence, epsilons),
        _more_steps_change_nothing(evidence),
        _falls_with_strength(evidence, epsilons),
        _nothing_survives(evidence),
        _noise_is_weaker(evidence, epsilons),
        _black_box_is_weaker(evidence),
        _there_is_a_gradient(evidence),
    ]


def _judge(name: str, comparisons: list[tuple[bool, str]]) -> Check:
    """A check of several comparisons (whether each is as it should be, and what it saw): it fails with the
    first that does."""
    if not comparisons:
        return Check(name, None, "not measured")
    wrong = [text for good, text in comparisons if not good]
    return Check(name, not wrong, "; ".join(wrong or [text for _, text in comparisons]))


def _many_steps_beat_one(evidence: Evidence, epsilons: tuple[float, ...]) -> Check:
    comparisons = []
    for epsilon in epsilons:
        one, many = evidence.adaptive("FGSM", epsilon), evidence.adaptive("PGD", epsilon)
        if one and many:
            first, second = evidence.accuracy(one), evidence.accuracy(many)
            comparisons.append((second <= first, f"{epsilon:g}/255: FGSM {first:.1%}, PGD {second:.1%}"))
    return _judge("iterating beats a single step", comparisons)


def _more_steps_change_nothing(evidence: Evidence) -> Check:
    """The longest two runs are compared: where fewer steps were too few, the worst case has the longest."""
    name = "doubling the steps changes little"
    runs = [
        record
        for record in evidence.attacks
        if (record.attack, record.epsilon, record.threat_model) == ("PGD", MAIN, "adaptive")
        and record.scope in ("adaptive", "costly")
    ]
    found = {r.steps or 1: evidence.standing(r) for r in sorted(runs, key=lambda r: r.steps or 1)}
    pairs = [(once, found[2 * steps]) for steps, once in found.items() if 2 * steps in found]
    if not pairs:
        return _judge(name, [])
    once, twice = pairs[-1]
    allowed = max(1, int(DOUBLING / 100 * len(once)))  # pictures, and one in any case
    text = ", ".join(f"{steps} steps {standing.float().mean():.1%}" for steps, standing in found.items())
    good = int(once.sum()) - int(twice.sum()) <= allowed
    return _judge(name, [(good, text)])


def _falls_with_strength(evidence: Evidence, epsilons: tuple[float, ...]) -> Check:
    """One attack is looked at, for the worst case has had more attacks at one strength than at another."""
    runs = [(epsilon, evidence.adaptive("PGD", epsilon)) for epsilon in sorted(epsilons)]
    found = [(epsilon, evidence.accuracy(record)) for epsilon, record in runs if record is not None]
    comparisons = [
        (after <= before, f"PGD {before:.1%} at {weak:g}/255, {after:.1%} at {strong:g}/255")
        for (weak, before), (strong, after) in itertools.pairwise(found)
    ]
    return _judge("accuracy falls with the strength", comparisons)


def _nothing_survives(evidence: Evidence) -> Check:
    name = "nothing survives a large strength"
    record = evidence.adaptive("PGD", LARGE)
    if record is None:
        return _judge(name, [])
    left = record.correct.float().mean().item()
    return _judge(name, [(left <= SURVIVORS, f"{left:.1%} at {LARGE:g}/255")])


def _noise_is_weaker(evidence: Evidence, epsilons: tuple[float, ...]) -> Check:
    comparisons = []
    noise = {record.epsilon: record for record in evidence.noise}
    for epsilon in epsilons:
        attack = evidence.adaptive("PGD", epsilon)
        if epsilon in noise and attack:
            first, second = evidence.accuracy(noise[epsilon]), evidence.accuracy(attack)
            comparisons.append((second <= first, f"{epsilon:g}/255: noise {first:.1%}, PGD {second:.1%}"))
    return _judge("random noise is weaker than the attack", comparisons)


def _black_box_is_weaker(evidence: Evidence) -> Check:
    """Each black-box attack against the worst of those with gradients, on the same pictures."""
    attacks = [record for record in evidence.attacks if record.epsilon == MAIN]
    known = [r for r in attacks if r.threat_model == "adaptive" and r.scope != "few"]
    comparisons = []
    for record in attacks:
        if record.threat_model != "black-box" or not known:
            continue
        scope: Scope = "few" if record.scope == "few" else "adaptive"
        standing = torch.stack([evidence.standing(other, scope) for other in known]).all(0)
        first, second = evidence.accuracy(record, scope), standing.float().mean().item()
        comparisons.append((second <= first, f"{record.attack} {first:.1%}, with gradients {second:.1%}"))
    return _judge("black-box attacks are weaker", comparisons)


def _there_is_a_gradient(evidence: Evidence) -> Check:
    name = "gradients do not vanish"
    record = evidence.adaptive("PGD", MAIN)
    if record is None or record.no_gradient is None:
        return _judge(name, [])
    text = f"{record.no_gradient:.1%} of the pictures have none, "
    text += f"{record.zero_gradient:.1%} of all entries are zero"
    return _judge(name, [(record.no_gradient <= SILENT, text)])
