"""Every model there is, one entry each: this is the one place that knows their names.

A new codec, classifier or denoiser is an entry of :data:`EVERY_CODEC`, :data:`EVERY_CLASSIFIER` or
:data:`EVERY_DENOISER`; page, endpoints, evaluation, cards and tests ask here. ``CODECS``, ``CLASSIFIERS`` and
``DENOISERS`` are those of them that can be had now.
"""

from typing import NamedTuple, TypeVar

from model import imagenet, pretrained
from model.config import CodecConfig
from model.entries import ClassifierEntry, CodecEntry, DenoiserEntry, Entry, Origin, Pictures, kind_of
from model.imagenet import Lite


class UnknownClassifierError(ValueError):
    """No classifier has that name; the message lists the names."""


def _lite(name: str, lite: Lite, default_for: Pictures | None = None) -> ClassifierEntry:
    about = f"EfficientNet-Lite{lite.number}, 1,000 classes, {lite.image_size} × {lite.image_size} pixels"
    return ClassifierEntry(name, about, default_for, origin=Origin(lite.config, lite.tensors))


FAITHFUL, PURIFY, PHOTO = "comdefend-cifar10", "comdefend-cifar10-purify", "comdefend-photo"
"""The codec of the paper's loss, and those that are tuned to take perturbations away."""
LIGHT = "comdefend-cifar10-light"
"""Another of these, of the light shape."""
FAITHFUL_GARMENTS = "comdefend-fashion-mnist"
"""The paper's loss, where pictures are Fashion-MNIST's."""
ROBUST = "comdefend-cifar10-robust"
"""The codec that has a classifier of its own."""

EVERY_CODEC: tuple[CodecEntry, ...] = (
    CodecEntry(FAITHFUL, "the paper's loss"),
    CodecEntry(PURIFY, "trained to purify", default_for="small"),
    CodecEntry(
        PHOTO,
        "light, trained to purify photographs",
        default_for="photographs",
        pictures="photographs",
    ),
    CodecEntry(LIGHT, "light, trained to purify"),
    CodecEntry(FAITHFUL_GARMENTS, "the paper's loss, garments", pictures="garments"),
    CodecEntry(
        "comdefend-fashion-mnist-light",
        "light, trained to purify garments",
        default_for="garments",
        pictures="garments",
    ),
    CodecEntry(
        ROBUST,
        "trained with its classifier, against an attacker who knows both",
        partner="cifar10-robust",
    ),
)
EVERY_CLASSIFIER: tuple[ClassifierEntry, ...] = (
    ClassifierEntry(
        "cifar10",
        "ten classes, 32 × 32 pixels",
        default_for="small",
        transfers_from="cifar10-on-reconstructions",
    ),
    ClassifierEntry("cifar10-preact", "the same classes, a pre-activation ResNet-20"),
    ClassifierEntry(
        "cifar10-on-reconstructions",
        "cifar10, tuned to what the purifying codec makes of pictures",
        partner=PURIFY,
        compared_with="cifar10",
    ),
    ClassifierEntry(
        "cifar10-smoothed",
        "the same classes, trained with much smoothed labels",
        compared_with="cifar10",
    ),
    ClassifierEntry(
        "cifar10-resnet50",
        "the same classes, a ResNet-50, as in the paper",
        compared_with="cifar10",
    ),
    ClassifierEntry(
        "cifar10-resnet50-on-reconstructions",
        "cifar10-resnet50, tuned to what the purifying codec makes of pictures",
        partner=PURIFY,
        compared_with="cifar10-resnet50",
    ),
    ClassifierEntry(
        "cifar10-robust",
        "the same classes, a ResNet-18: codec and classifier trained together",
        partner=ROBUST,
        twin="cifar10-adversarial",
        compared_with="cifar10",
    ),
    ClassifierEntry(
        "cifar10-adversarial",
        "the same classes, a ResNet-18 trained on adversarial pictures, without a codec",
        compared_with="cifar10",
    ),
    ClassifierEntry(
        "fashion-mnist",
        "ten kinds of garments, grey, 28 × 28 pixels",
        default_for="garments",
    ),
    ClassifierEntry(
        "fashion-mnist-on-reconstructions",
        "fashion-mnist, tuned to what its light codec makes of pictures",
        partner="comdefend-fashion-mnist-light",
        compared_with="fashion-mnist",
    ),
    ClassifierEntry(
        "imagenet-on-reconstructions",
        "imagenet, tuned to what comdefend-photo makes of pictures",
        partner=PHOTO,
        once_trained=True,
    ),
    _lite("imagenet", imagenet.LITES[0], default_for="photographs"),
    _lite("imagenet-lite1", imagenet.LITES[1]),
    _lite("imagenet-lite2", imagenet.LITES[2]),
    ClassifierEntry(
        "imagenet-resnet50",
        "ResNet-50, 1,000 classes, 224 × 224 pixels, a download of 98 MB on first use",
        origin=Origin(imagenet.resnet50_config, imagenet.resnet50_tensors),
        is_download=True,
    ),
)
EVERY_DENOISER: tuple[DenoiserEntry, ...] = (
    DenoiserEntry("hgd", "HGD, a U-Net trained on adversarial pictures of cifar10"),
)
"""All models, trained yet or not, in the order of the page; nothing else hangs on that order but the order of
the evaluation's lines."""

