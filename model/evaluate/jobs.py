"""What there can be to do, as data: a kind of job for each kind of measurement."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

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


@dataclass(frozen=True, kw_only=True)
class CleanJob(Job):
    """Show a system the pictures as they are."""

    system: str
    scope: Scope

    @property
    def key(self) -> str:
        return f"clean {self.system}"


@dataclass(frozen=True, kw_only=True)
class NoiseJob(Job):
    """Show all systems the pictures with random signs of a strength."""

    systems: tuple[str, ...]
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
class GreyBoxJob(AttackJob):
    """Attack a classifier alone, and show all systems that have it what came of it."""

    classifier: str
    systems: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"grey-box {self.classifier}: {self._what}"


@dataclass(frozen=True, kw_only=True)
class TransferJob(Job):
    """Attack another classifier, and show systems that do not have it what came of it."""

    source: str
    systems: tuple[str, ...]
    attack: AttackConfig
    epsilon: float

    @property
    def key(self) -> str:
        return f"transfer {self.epsilon:g}"


@dataclass(frozen=True, kw_only=True)
class DirectJob(AttackJob):
    """Attack a defended system itself.

    What the system gets wrong unattacked is lost already. A cascade attacks only what still stands after all
    that was tried before on the same pictures at the same strength.
    """

    system: str
    cascade: bool = False

    @property
    def key(self) -> str:
        manner = "cascade" if self.cascade else self.scope
        return f"{manner} {self.system}: {self._what}"


@dataclass(frozen=True, kw_only=True)
class PlanesJob(Job):
    """Keep more and more planes of a codec's code, of clean and of grey-box pictures."""

    system: str
    planes: tuple[int, ...]
    """How many are kept, one number after the other."""
    attacks: tuple[AttackConfig, ...]
    epsilon: float
    images: int

    @property
    def key(self) -> str:
        return f"dial {self.system}"
