"""The systems that are compared: a defence before a classifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from model import pretrained, zoo
from model.classifiers import Classifier, DefendedClassifier, load_classifier
from model.defences import AUTHORS, DEFENCES, Codec, Defence, DefenceName, Nothing, load_defence
from model.device import frozen
from model.entries import ClassifierEntry, Pictures, kind_of
from model.evaluate.record import Scope, Scopes, ThreatModel
from model.files import file_hash, tensors_hash
from model.pretrained import TENSORS_FILE

PAIRS = {pair.system: f"none@{pair.twin}" for pair in zoo.pairs()}
"""A codec and a classifier trained against an attacker who knows both, and its twin without a codec."""
PHOTO_DIAL = (64, 16, 8)
"""Planes of photographs' codecs, besides as many as each picture is meant to keep: 4 bits per pixel, one, and
half one."""
JPEGS = ("jpeg-90", "jpeg-75", "jpeg-50", "jpeg-30")
PHOTO_JPEGS = ("jpeg-20", "jpeg-15", "jpeg-10", "jpeg-75-15")
"""Of photographs, besides: they stand more compression, and their codec looks at how noisy each is."""


class SystemName(NamedTuple):
    """What a system is called: ``DEFENCE``, or ``DEFENCE@CLASSIFIER`` with a classifier of its own."""

    defence: DefenceName
    classifier: str | None
    """None: the one that all others have, too."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parts of a name.

        Raises:
            UnknownDefenceError: the defence's part cannot be read.
        """
        defence, _, classifier = text.partition("@")
        return cls(DefenceName.parse(defence), classifier or None)


def has_own_classifier(name: str) -> bool:
    """Whether a system of that name stands before another classifier than most of a report's."""
    return SystemName.parse(name).classifier is not None


@dataclass(frozen=True)
class System:
    """A classifier behind a defence, under the name by which it was asked for."""

    name: str
    defence: Defence
    classifier: Classifier
    classifier_name: str
    own_classifier: bool
    """Whether the classifier is not the one that the others have."""
    classifier_digest: str
    """Of :func:`load_frozen`."""

    @property
    def module(self) -> DefendedClassifier:
        """What an attacker who knows everything attacks."""
        return DefendedClassifier(self.classifier, self.defence)

    @property
    def undefended(self) -> bool:
        return isinstance(self.defence, Nothing)

    @property
    def is_slow(self) -> bool:
        """Whether it takes a second for each picture: a codec of the paper's shape before large ones."""
        heavy = isinstance(self.defence, Codec) and self.defence.codec.config.downscale == 1
        return heavy and self.pictures == "photographs"

    @property
    def is_slow_to_attack(self) -> bool:
        """Whether a step of an attack on it takes seconds a picture: it is slow, or its gradients are means
        of many draws, of large pictures."""
        return self.is_slow or (self.defence.noisy and self.pictures == "photographs")

    @property
    def pictures(self) -> Pictures:
        """Of which kind its pictures are, by their size."""
        size = self.classifier.config.image_size
        return kind_of(size, size)

    def threat_model(self, wanted: ThreatModel) -> ThreatModel:
        """What an attacker is called who knows the classifier, and the defence, too, or not: where there is
        none, that is all the same."""
        return "white-box" if self.undefended and wanted in ("grey-box", "adaptive") else wanted

    def scope(self, wanted: Scope) -> Scope:
        """The pictures that this system gets where most get those."""
        if wanted == "all":
            return "part" if self.is_slow else "all"
        return "costly" if self.is_slow_to_attack else wanted

    def own_scopes(self, scopes: Scopes) -> Scopes:
        """The scopes as they are for this system: its adaptive attacker may get fewer pictures."""
        return scopes | {"adaptive": scopes[self.scope("adaptive")]}

    @property
    def planes_can_be_dropped(self) -> bool:
        """Whether its code's planes are worth dropping one by one: a codec's of ours, whole, once, and if it
        does not take hours."""
        codec = isinstance(self.defence, Codec) and not self.is_slow and ":" not in self.name
        return codec and not self.own_classifier and self.name != AUTHORS

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        return self.defence.about + (f", classifier {self.classifier_name}" if self.own_classifier else "")

    @property
    def weights(self) -> dict[str, str]:
        """SHA-256 of its weights, by name: of the file, or of the tensors where there is none."""
        found = {self.classifier_name: self.classifier_digest}
        if self.defence.digest is not None:
            found[SystemName.parse(self.name).defence.base] = self.defence.digest
        return found

    @property
    def identity(self) -> dict[str, Any]:
        """What must stay for its records to hold, JSON values: its weights, and of a codec what is set beside
        them and decides figures. Code and packages are not in it."""
        if not isinstance(self.defence, Codec):
            return {"weights": self.weights}
        config = self.defence.codec.config
        return {
            "weights": self.weights,
            "planes": self.defence.planes or config.kept,
            "surrogate_width": config.surrogate_width,
        }


