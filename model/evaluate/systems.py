"""The systems that are compared: a defence before a classifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from model.checkpoint import TENSORS_FILE, WEIGHTS, file_hash, tensors_hash
from model.classifiers import (
    CLASSIFIERS,
    SMALL,
    Classifier,
    DefendedClassifier,
    find_classifier,
    load_classifier,
)
from model.comdefend import FAITHFUL, PHOTO, PURIFY, ROBUST, SMALL_LIGHT
from model.defences import DEFENCES, Codec, Defence, Nothing, load_defence
from model.evaluate.plan import Scope

RETRAINED = "cifar10-on-reconstructions"
"""The classifier that was trained on what the codec makes of its pictures."""
ROBUST_PAIR, TWIN = f"{ROBUST}@cifar10-robust", "none@cifar10-adversarial"
"""A codec and a classifier trained against an attacker who knows both, and the same without a codec."""
RESNET50 = "cifar10-resnet50"
"""The paper's classifier."""
PHOTO_DIAL = (32, 16)
"""Planes of the codec of photographs besides all of them: 2 bits per pixel, and 1."""
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
        return heavy and self.classifier.config.image_size > SMALL

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
    file = WEIGHTS / name / TENSORS_FILE
    return file_hash(file) if file.is_file() else tensors_hash(classifier)


def default_names(classifier: str, authors: Path | None) -> list[str]:
    """Every defence that is at hand for a classifier: ours, the authors' where given, all others."""
    photographs = find_classifier(classifier).config().image_size > SMALL
    if photographs:
        dial = [PHOTO, *(f"{PHOTO}:{planes}" for planes in PHOTO_DIAL)]
        names = ["none", *(dial if (WEIGHTS / PHOTO).is_dir() else []), FAITHFUL]
    else:
        names = ["none", FAITHFUL, *(name for name in (PURIFY, SMALL_LIGHT) if (WEIGHTS / name).is_dir())]
    if classifier == "cifar10":
        large = (f"none@{RESNET50}", f"{PURIFY}@{RESNET50}")
        own = (f"{PURIFY}@{RETRAINED}", *large, ROBUST_PAIR, TWIN)
        names += [name for name in own if (WEIGHTS / name.partition("@")[2]).is_dir()]
    others = [name for name in DEFENCES if name not in ("none", *JPEGS)]
    jpegs = [*JPEGS, *(["jpeg-15"] if photographs else [])]
    return [*names, *(["authors"] if authors else []), *jpegs, *others]


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
    for name in ("cifar10", RETRAINED):
        if (
            name != classifier
            and (WEIGHTS / name).is_dir()
            and CLASSIFIERS[classifier].config().classes == (CLASSIFIERS[name].config().classes)
        ):
            return name
    return None
