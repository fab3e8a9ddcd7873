"""What every kind of training has: a recipe, stages, and a task with its loss, defaults and score."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from model.config import Config
from model.data import ImageSet, load_split
from model.device import many_graphs
from model.pretrained import Pretrained
from model.recipes.settings import SettingError, Settings


@dataclass(frozen=True)
class Recipe(Config):
    """The numbers that fix a run. They are kept in its checkpoint and in the model card."""

    task: str
    batch_size: int
    micro_batches: int
    """Equal parts of a batch, each with random numbers of its own; batch norm sees one at a time."""
    learning_rate: float
    epochs: float | None
    max_minutes: float | None
    seed: int
    precision: str
    data: str
    settings: dict[str, Any] = field(default_factory=dict)
    """All that the run could choose, as JSON: a run's record outlives the recipe's defaults."""


class Stage(NamedTuple):
    """A part of the run in which every step costs the same."""

    share: float
    """Its share of the run's steps."""
    size: int
    """Side of the training crops, in pixels."""
    crops: int = 1
    """How many are taken of each picture."""


class Step(NamedTuple):
    """One training step's result."""

    loss: Tensor
    """The scalar to be minimised."""
    shown: dict[str, Tensor]
    """Named scalars for the progress bar."""


S = TypeVar("S", bound=Settings)


class Task(ABC, Generic[S]):
    """What :func:`model.train.fit` needs to know of the thing that it trains."""

    name: ClassVar[str]
    default_out: ClassVar[str]
    """The folder under ``weights/``, where :meth:`folders` does not say otherwise."""
    batch_size: ClassVar[int]
    learning_rate: ClassVar[float]
    epochs: ClassVar[int]
    score: ClassVar[str]
    test_images: ClassVar[int] = 100_000
    """At most so many test pictures are scored, where each costs much."""
    watched_images: ClassVar[int] = 1000
    """At most so many of them after each epoch, for the curve."""
    max_grad_norm: ClassVar[float]
    stages: tuple[Stage, ...]
    """The parts of the run: of the class the recipe's own, of a task those of its settings."""
    settings: S
    """What else a run can choose: of the class the recipe's own choice, of a task what its run chose."""
    model: nn.Module
    """What is trained: one of :meth:`parts`, or all of them together."""
    decay: float = 0.0
    """The greatest decay of the weights' moving average (EMA); 0: the last step's weights are the result."""
    held_out: int = 0
    """Training pictures that are not trained on but measured after each epoch: the best epoch's weights are
    the result. 0: the last ones are, and test pictures are measured for the curve alone."""
    before: dict[str, Any] | None = None
    """The record of the run whose weights this one started from."""

    @abstractmethod
    def __init__(self, data: ImageSet, settings: S | None = None) -> None:
        """Make the model that training starts from, for these classes and sizes.

        Args:
            data: the training pictures.
            settings: of :meth:`chosen`; the recipe's own where there are none.
        """

    @classmethod
    def chosen(cls, **given: Any) -> S:
        """The recipe's settings, with those given in the place of its own, see :meth:`Settings.changed`.

        Raises:
            SettingError: there is no such setting, or it cannot have that value.
        """
        known = [each.name for each in fields(cls.settings)]
        if unknown := [name for name in given if name not in known]:
            raise SettingError(
                f"the recipe {cls.name!r} has no setting {unknown[0]!r}; it has: {', '.join(known)}"
            )
        return cls.settings.changed(given)

    @classmethod
    def load(cls, root: Path | None) -> tuple[ImageSet, ImageSet]:
        """Training and test pictures of ``--data``, or the recipe's own where there is none."""
        return load_split(root, "train"), load_split(root, "test")

    @classmethod
    def folders(cls, settings: S) -> tuple[str, ...]:  # noqa: ARG003 - some have a choice
        """The folders under ``weights/`` for what is trained with these settings, one for each part."""
        return (cls.default_out,)

    def parts(self) -> tuple[Pretrained, ...]:
        """The models that are saved, each in a folder of its own."""
        return (cast("Pretrained", self.model),)

    def joined(self, *parts: Pretrained) -> nn.Module:
        """What :meth:`evaluate` takes, of :meth:`parts` that were loaded."""
        (model,) = parts
        return model

    def shape(self) -> list[dict[str, Any]]:
        """The configurations of the parts, for a checkpoint."""
        return [part.config.to_dict() for part in self.parts()]

    def infer(self, x: Tensor) -> Tensor:
        """What the model makes of pictures, (B,3,H,W) in [0,1], by the way that :meth:`compile` fuses."""
        made: Tensor = self.model(x)
        return made

    def compile(self) -> None:
        """Fuse the model's kernels, in place; what is saved stays what it is."""
        many_graphs()
        self.model.compile()

    @abstractmethod
    def floor(self) -> float:
        """The score under which a run got nowhere."""

    @abstractmethod
    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        """A fresh optimiser of the model's parameters."""

    @abstractmethod
    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        """Loss of one batch: ``images`` uint8 (B,3,S,S), ``progress`` of the run in [0,1)."""

    def finish(self, data: ImageSet) -> None:
        """What is left to do with the trained model before it is saved; ``data`` is the training's."""

    @abstractmethod
    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Figures on ``data``, among them ``score``."""


def stage_at(stages: Iterable[Stage], progress: float) -> Stage:
    """The stage that a run is in."""
    end = 0.0
    for stage in stages:
        end += stage.share
        if progress < end - 1e-9:
            return stage
    return stage
