"""What there is to say of a model, before it is loaded; :mod:`model.zoo` says it of each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from torch import Tensor

from model import pretrained
from model.config import ClassifierConfig
from model.imagenet import OnProgress

Pictures = Literal["small", "garments", "photographs"]
"""CIFAR-10's kind, Fashion-MNIST's, and all larger ones."""
SMALL = 64
"""Pictures of at most so many pixels a side are small, larger ones photographs."""
GARMENT = (28, 28)
"""Pictures of just that size are Fashion-MNIST's."""


def kind_of(width: int, height: int) -> Pictures:
    """Which pictures those of that size are, in pixels."""
    if (width, height) == GARMENT:
        return "garments"
    return "small" if max(width, height) <= SMALL else "photographs"


class Origin(NamedTuple):
    """Where weights come from that are not in a folder of ours."""

    config: Callable[[], ClassifierConfig]
    """Its ``arch`` is a key of :data:`model.networks.ARCHITECTURES`."""
    tensors: Callable[[OnProgress | None], dict[str, Tensor]]
    """By name; gets a callback that reports the share of a download that is done."""


@dataclass(frozen=True)
class Entry:
    """A model, its weights in the folder of its name under ``weights/``."""

    name: str
    about: str
    """What it is, in a few words."""
    default_for: Pictures | None = None
    """For which pictures it is meant where none is named."""
    once_trained: bool = False
    """Whether it is no part of the repository yet: such a one is offered once its folder is there."""

    @property
    def folder(self) -> Path:
        """Where its weights lie, or would."""
        return pretrained.built_in_folder(self.name)

    @property
    def has_folder(self) -> bool:
        """Whether there are weights in a folder of ours."""
        return self.folder.is_dir()


@dataclass(frozen=True)
class CodecEntry(Entry):
    """A ComDefend codec."""

    pictures: Pictures = "small"
    """What it was trained on."""
    partner: str | None = None
    """The classifier that it was trained together with: it stands before no other."""
    fetched: Path | None = None
    """Where it was put that is none of ours, see :func:`model.zoo.prefer_codec`."""

    @property
    def folder(self) -> Path:
        return self.fetched or super().folder


@dataclass(frozen=True)
class ClassifierEntry(Entry):
    """A classifier."""

    partner: str | None = None
    """The codec that it was trained to stand behind."""
    twin: str | None = None
    """The classifier that was trained likewise, without a codec: the yardstick."""
    compared_with: str | None = None
    """In the evaluation of this other classifier, it has lines of its own."""
    transfers_from: str | None = None
    """The classifier on which an attacker crafts pictures who cannot look into this one."""
    origin: Origin | None = None
    """Where its weights come from, if not from its folder."""
    is_download: bool = False
    """Whether they are fetched from another host on first use."""

    def config(self) -> ClassifierConfig:
        """Its classes, its pictures' size and so on, without its weights.

        Raises:
            WeightsError: the folder's ``config.json`` is missing or damaged.
        """
        if self.origin is not None:
            return self.origin.config()
        return pretrained.read_config(self.folder, ClassifierConfig)[0]

    @property
    def pictures(self) -> Pictures:
        """The kind of pictures that it takes, by their size."""
        size = self.config().image_size
        return kind_of(size, size)


@dataclass(frozen=True)
class DenoiserEntry(Entry):
    """A denoiser that was trained on adversarial pictures."""

    against: str = "cifar10"
    """The classifier whose adversarial pictures they were."""
