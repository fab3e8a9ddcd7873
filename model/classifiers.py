"""Classifiers by name. Each takes RGB in [0,1], normalises inside, and returns logits."""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from model import imagenet
from model.config import ClassifierConfig
from model.files import load_tensors
from model.imagenet import OnProgress
from model.networks import ARCHITECTURES
from model.pretrained import WEIGHTS, Pretrained, once_trained


class UnknownClassifierError(ValueError):
    """No classifier has that name; the message lists the names."""


class Classifier(Pretrained, library_name="comdefend", license="mit"):
    """A network with its normalisation inside.

    ::

        x (B,3,H,W) in [0,1] --(x - mean) / std--> net --> logits (B,classes)
    """

    config_class = ClassifierConfig
    config: ClassifierConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        if config.arch not in ARCHITECTURES:
            raise UnknownClassifierError(
                f"unknown architecture {config.arch!r}; choose from {sorted(ARCHITECTURES)}"
            )
        self.config = config
        self.net = ARCHITECTURES[config.arch](len(config.classes))
        # Not persistent: they are in config.json, and one place is enough.
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1), persistent=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.config.classes

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B,classes), of RGB pictures, shape (B,3,H,W), range [0,1]."""
        return self.net((x - self.mean) / self.std)

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the last layer sees of pictures, shape (B,F), and the logits, shape (B,classes).

        Only networks that are a plain sequence (``nn.Sequential``) can tell.
        """
        *layers, last = cast("nn.Sequential", self.net)
        features = (x - self.mean) / self.std
        for layer in layers:
            features = layer(features)
        return features, last(features)


class DefendedClassifier(nn.Module):
    """A classifier that sees only what the codec lets through.

    ::

        x (B,3,H,W) --codec--> x_hat (B,3,H,W) --classifier--> logits (B,classes)

    Differentiable end to end (the codec passes its gradient straight through), so this is also
    the system that an adaptive attacker attacks.
    """

    def __init__(self, classifier: nn.Module, codec: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.codec = codec
        self.training = classifier.training  # wrapping a trained model leaves it in evaluation mode

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.classifier.classes  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B,classes), of RGB pictures, shape (B,3,H,W), range [0,1]."""
        return self.classifier(self.codec(x))


class Source(NamedTuple):
    """Where a classifier comes from: what it is, at once, and itself, once it is wanted."""

    about: str
    """A few words for the page."""
    config: Callable[[], ClassifierConfig]
    load: Callable[[OnProgress | None], Classifier]


def _ours(name: str, about: str) -> Source:
    """A classifier of this repository, in a folder of that name under ``weights/``."""
    return Source(
        about,
        lambda: cast("ClassifierConfig", Classifier.read_config(WEIGHTS / name)[0]),
        lambda _: Classifier.from_pretrained(WEIGHTS / name),
    )


def theirs(
    about: str,
    config: Callable[[], ClassifierConfig],
    tensors: Callable[[OnProgress | None], dict[str, Tensor]],
) -> Source:
    """A classifier whose weights come from elsewhere.

    Args:
        about: a few words for the page.
        config: its ``ClassifierConfig``, whose ``arch`` is a key of ``ARCHITECTURES``.
        tensors: its weights by name; gets a callback that reports the share of a download that is done.
    """

    def load(on_progress: OnProgress | None) -> Classifier:
        found = tensors(on_progress)
        model = Classifier(config())
        load_tensors(model.net, found, model.config.arch)
        return model.eval()

    return Source(about, config, load)


CLASSIFIERS: dict[str, Source] = {
    "cifar10": _ours("cifar10", "ten classes, 32 × 32 pixels"),
    "cifar10-preact": _ours("cifar10-preact", "the same classes, a pre-activation ResNet-20"),
    "cifar10-on-reconstructions": _ours(
        "cifar10-on-reconstructions", "cifar10, tuned to what the purifying codec makes of pictures"
    ),
    **once_trained(
        {
            name: _ours(name, about)
            for name, about in {
                "cifar10-resnet50": "the same classes, a ResNet-50",
                "cifar10-robust": "the same classes, trained with the robust codec, to stand behind it",
                "cifar10-adversarial": "the same classes, trained on adversarial pictures, without a codec",
                "imagenet-on-reconstructions": "imagenet, tuned to what comdefend-photo makes of pictures",
            }.items()
        }
    ),
    **{
        name: theirs(
            f"EfficientNet-Lite{lite.number}, 1,000 classes, {lite.image_size} × {lite.image_size} pixels",
            lite.config,
            lite.tensors,
        )
        for name, lite in zip(("imagenet", "imagenet-lite1", "imagenet-lite2"), imagenet.LITES, strict=True)
    },
    "imagenet-resnet50": theirs(
        "ResNet-50, 1,000 classes, 224 × 224 pixels, a download of 98 MB on first use",
        imagenet.resnet50_config,
        imagenet.resnet50_tensors,
    ),
}

SMALL = 64
"""Pictures of at most so many pixels a side are CIFAR-10's kind, larger ones photographs."""


def find_classifier(name: str) -> Source:
    """The classifier of that name; an unknown one is an error that lists the names."""
    if not isinstance(name, str) or name not in CLASSIFIERS:
        raise UnknownClassifierError(f"unknown classifier {name!r}; choose from {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[name]


def classifier_for(width: int, height: int) -> str:
    """The name of the classifier that suits a picture of that size, in pixels."""
    return "cifar10" if max(width, height) <= SMALL else "imagenet"


def load_classifier(
    name: str = "cifar10",
    device: str | torch.device = "cpu",
    on_progress: OnProgress | None = None,
) -> Classifier:
    """A trained classifier, ready for inference.

    Args:
        name: a key of ``CLASSIFIERS``.
        device: where to put it.
        on_progress: called with the share done where weights are downloaded.

    Raises:
        UnknownClassifierError: no classifier has that name.
        WeightsError: its weights are missing or damaged, or cannot be downloaded.
    """
    return find_classifier(name).load(on_progress).to(device)
