"""The systems that are compared: a defence before a classifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from model import checkpoint, zoo
from model.checkpoint import TENSORS_FILE, file_hash, tensors_hash
from model.classifiers import Classifier, DefendedClassifier, load_classifier
from model.defences import DEFENCES, Codec, Defence, Nothing, load_defence
from model.evaluate.plan import Scope

PAIRS = {f"{pair.codec}@{pair.classifier}": f"none@{pair.twin}" for pair in zoo.pairs()}
"""A codec and a classifier trained against an attacker who knows both, and its twin without a codec."""
PHOTO_DIAL = (32, 16)
"""Planes of a codec of photographs besides all of them: 2 bits per pixel, and 1."""
JPEGS = ("jpeg-90", "jpeg-75", "jpeg-50", "jpeg-30")


@dataclass(frozen=True)
class System:
    """A classifier behind a defence, under the name by which it was asked for."""

    name: str
    defence: Defence
    classifier: Classifier
    classifier_name: str
    retrained: bool
    """Whether the classifier is not the one that the others have."""

    @property
    def module(self) -> DefendedClassifier:
        """What an attacker who knows everything attacks."""
        return DefendedClassifier(self.classifier, self.defence)

    @property
    def undefended(self) -> bool:
        return isinstance(self.defence, Nothing)

    @property
    def costly(self) -> bool:
        """Whether it takes seconds for each picture: a codec of the paper's shape before large ones."""
        heavy = isinstance(self.defence, Codec) and self.defence.codec.config.downscale == 1
        return heavy and self.classifier.config.image_size > zoo.SMALL

    def own(self, scopes: dict[Scope, Tensor]) -> dict[Scope, Tensor]:
        """The scopes as they are for this system."""
        if not self.costly:
            return scopes
        return scopes | {"adaptive": scopes["costly"], "few": scopes["costly"]}

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        return self.defence.about + (f", classifier {self.classifier_name}" if self.retrained else "")

    @property
    def weights(self) -> dict[str, str]:
        """SHA-256 of its weights, by name: of the file, or of the tensors where there is none."""
        found = {self.classifier_name: classifier_hash(self.classifier_name, self.classifier)}
        if self.defence.digest is not None:
            what, _, _ = self.name.partition("@")
            found[what.partition(":")[0]] = self.defence.digest
        return found


def classifier_hash(name: str, classifier: Classifier) -> str:
    """SHA-256 of a classifier's file under ``weights/``, else of its tensors."""
    file = checkpoint.WEIGHTS / name / TENSORS_FILE
    return file_hash(file) if file.is_file() else tensors_hash(classifier)


def default_names(classifier: str, authors: Path | None) -> list[str]:
    """Every defence that is at hand for a classifier: ours, the authors' where given, all others."""
    pictures = _kind(classifier)
    codecs = [
        codec.name
        for codec in zoo.EVERY_CODEC
        if codec.pictures == pictures and not codec.partner and codec.has_folder
    ]
    photographs = pictures == "photographs"
    if photographs:
        codecs = [name for codec in codecs for name in (codec, *(f"{codec}:{p}" for p in PHOTO_DIAL))]
        codecs.append(zoo.FAITHFUL)
    names = ["none", *codecs]
    for entry in zoo.EVERY_CLASSIFIER:
        if entry.compared_with == classifier and entry.has_folder:
            names += _lines_of(entry, zoo.default_codec(pictures))
    others = [name for name in DEFENCES if name not in ("none", *JPEGS)]
    jpegs = [*JPEGS, *(["jpeg-15"] if photographs else [])]
    return [*names, *(["authors"] if authors else []), *jpegs, *others]


def _kind(classifier: str) -> zoo.Pictures:
    size = zoo.find_classifier(classifier).config().image_size
    return zoo.kind_of(size, size)


def _lines_of(entry: zoo.ClassifierEntry, codec: str) -> list[str]:
    """A classifier compared with another: behind its own codec, else without one and with the usual one."""
    if entry.partner:
        return [f"{entry.partner}@{entry.name}"]
    if f"none@{entry.name}" in PAIRS.values():
        return [f"none@{entry.name}"]
    return [f"{defence}@{entry.name}" for defence in ("none", codec)]


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
    classifiers: dict[str, Classifier] = {}
    systems = []
    for name in dict.fromkeys(names):
        what, _, own = name.partition("@")
        before = own or classifier
        if before not in classifiers:
            classifiers[before] = ready(load_classifier(before, device))
        defence = ready(load_defence(what, authors, pictures.cpu()).to(device))
        systems.append(System(name, defence, classifiers[before], before, before != classifier))
    return systems


M = TypeVar("M", bound=nn.Module)


def ready(module: M) -> M:
    """In evaluation mode; an attack needs the picture's gradient only, not the weights'."""
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def transfer_source(classifier: str) -> str | None:
    """Another classifier of the same classes, whose weights are at hand, to craft pictures on."""
    default = zoo.find_classifier(zoo.default_classifier(_kind(classifier)))
    classes = zoo.find_classifier(classifier).config().classes
    for name in (default.name, default.transfers_from):
        if name is None or name == classifier:
            continue
        other = zoo.find_classifier(name)
        if other.has_folder and other.config().classes == classes:
            return name
    return None
