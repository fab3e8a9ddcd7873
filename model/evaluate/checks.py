"""Signs of a broken evaluation: an attack that fails because gradients vanish, not because a defence holds.

After "Obfuscated Gradients Give a False Sense of Security" (Athalye, Carlini and Wagner 2018) and "On
Evaluating Adversarial Robustness" (Carlini et al. 2019). They judge adaptive attacks only: under grey-box,
one step may rightly transfer better than ten.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from model.evaluate.journal import Record
from model.evaluate.plan import LARGE, MAIN, Scope
from model.evaluate.run import spread, vector

SURVIVORS = 0.05
"""Of the pictures, at a strength that nothing survives."""
SILENT = 0.01
"""Share of pictures without any gradient."""
DOUBLING = 0.5
"""Points by which doubled steps may lower the accuracy; one picture is allowed in any case."""


@dataclass(frozen=True)
class Check:
    """What was looked for, and what was seen. ``passed`` is None where it was not measured."""

    name: str
    passed: bool | None
    detail: str

    def to_dict(self) -> dict[str, object]:
        return {"name": self.name, "passed": self.passed, "detail": self.detail}


class Evidence:
    """The records of one system, by attack."""

    def __init__(self, records: list[Record], defence: str, scopes: dict[Scope, Tensor]) -> None:
        self.defence = defence
        self.scopes = scopes
        self.records = [r for r in records if r["defence"] == defence and "dial" not in r]

    def find(self, attack: str, epsilon: float | None, **wanted: object) -> Record | None:
        """The one that comes first."""
        for record in self.records:
            if (record["attack"], record["epsilon"]) == (attack, epsilon) and all(
                record[name] == value for name, value in wanted.items()
            ):
                return record
        return None

    def right(self, record: Record, scope: Scope = "adaptive") -> Tensor:
        """Which pictures of a scope stood, shape (count,), bool; they must be among the record's.

        What is wrong unattacked stands nowhere, so that all records count alike.
        """
        whole = spread(record, self.scopes)
        if clean := self.find("clean", None):
            whole &= spread(clean, self.scopes)
        return whole[self.scopes[scope]]

    def accuracy(self, record: Record, scope: Scope = "adaptive") -> float:
        return self.right(record, scope).float().mean().item()


def checks(
    records: list[Record], defence: str, scopes: dict[Scope, Tensor], epsilons: tuple[float, ...]
) -> list[Check]:
    """All checks of one defended system.

    Args:
        records: of the run.
        defence: the system's name.
        scopes: indices of pictures.
        epsilons: the strengths that were run, in 1/255.
    """
    evidence = Evidence(records, defence, scopes)
    return [
        _many_steps_beat_one(evidence, epsilons),
        _more_steps_change_nothing(evidence),
        _falls_with_strength(evidence, epsilons),
        _nothing_survives(evidence),
        _noise_is_weaker(evidence, epsilons),
        _black_box_is_weaker(evidence),
        _there_is_a_gradient(evidence),
    ]


def _judge(name: str, seen: list[tuple[bool, str]]) -> Check:
    """A check of several comparisons: it fails with the first that does."""
    if not seen:
        return Check(name, None, "not measured")
    wrong = [text for good, text in seen if not good]
    return Check(name, not wrong, "; ".join(wrong or [text for _, text in seen]))


def _adaptive_pgd(evidence: Evidence, epsilon: float) -> Record | None:
    return evidence.find("PGD", epsilon, threat_model="adaptive", cascade=False)


def _many_steps_beat_one(evidence: Evidence, epsilons: tuple[float, ...]) -> Check:
    seen = []
    for epsilon in epsilons:
        one = evidence.find("FGSM", epsilon, threat_model="adaptive", cascade=False)
        many = _adaptive_pgd(evidence, epsilon)
        if one and many:
            first, second = evidence.accuracy(one), evidence.accuracy(many)
            text = f"{epsilon:g}/255: FGSM {first:.1%}, PGD {second:.1%}"
            seen.append((second <= first, text))
    return _judge("iterating beats a single step", seen)


def _more_steps_change_nothing(evidence: Evidence) -> Check:
    """Of the longest two runs: where fewer steps were too few, the worst case has the longest one, too."""
    pgds = [
        r for r in evidence.records
        if (r["attack"], r["epsilon"], r["threat_model"]) == ("PGD", MAIN, "adaptive")
        and r["scope"] in ("adaptive", "costly")
        and not r["cascade"]
    ]  # fmt: skip
    found = {r["steps"]: evidence.right(r) for r in sorted(pgds, key=lambda r: r["steps"])}
    pairs = [(once, found[2 * steps]) for steps, once in found.items() if 2 * steps in found]
    if not pairs:
        return _judge("doubling the steps changes little", [])
    once, twice = pairs[-1]
    allowed = max(1, int(DOUBLING / 100 * len(once)))  # pictures, and one in any case
    text = ", ".join(f"{steps} steps {right.float().mean():.1%}" for steps, right in found.items())
    good = int(once.sum()) - int(twice.sum()) <= allowed
    return _judge("doubling the steps changes little", [(good, text)])


def _falls_with_strength(evidence: Evidence, epsilons: tuple[float, ...]) -> Check:
    """Of one attack, for the worst case has seen more attacks at one strength than at another."""
    pgds = [(epsilon, _adaptive_pgd(evidence, epsilon)) for epsilon in sorted(epsilons)]
    found = [(epsilon, evidence.accuracy(record)) for epsilon, record in pgds if record is not None]
    seen = [
        (after <= before, f"PGD {before:.1%} at {weak:g}/255, {after:.1%} at {strong:g}/255")
        for (weak, before), (strong, after) in itertools.pairwise(found)
    ]
    return _judge("accuracy falls with the strength", seen)


def _nothing_survives(evidence: Evidence) -> Check:
    record = _adaptive_pgd(evidence, LARGE)
    if record is None:
        return _judge("nothing survives a large strength", [])
    left = vector(record["right"]).float().mean().item()
    return _judge("nothing survives a large strength", [(left <= SURVIVORS, f"{left:.1%} at {LARGE:g}/255")])


def _noise_is_weaker(evidence: Evidence, epsilons: tuple[float, ...]) -> Check:
    seen = []
    for epsilon in epsilons:
        noise, attack = evidence.find("noise", epsilon), _adaptive_pgd(evidence, epsilon)
        if noise and attack:
            first, second = evidence.accuracy(noise), evidence.accuracy(attack)
            seen.append((second <= first, f"{epsilon:g}/255: noise {first:.1%}, PGD {second:.1%}"))
    return _judge("random noise is weaker than the attack", seen)


def _black_box_is_weaker(evidence: Evidence) -> Check:
    """Each black-box attack against the worst of those with gradients, on the same pictures."""
    alone = [r for r in evidence.records if r["epsilon"] == MAIN and not r["cascade"]]
    known = [r for r in alone if r["threat_model"] == "adaptive" and r["scope"] != "few"]
    seen = []
    for record in alone:
        if record["threat_model"] != "black-box" or not known:
            continue
        scope: Scope = "few" if record["scope"] == "few" else "adaptive"
        standing = torch.stack([evidence.right(other, scope) for other in known]).all(0)
        first, second = evidence.accuracy(record, scope), standing.float().mean().item()
        seen.append((second <= first, f"{record['attack']} {first:.1%}, with gradients {second:.1%}"))
    return _judge("black-box attacks are weaker", seen)


def _there_is_a_gradient(evidence: Evidence) -> Check:
    record = _adaptive_pgd(evidence, MAIN)
    if record is None or "no_gradient" not in record:
        return _judge("gradients do not vanish", [])
    silent, zeros = record["no_gradient"], record["zero_gradient"]
    text = f"{silent:.1%} of the pictures have none, {zeros:.1%} of all entries are zero"
    return _judge("gradients do not vanish", [(silent <= SILENT, text)])
