"""Classifiers of small pictures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from model import pretrained
from model.classifiers import Classifier
from model.comdefend import ComDefend
from model.config import ClassifierConfig
from model.data import ImageSet, cutmix, random_crops, to_float
from model.device import on_gpu
from model.metrics import wilson_interval
from model.recipes.settings import SHARE, Range, SettingError, Settings, setting
from model.recipes.task import Stage, Step, Task, stage_at
from model.zoo import PURIFY


@dataclass(frozen=True)
class Trained:
    """How one of :data:`model.networks.ARCHITECTURES` is trained."""

    folder: str
    """Where its weights lie, under ``weights/``."""
    settings: dict[str, float] = field(default_factory=dict)
    """What it has instead of the task's settings."""


TRAINED = {
    "resnet9": Trained("cifar10"),
    "preact-resnet20": Trained("cifar10-preact"),
    "resnet50": Trained("cifar10-resnet50", {"cutmix": 0.5, "decay": 0.999, "progressive": 0.67}),
}

LARGE = 5_000_000
"""Classifiers of more parameters are kept in half precision: they would weigh too much."""

UNTRAINED = "untrained"
"""What a record says where a classifier was not tuned from weights after all."""

BELOW_ONE = Range(0, 1, without_high=True)
"""What a decay of the weights' moving average (EMA) can be, and a share that leaves something."""


@dataclass(frozen=True)
class ClassifierSettings(Settings):
    """The network, which may say otherwise of the rest, and what it starts from."""

    later = frozenset({"smoothing", "progressive", "start"})

    arch: str = setting("resnet9", "the network", names=TRAINED)
    smoothing: float = setting(0.1, "how much of each label is spread over all classes", SHARE)
    cutmix: float = setting(0.0, "share of the pictures that get a box of another one (resnet50: 0.5)", SHARE)
    decay: float = setting(
        0.0, "decay of the moving average of the weights, at most; 0: none (resnet50: 0.999)", BELOW_ONE
    )
    progressive: float = setting(
        0.0,
        "share of the run on pictures of half their side, and three fifths of the rest on three quarters "
        "(resnet50: 0.67; 0 with a start)",
        BELOW_ONE,
    )
    start: str = setting("", "the classifier at the beginning (name or folder; empty: untrained)")

    def changed(self, given: Mapping[str, Any]) -> Self:
        arch = given.get("arch", self.arch)
        own = TRAINED[arch].settings if arch in TRAINED else {}  # what it cannot be, is said by the field
        if given.get("start", self.start):
            own = {**own, "progressive": 0.0}  # it has learnt from small pictures already
        return super().changed({**own, **given})


def growing(size: int, share: float) -> tuple[Stage, ...]:
    """The stages of a run on pictures that grow: a small one costs a quarter, and teaches nearly as much.

    Progressive resizing, as in fast trainings of ImageNet (DAWNBench, 2018).

    Args:
        size: the pictures' side, in pixels.
        share: of the run, on half of it; 0: all of the run is on whole pictures.
    """
    if not share:
        return (Stage(1.0, size),)
    rest = 1 - share
    return Stage(share, size // 2), Stage(0.6 * rest, 3 * size // 4), Stage(0.4 * rest, size)


def resized(x: Tensor, size: int) -> Tensor:
    """Square pictures, shape (B,3,S,S), made smaller to (B,3,size,size); those of that size as they are."""
    if x.shape[-1] == size:
        return x
    return nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)


