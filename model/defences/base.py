"""What every defence has, and the one that is none."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from model import files


class UnknownDefenceError(ValueError):
    """No defence has that name; the message lists the names."""


class Defence(nn.Module, ABC):
    """Pictures in, cleaner pictures out: (B,3,H,W) in [0,1] to the same.

    A defence is differentiable end to end, by a stand-in where it has to be. One that knows several
    stand-ins lists them in ``gradients``, best first, and ``gradient`` chooses among them.
    """

    gradients: tuple[str, ...] = ("exact",)
    noisy: bool = False
    """Whether it draws random numbers, so that an attacker has to average over them."""
    learned: ClassVar[bool] = False
    """Whether a network is inside, which makes a gradient expensive."""

    file: Path | None = None
    """Where its weights came from, where it has any."""

    def __init__(self) -> None:
        super().__init__()
        self.gradient = self.gradients[0]

    @property
    @abstractmethod
    def about(self) -> str:
        """What it does, in a few words."""

    @property
    def digest(self) -> str | None:
        """SHA-256 of the file that its weights came from, where it has any."""
        return None if self.file is None else files.file_hash(self.file)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The pictures that the classifier gets to see."""


class Nothing(Defence):
    """The undefended classifier, the yardstick."""

    about = "no defence"

    def forward(self, x: Tensor) -> Tensor:
        return x