def default_names(classifier: str, authors: Path | None) -> list[str]:
    """The defences of a classifier's report where nobody names any: ours, the authors' if given, all others.

    Denoisers have to be named: they are trained on adversarial pictures of one classifier.
    """
    pictures = zoo.find_classifier(classifier).pictures
    photographs = pictures == "photographs"
    names = ["none"]
    for codec in codecs_for(pictures):
        is_light = photographs and codec != zoo.FAITHFUL
        names += [codec, *(f"{codec}:{planes}" for planes in PHOTO_DIAL if is_light)]
    for entry in zoo.EVERY_CLASSIFIER:
        if entry.compared_with == classifier and entry.has_folder:
            names += _lines_of(entry, zoo.default_codec(pictures))
    others = [name for name in DEFENCES if name not in ("none", *JPEGS)]
    jpegs = [*JPEGS, *(PHOTO_JPEGS if photographs else ())]
    return [*names, *(["authors"] if authors else []), *jpegs, *others]


def codecs_for(pictures: Pictures) -> list[str]:
    """The codecs that stand before any classifier of such pictures; before photographs also the paper's."""
    own = [
        codec.name
        for codec in zoo.EVERY_CODEC
        if codec.pictures == pictures and not codec.partner and codec.has_folder
    ]
    return [*own, zoo.FAITHFUL] if pictures == "photographs" else own


def _lines_of(entry: ClassifierEntry, codec: str) -> list[str]:
    """A classifier compared with another: behind its own codec, else without one and with the usual one."""
    if entry.partner:
        return [f"{entry.partner}@{entry.name}"]
    if f"none@{entry.name}" in PAIRS.values():
        return [f"none@{entry.name}"]
    return [f"{defence}@{entry.name}" for defence in ("none", codec)]


def load_frozen(name: str, device: torch.device) -> tuple[Classifier, str]:
    """A classifier, frozen, and the SHA-256 of its file under ``weights/``, else of its tensors as they
    came."""
    classifier = load_classifier(name, device)
    file = pretrained.built_in_folder(name) / TENSORS_FILE
    digest = file_hash(file) if file.is_file() else tensors_hash(classifier)
    return classifier.freeze(), digest


def load_systems(
    names: list[str], classifier: str, authors: Path | None, pictures: Tensor, device: torch.device
) -> list[System]:
    """The systems of those names.

    Args:
        names: of defences, ``DEFENCE@CLASSIFIER`` for one before a classifier of its own.
        classifier: the one of all others.
        authors: file with the authors' weights, see :func:`model.defences.load_defence`.
        pictures: shape (B,3,H,W) in [0,1], some of those that will be used.
    """
    classifiers: dict[str, tuple[Classifier, str]] = {}
    systems = []
    for name in dict.fromkeys(names):
        parsed = SystemName.parse(name)
        before = parsed.classifier or classifier
        if before not in classifiers:
            classifiers[before] = load_frozen(before, device)
            if classifiers[before][0].classes != zoo.find_classifier(classifier).config().classes:
                raise zoo.UnknownClassifierError(f"{name}: {before} has other classes than {classifier}")
        defence = frozen(load_defence(parsed.defence, authors, pictures.cpu()).to(device))
        own, digest = classifiers[before]
        systems.append(System(name, defence, own, before, before != classifier, digest))
    return systems


def transfer_source(classifier: str) -> str | None:
    """Another classifier of the same classes, whose weights are at hand, to craft pictures on."""
    default = zoo.find_classifier(zoo.default_classifier(zoo.find_classifier(classifier).pictures))
    classes = zoo.find_classifier(classifier).config().classes
    for name in (default.name, default.transfers_from):
        if name is None or name == classifier:
            continue
        other = zoo.find_classifier(name)
        if other.has_folder and other.config().classes == classes:
            return name
    return None