E = TypeVar("E", bound=Entry)


def offered(entries: tuple[E, ...]) -> dict[str, E]:
    """By name, in the order of the page, those that can be had: not what still has to be trained."""
    return {entry.name: entry for entry in entries if entry.has_folder or not entry.once_trained}


CODECS = offered(EVERY_CODEC)
"""The codecs that can be had, by name."""
DENOISERS = offered(EVERY_DENOISER)
"""The denoisers that can be had, by name."""
CLASSIFIERS = offered(EVERY_CLASSIFIER)
"""The classifiers that can be had, by name. Someone else's may be added."""


def default_classifier(pictures: Pictures) -> str:
    """The name of the classifier that is meant where none is named."""
    (name,) = (entry.name for entry in EVERY_CLASSIFIER if entry.default_for == pictures)
    return name


def default_codec(pictures: Pictures) -> str:
    """The name of the codec that is meant where none is named."""
    for entry in CODECS.values():
        if entry.fetched is not None:
            return entry.name
    (name,) = (entry.name for entry in EVERY_CODEC if entry.default_for == pictures)
    return name


def faithful_codec(classifier: str) -> str:
    """The name of the codec of the paper's loss that stands before a classifier, be it someone else's."""
    entry = CLASSIFIERS.get(classifier)
    return FAITHFUL_GARMENTS if entry is not None and entry.pictures == "garments" else FAITHFUL


def prefer_codec(name: str) -> None:
    """Offer a codec that is none of ours, and mean it where none is named; ours only if they are there.

    Args:
        name: its id on the Hub ("USER/NAME"), or its folder.

    Raises:
        WeightsError: it cannot be had, or is no codec. Its weights are checked when they are loaded.
    """
    folder = pretrained.folder_of(name)
    pretrained.read_config(folder, CodecConfig)
    ours = {key: entry for key, entry in CODECS.items() if entry.has_folder and key != name}
    CODECS.clear()
    CODECS[name] = CodecEntry(name, "the codec that this lab was started with", fetched=folder)
    CODECS.update(ours)


def find_classifier(name: str) -> ClassifierEntry:
    """The classifier of that name.

    Raises:
        UnknownClassifierError: there is none; the message lists the names.
    """
    if not isinstance(name, str) or name not in CLASSIFIERS:
        raise UnknownClassifierError(f"unknown classifier {name!r}; choose from {', '.join(CLASSIFIERS)}")
    return CLASSIFIERS[name]


def classifier_for(width: int, height: int) -> str:
    """The name of the classifier that suits a picture of that size, in pixels."""
    return default_classifier(kind_of(width, height))


def codec_for(classifier: str) -> str:
    """The name of the codec that is meant before a classifier: its own, else by the size of its pictures."""
    entry = find_classifier(classifier)
    if entry.partner in CODECS:
        return entry.partner
    return default_codec(entry.pictures)


class Pair(NamedTuple):
    """Names of a codec and a classifier that were trained together, and of the yardstick."""

    codec: str
    classifier: str
    twin: str
    """The classifier that was trained likewise, without a codec."""

    @property
    def system(self) -> str:
        """What an evaluation calls it."""
        return f"{self.codec}@{self.classifier}"


def pairs() -> tuple[Pair, ...]:
    """The pairs that have a twin, trained yet or not."""
    return tuple(
        Pair(entry.partner, entry.name, entry.twin)
        for entry in EVERY_CLASSIFIER
        if entry.partner is not None and entry.twin is not None
    )
