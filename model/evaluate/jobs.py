"""What there can be to do, as data: a kind of job for each kind of measurement."""

from abc import ABC, abstractmethod
from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Self

from model.evaluate.presets import AttackConfig
from model.evaluate.record import Scope


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """A piece of work that is done as a whole. Systems and classifiers are named."""

    cost: float
    """About, in passes of one picture through the classifier."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Its name in the journal, of which its seed is made: no other job has it."""

    @abstractmethod
    def without(self, done: Set[str]) -> Self | None:
        """What is left of it, under the same key, where these systems have their records; None: nothing."""


@dataclass(frozen=True, kw_only=True)
class OwnJob(Job):
    """A job for one system alone."""

    system: str

    def without(self, done: Set[str]) -> Self | None:
        return None if self.system in done else self


@dataclass(frozen=True, kw_only=True)
class SharedJob(Job):
    """A job whose pictures several systems are shown."""

    systems: tuple[str, ...]

    def without(self, done: Set[str]) -> Self | None:
        left = tuple(name for name in self.systems if name not in done)
        return replace(self, systems=left) if left else None


@dataclass(frozen=True, kw_only=True)
class CleanJob(OwnJob):
    """Show a system the pictures as they are."""

    scope: Scope

    @property
    def key(self) -> str:
        return f"clean {self.system}"


@dataclass(frozen=True, kw_only=True)
class NoiseJob(SharedJob):
    """Show all systems the pictures with random signs of a strength."""

    epsilon: float

    @property
    def key(self) -> str:
        return f"noise {self.epsilon:g}"


@dataclass(frozen=True, kw_only=True)
class AttackJob(Job):
    """Attack something."""

    attack: AttackConfig
    epsilons: tuple[float, ...]
    """The strength; of an attack that has none, the balls inside which its pictures count."""
    scope: Scope

    @property
    def epsilon(self) -> float:
        """The strength of an attack that has one."""
        (epsilon,) = self.epsilons
        return epsilon

    @property
    def _what(self) -> str:
        return ", ".join([self.attack.key, *(f"{epsilon:g}" for epsilon in self.epsilons)])


@dataclass(frozen=True, kw_only=True)
class GreyBoxJob(AttackJob, SharedJob):
    """Attack a classifier alone, and show all systems that have it what came of it."""

    classifier: str

    @property
    def key(self) -> str:
        pictures = "" if self.scope == "all" else f", {self.scope}"
        return f"grey-box {self.classifier}{pictures}: {self._what}"


@dataclass(frozen=True, kw_only=True)
class TransferJob(SharedJob):
    """Attack another classifier, and show systems that do not have it what came of it."""

    source: str
    attack: AttackConfig
    epsilon: float

    @property
    def key(self) -> str:
        return f"transfer {self.epsilon:g}"


@dataclass(frozen=True, kw_only=True)
class DirectJob(AttackJob, OwnJob):
    """Attack a defended system itself.

    What the system gets wrong unattacked is lost already. A cascade attacks only what still stands after all
    that was tried before on the same pictures at the same strength.
    """

    cascade: bool = False

    @property
    def key(self) -> str:
        manner = "cascade" if self.cascade else self.scope
        return f"{manner} {self.system}: {self._what}"


@dataclass(frozen=True, kw_only=True)
class PlanesJob(OwnJob):
    """Keep more and more planes of a codec's code, of clean and of grey-box pictures."""

    planes: tuple[int, ...]
    """How many are kept, one number after the other."""
    attacks: tuple[AttackConfig, ...]
    epsilon: float
    images: int

    @property
    def key(self) -> str:
        return f"dial {self.system}: {'; '.join(attack.key for attack in self.attacks)}"