def sgd(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, in one kernel where there is a GPU."""
    return torch.optim.SGD(
        model.parameters(),
        lr=learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=weight_decay,
        fused=on_gpu(model) or None,
    )


def config_for(data: ImageSet, arch: str) -> ClassifierConfig:
    """A classifier of such pictures, its normalisation fitted to 10,000 of them."""
    pixels = data.every(10_000).images.double() / 255
    return ClassifierConfig(
        arch=arch,
        classes=data.classes,
        image_size=data.images.shape[-1],
        mean=tuple(round(v, 4) for v in pixels.mean((0, 2, 3)).tolist()),
        std=tuple(round(v, 4) for v in pixels.std((0, 2, 3)).tolist()),
    )


def classifier_to_start_from(name: str, data: ImageSet) -> Classifier:
    """The classifier of that name or folder.

    Raises:
        SettingError: it is one of other classes than the data's.
    """
    classifier = Classifier.from_pretrained(name)
    if classifier.classes != data.classes:
        raise SettingError(f"{name} knows other classes than the data has")
    return classifier


def halve_if_large(classifier: Classifier) -> None:
    """Round the weights of a large network to half precision, in which its file is half as long."""
    if sum(parameter.numel() for parameter in classifier.parameters()) > LARGE:
        classifier.half()


class ClassifierTask(Task[ClassifierSettings]):
    """A ResNet: crops, mirroring, label smoothing, SGD with Nesterov momentum.

    ``resnet50`` has a moving average of the weights (EMA) and CutMix, too: long training of a large network
    gains by both, short training of a small one does not. Most of its run is on smaller pictures
    (:func:`growing`), as large as a device without a GPU can bear.
    """

    name = "classifier"
    batch_size = 128
    learning_rate = 0.1
    epochs = 30
    score = "accuracy"
    max_grad_norm = math.inf
    stages: tuple[Stage, ...] = (Stage(1.0, 32),)
    settings = ClassifierSettings()
    suffix = ""
    """What the name of the weights' folder ends with."""
    padding = 4
    weight_decay = 5e-4
    model: Classifier

    def __init__(self, data: ImageSet, settings: ClassifierSettings | None = None) -> None:
        self.settings = settings or self.chosen()
        self.decay = self.settings.decay
        self.stages = growing(data.images.shape[-1], self.settings.progressive)
        self.model = self.start(data)

    def start(self, data: ImageSet) -> Classifier:
        """The classifier that training starts from; :attr:`before` becomes its record, if it has one.

        Raises:
            SettingError: it is of other classes than the data, or of another architecture than asked for.
        """
        name, arch = self.settings.start, self.settings.arch
        if not name:
            return Classifier(config_for(data, arch))
        classifier = classifier_to_start_from(name, data)
        if classifier.config.arch != arch:
            raise SettingError(f"{name} is a {classifier.config.arch}, and --arch says {arch}")
        self.before = pretrained.read_record(name)
        return classifier

    @classmethod
    def folders(cls, settings: ClassifierSettings) -> tuple[str, ...]:
        return (TRAINED[settings.arch].folder + cls.suffix,)

    def floor(self) -> float:
        return 1.5 / len(self.model.classes)

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return sgd(self.model, learning_rate, self.weight_decay)

    def classifier_input(self, x: Tensor) -> Tensor:
        """What goes into the classifier, shape (B,3,H,W), range [0,1]."""
        return x

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        crops = random_crops(images, images.shape[-1], generator, self.padding)
        others = None
        if self.settings.cutmix:
            crops, others, own = cutmix(crops, labels, self.settings.cutmix, generator)
        x = resized(self.classifier_input(to_float(crops)), stage_at(self.stages, progress).size)
        logits = self.model(x).float()
        losses = self.losses(logits, labels)
        if others is not None:
            losses = own * losses + (1 - own) * self.losses(logits, others)
        loss = losses.mean()
        return Step(loss, {"accuracy": (logits.detach().argmax(1) == labels).float().mean()})

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with smoothed labels, of each picture, shape (B,)."""
        return nn.functional.cross_entropy(
            logits, labels, label_smoothing=self.settings.smoothing, reduction="none"
        )

    def finish(self, data: ImageSet) -> None:
        halve_if_large(self.model)

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Accuracy with its 95 % Wilson interval."""
        correct = sum(
            int((model(self.classifier_input(x)).argmax(1) == labels).sum())
            for x, labels in data.batches(500)
        )
        low, high = wilson_interval(correct, len(data))
        return {"accuracy": correct / len(data), "accuracy_low": low, "accuracy_high": high}


@dataclass(frozen=True)
class ReconstructionsSettings(ClassifierSettings):
    """Those of a classifier, what it starts from, and what it gets to see."""

    start: str = setting(
        "", "the classifier at the beginning (name or folder; empty: what `classifier` trains, if it knows "
        "the data's classes)",
    )  # fmt: skip
    codec: str = setting(PURIFY, "the codec whose reconstructions it sees (name or folder)")

    def changed(self, given: Mapping[str, Any]) -> Self:
        return super().changed({"progressive": 0.0, **given})  # it has learnt from small pictures already


class ReconstructionsTask(ClassifierTask):
    """The classifier, tuned to what the codec makes of its pictures: a defence at training and test time.

    The codec is fixed.
    """

    name = "classifier-on-reconstructions"
    suffix = "-on-reconstructions"
    learning_rate = 0.02
    epochs = 2
    test_images = 2000
    settings: ReconstructionsSettings = ReconstructionsSettings()

    def __init__(self, data: ImageSet, settings: ReconstructionsSettings | None = None) -> None:
        super().__init__(data, settings)
        self.codec = ComDefend.from_pretrained(self.settings.codec).freeze()

    def start(self, data: ImageSet) -> Classifier:
        """The classifier that is tuned: of any architecture where it is named.

        Where it is not, the settings say afterwards which one it was.
        """
        if self.settings.start:
            return classifier_to_start_from(self.settings.start, data)
        (name,) = ClassifierTask.folders(self.settings)
        classifier = Classifier.from_pretrained(name)
        if classifier.classes != data.classes:
            name, classifier = UNTRAINED, super().start(data)
        self.settings = replace(self.settings, start=name)
        return classifier

    def classifier_input(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            reconstruction: Tensor = self.codec.to(x.device)(x)
        return reconstruction.float()
