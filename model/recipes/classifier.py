"""Classifiers of small pictures."""

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from model.checkpoint import WEIGHTS
from model.classifiers import Classifier
from model.comdefend import ComDefend
from model.config import ClassifierConfig
from model.data import ImageSet, random_crops, to_float
from model.metrics import wilson_interval
from model.recipes.task import SettingError, Stage, Step, Task

FOLDERS = {"resnet9": "cifar10", "preact-resnet20": "cifar10-preact"}
"""Those of :data:`model.classifiers.ARCHITECTURES` that are trained here, and where their weights lie."""


class ClassifierTask(Task):
    """A small ResNet: crops, mirroring, label smoothing, SGD with Nesterov momentum."""

    name = "classifier"
    batch_size = 128
    learning_rate = 0.1
    epochs = 30
    score = "accuracy"
    max_grad_norm = math.inf
    stages = (Stage(1.0, 32),)
    settings = {"arch": "resnet9"}  # noqa: RUF012 - a ClassVar of the base class
    """``arch``: the network, one of ``FOLDERS``."""
    suffix = ""
    """Of the weights' folder."""
    padding = 4
    label_smoothing = 0.1
    weight_decay = 5e-4
    model: Classifier

    def __init__(self, data: ImageSet, settings: Collection[str] = ()) -> None:
        pixels = data.every(10_000).images.double() / 255
        self.model = Classifier(
            ClassifierConfig(
                arch=self.chosen(settings)["arch"],
                classes=data.classes,
                image_size=data.images.shape[-1],
                mean=tuple(round(v, 4) for v in pixels.mean((0, 2, 3)).tolist()),
                std=tuple(round(v, 4) for v in pixels.std((0, 2, 3)).tolist()),
            )
        )

    @classmethod
    def chosen(cls, settings: Collection[str]) -> dict[str, Any]:
        found = super().chosen(settings)
        if found["arch"] not in FOLDERS:
            raise SettingError(f"arch must be {' or '.join(FOLDERS)}, got {found['arch']!r}")
        return found

    @classmethod
    def folder(cls, settings: Collection[str]) -> str:
        return FOLDERS[cls.chosen(settings)["arch"]] + cls.suffix

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

    def seen(self, x: Tensor) -> Tensor:
        """What the classifier is shown of pictures, shape (B,3,H,W), range [0,1]."""
        return x

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        x = to_float(random_crops(images, images.shape[-1], generator, self.padding))
        logits = self.model(self.seen(x)).float()
        loss = nn.functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return Step(loss, {"accuracy": (logits.detach().argmax(1) == labels).float().mean()})

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Accuracy with its 95 % Wilson interval."""
        correct = sum(int((model(self.seen(x)).argmax(1) == labels).sum()) for x, labels in data.batches(500))
        low, high = wilson_interval(correct, len(data))
        return {"accuracy": correct / len(data), "accuracy_low": low, "accuracy_high": high}


class ReconstructionsTask(ClassifierTask):
    """The classifier, tuned to what the codec makes of its pictures: a defence at training and test time.

    It starts from the trained classifier where that one knows the data's classes. The codec is fixed.
    """

    name = "classifier-on-reconstructions"
    suffix = "-on-reconstructions"
    learning_rate = 0.02
    epochs = 2
    test_images = 2000
    codec_name = "comdefend-cifar10-purify"

    def __init__(self, data: ImageSet, settings: Collection[str] = ()) -> None:
        super().__init__(data, settings)
        trained = Classifier.from_pretrained(WEIGHTS / ClassifierTask.folder(settings))
        if trained.classes == data.classes:
            self.model = trained
        codec = ComDefend.from_pretrained(WEIGHTS / self.codec_name).requires_grad_(False)
        self.codec = codec.to(memory_format=torch.channels_last)

    def seen(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.codec.to(x.device)(x).float()
