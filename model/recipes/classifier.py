"""Classifiers of small pictures."""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from model.classifiers import Classifier
from model.config import ClassifierConfig
from model.data import ImageSet, random_crops, to_float
from model.metrics import wilson_interval
from model.recipes.task import Stage, Step, Task


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

    def __init__(self, data: ImageSet, variant: Collection[str] = ()) -> None:
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
