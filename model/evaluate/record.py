"""What is kept of each thing that was measured: a kind of record each, and what they come to together."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

Scope = Literal["all", "adaptive", "few", "part", "costly"]
"""Which pictures: all of them, those that the adaptive attacker gets, or a few of these. A slow system gets a
part in the place of all; one that is slow to attack other few, the costly, in that of the adaptive."""
Scopes = dict[Scope, Tensor]
"""Indices of each scope's pictures among all of them, shape (count,), int64."""

ThreatModel = Literal["no attacker", "white-box", "grey-box", "adaptive", "black-box"]
"""What the attacker knows. ``white-box``: the classifier, and there is no defence. ``grey-box``: the
classifier, not the defence. ``adaptive``: both. ``black-box``: neither, but what the system answers, or
another classifier. (The page offers two of these, :data:`model.attacks.ThreatModel`.)"""
CLASSIFIER_ALONE: tuple[ThreatModel, ...] = ("grey-box", "white-box")
"""Threat models of pictures that are made against the classifier alone."""
WHOLE_SYSTEM: tuple[ThreatModel, ...] = ("adaptive", "white-box")
"""Threat models of an attacker who knows all that there is to know."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """How a system did on some pictures."""

    kind: ClassVar[str]
    """How the journal calls it."""

    system: str
    """Its name."""
    threat_model: ThreatModel
    attack: str
    """By its name in ``ATTACKS``; also "clean", "noise" and "transfer"."""
    epsilon: float | None
    """In 1/255."""
    right: str
    """A character for each picture: "1" where it was classified rightly, else "0"."""
    seconds: float = 0.0
    """What the job took that made this record, perhaps with others."""

    @property
    def correct(self) -> Tensor:
        """Which of its pictures were classified rightly, shape (count,), bool."""
        return from_bits(self.right)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class ScopeRecord(Record):
    """What a whole system got right of the pictures of a scope."""

    scope: Scope
    steps: int | None = None
    """As the catalogue of attacks counts them: None also for FGSM."""

    def spread(self, scopes: Scopes) -> Tensor:
        """Which of all pictures were classified rightly, shape (N,), bool; those of no record were not."""
        everywhere = torch.zeros(len(scopes["all"]), dtype=torch.bool)
        everywhere[scopes[self.scope]] = self.correct
        return everywhere


@dataclass(frozen=True, kw_only=True)
class CleanRecord(ScopeRecord):
    """Pictures as they are."""

    kind = "clean"
    threat_model: ThreatModel = "no attacker"
    attack: str = "clean"
    epsilon: float | None = None


@dataclass(frozen=True, kw_only=True)
class NoiseRecord(ScopeRecord):
    """Pictures with random signs of a strength."""

    kind = "noise"
    threat_model: ThreatModel = "no attacker"
    attack: str = "noise"
    bits_flipped: float | None = None
    """Share of the code's bits that changed; None for what is no codec."""


@dataclass(frozen=True, kw_only=True)
class AttackRecord(ScopeRecord):
    """Pictures that an attacker made."""

    kind = "attack"
    gradient: str | None = None
    """The stand-in that the gradient went through, if there was a gradient of ours."""
    loss: str | None = None
    restarts: int = 1
    cascade: bool = False
    """Whether only what still stood after all attacks before was attacked."""
    bits_flipped: float | None = None
    """Share of the code's bits that changed; None for what is no codec."""
    no_gradient: float | None = None
    """Share of the pictures whose first gradient was zero everywhere; None where nobody looked."""
    zero_gradient: float | None = None
    """Share of the first gradients' entries that were zero."""


@dataclass(frozen=True)
class Distances:
    """How far an attack without a strength had to go."""

    success: float
    """Share of the pictures that were right before and fell, at any distance."""
    median_l2: float | None
    """The median over the pictures that fell; None where none did."""
    median_linf_255: float | None
    """In 1/255."""


@dataclass(frozen=True, kw_only=True)
class UnboundedRecord(AttackRecord):
    """An attack without a strength. ``epsilon`` is the ball inside which what it did counts."""

    kind = "unbounded"
    before_rounding: Distances
    rounded: Distances
    """To 8 bits."""

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        distances = {name: Distances(**values[name]) for name in ("before_rounding", "rounded")}
        return cls(**values | distances)


@dataclass(frozen=True, kw_only=True)
class PlanesRecord(Record):
    """A codec with only the first planes of its code."""

    kind = "planes"
    planes: int


KINDS: dict[str, type[Record]] = {
    kind.kind: kind for kind in (CleanRecord, NoiseRecord, AttackRecord, UnboundedRecord, PlanesRecord)
}


def from_json(values: dict[str, Any]) -> Record:
    """The record that :meth:`Record.to_json` made these values of.

    Raises:
        KeyError, TypeError: they are of no record.
    """
    fields = dict(values)
    return KINDS[fields.pop("kind")].from_json(fields)


def to_bits(correct: Tensor) -> str:
    """What a record keeps of which pictures were right, shape (count,), bool."""
    return "".join("1" if right else "0" for right in correct.tolist())


def from_bits(right: str) -> Tensor:
    """What :func:`to_bits` was given."""
    return torch.tensor([character == "1" for character in right], dtype=torch.bool)


def worst_case(records: Iterable[Record], system: str, epsilon: float, scopes: Scopes) -> Tensor:
    """Which pictures survive every attack on a system, each picture by its own worst one.

    Any attack counts that stays within this strength, a weaker one, too, whoever made it: an attacker who
    knows the defence can do all that one who does not can do. Random noise is no attack.

    Returns:
        Shape (N,), bool. Outside the adaptive attacker's pictures it says less, for fewer attacks were tried.
    """
    standing = torch.ones(len(scopes["all"]), dtype=torch.bool)
    for record in records:
        if record.system != system:
            continue
        if isinstance(record, CleanRecord) or (
            isinstance(record, AttackRecord) and record.epsilon is not None and record.epsilon <= epsilon
        ):
            standing[scopes[record.scope]] &= record.correct
    return standing
