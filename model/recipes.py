"""What is trained: one task per kind of model, with its loss, its defaults and its score."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from model.checkpoint import Pretrained
from model.classifiers import Classifier
from model.comdefend import ComDefend
from model.config import ClassifierConfig, CodecConfig, Config
from model.data import ImageSet, random_crops, to_float
from model.loss import unified_loss
from model.metrics import psnr, ssim, wilson_interval


@dataclass(frozen=True)
class Recipe(Config):
    """The numbers that fix a run. They are kept in its checkpoint and in the model card."""

    task: str
    batch_size: int
    learning_rate: float
    epochs: float | None
    max_minutes: float | None
    seed: int
    precision: str
    data: str


class Stage(NamedTuple):
    """A part of the run in which every step costs the same."""

    share: float
    """Of the run's steps."""
    size: int
    """Side of the training crops, in pixels."""


class Step(NamedTuple):
    """One training step's result."""

    loss: Tensor
    """The scalar to be minimised."""
    shown: dict[str, Tensor]
    """Named scalars for the progress bar."""


class Task(ABC):
    """What :func:`model.train.fit` needs to know of the thing that it trains."""

    name: ClassVar[str]
    default_out: ClassVar[str]
    batch_size: ClassVar[int]
    learning_rate: ClassVar[float]
    epochs: ClassVar[int]
    score: ClassVar[str]
    max_grad_norm: ClassVar[float]
    stages: ClassVar[tuple[Stage, ...]]
    model: Pretrained

    @abstractmethod
    def __init__(self, data: ImageSet) -> None:
        """Make the model, untrained, for these classes and sizes."""

    @abstractmethod
    def floor(self) -> float:
        """The score under which a run got nowhere."""

    @abstractmethod
    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        """A fresh optimiser of the model's parameters."""

    @abstractmethod
    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        """Loss of one batch: ``images`` uint8 (B,3,S,S), ``progress`` of the run in [0,1)."""

    def finish(self, data: ImageSet) -> None:  # noqa: B027 - most tasks have nothing to do
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


class CodecTask(Task):
    """The paper's recipe: clean pictures, noise on the code, the unified loss.

    Two departures, for speed alone. Most of the run sees 16x16 crops, since the networks are fully
    convolutional. And the code logits start as wide as the noise: with the usual initialisation
    they are about 1 wide, sigma = 20 drowns them, and a large part of the run goes by until they
    have grown (after 100 s on two cores: 25.4 dB with a noise that grows from 1 to 20, 27.4 dB so).

    Only pixels whose noisy logit falls near zero pass a gradient, so its size has a long tail. At
    Adam's usual settings and a rate of 1e-3 such a spike undid a run after 2000 steps (28.3 dB, then
    17.8); hence the short memory of the second moment, and clipping at a typical norm.
    """

    name = "codec"
    default_out = "comdefend-cifar10"
    batch_size = 32
    learning_rate = 6e-4
    epochs = 30
    score = "psnr_db"
    max_grad_norm = 0.1
    stages = (Stage(0.8, 16), Stage(0.2, 32))
    model: ComDefend

    def __init__(self, data: ImageSet) -> None:
        self.model = ComDefend(CodecConfig())
        last = self.model.com.get_submodule(f"conv{self.model.com.depth - 1}")
        with torch.no_grad():
            last.get_parameter("weight").mul_(self.model.config.sigma)

    def floor(self) -> float:
        return 20.0

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.parameters(), lr=learning_rate, betas=(0.9, 0.99))

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        size = min(stage_at(self.stages, progress).size, images.shape[-1])
        x = to_float(random_crops(images, size, generator))
        output = self.model.noisy_forward(x, self.model.config.sigma, generator)
        loss = unified_loss(output, x)
        return Step(loss.total, {"psnr_db": -10 * loss.reconstruction.detach().log10()})

    def finish(self, data: ImageSet) -> None:
        self.model.measure_surrogate(to_float(data.every(100).images))

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Fidelity with hard codes, means of per-picture values."""
        psnrs, ssims = [], []
        for x, _ in data.batches(250):
            x_hat = model(x)
            psnrs.append(psnr(x, x_hat))
            ssims.append(ssim(x, x_hat))
        return {"psnr_db": torch.cat(psnrs).mean().item(), "ssim": torch.cat(ssims).mean().item()}


class ClassifierTask(Task):
    """A small ResNet: crops, mirroring, label smoothing, SGD with Nesterov momentum."""

    name = "classifier"
    default_out = "cifar10"
    batch_size = 128
    learning_rate = 0.1
    epochs = 30
    score = "accuracy"
    max_grad_norm = math.inf
    stages = (Stage(1.0, 32),)
    arch = "resnet9"
    padding = 4
    label_smoothing = 0.1
    weight_decay = 5e-4
    model: Classifier

    def __init__(self, data: ImageSet) -> None:
        pixels = data.every(10_000).images.double() / 255
        self.model = Classifier(
            ClassifierConfig(
                arch=self.arch,
                classes=data.classes,
                image_size=data.images.shape[-1],
                mean=tuple(round(v, 4) for v in pixels.mean((0, 2, 3)).tolist()),
                std=tuple(round(v, 4) for v in pixels.std((0, 2, 3)).tolist()),
            )
        )

    def floor(self) -> float:
        return 1.5 / len(self.model.classes)

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            self.model.parameters(),
            lr=learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=self.weight_decay,
        )

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        x = to_float(random_crops(images, images.shape[-1], generator, self.padding))
        logits = self.model(x).float()
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return Step(loss, {"accuracy": (logits.detach().argmax(1) == labels).float().mean()})

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Accuracy with its 95 % Wilson interval."""
        correct = sum(int((model(x).argmax(1) == labels).sum()) for x, labels in data.batches(500))
        low, high = wilson_interval(correct, len(data))
        return {"accuracy": correct / len(data), "accuracy_low": low, "accuracy_high": high}


TASKS: dict[str, type[Task]] = {CodecTask.name: CodecTask, ClassifierTask.name: ClassifierTask}


def learning_rate_factor(progress: float, warmup: float = 0.03) -> float:
    """Linear warm-up, then half a cosine down to zero; ``progress`` in [0,1)."""
    return min(1.0, progress / warmup) * 0.5 * (1 + math.cos(math.pi * progress))
