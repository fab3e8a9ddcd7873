"""Classifiers by name. Each takes RGB in [0,1], normalises inside, and returns logits."""

from pathlib import Path
from typing import Self, cast

import torch
from torch import Tensor, nn

from model.config import ClassifierConfig
from model.files import load_tensors
from model.imagenet import OnProgress
from model.networks import ARCHITECTURES, fold_batch_norms
from model.pretrained import Pretrained
from model.zoo import UnknownClassifierError, default_classifier, find_classifier


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
        self._frozen = False
        self.net = ARCHITECTURES[config.arch](len(config.classes))
        # Not persistent: they are in config.json, and one place is enough.
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1), persistent=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.config.classes

    def freeze(self) -> Self:
        """For answers, and gradients by the picture, alone, and as fast as they get; the classifier itself.

        Its batch norms go into its convolutions, so that answers differ in their last digits and it can be
        neither trained nor saved from now on; the rest as for any model of ours.
        """
        fold_batch_norms(self.eval().net, torch.zeros(1, 3, 64, 64, device=self.mean.device))
        self._frozen = True
        return super().freeze()

    def _save_pretrained(self, save_directory: Path) -> None:
        if self._frozen:
            raise TypeError("a frozen classifier cannot be saved: some of its weights are gone")
        super()._save_pretrained(save_directory)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (B,classes), of RGB pictures, shape (B,3,H,W), range [0,1]."""
        logits: Tensor = self.net((x - self.mean) / self.std)
        return logits

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
        logits: Tensor = self.classifier(self.codec(x))
        return logits


def load_classifier(
    name: str = default_classifier("small"),
    device: str | torch.device = "cpu",
    on_progress: OnProgress | None = None,
) -> Classifier:
    """A trained classifier, ready for inference; :meth:`Classifier.freeze` makes it faster.

    Args:
        name: a key of :data:`model.zoo.CLASSIFIERS`.
        device: where to put it.
        on_progress: called with the share done where weights are downloaded.

    Raises:
        UnknownClassifierError: no classifier has that name.
        WeightsError: its weights are missing or damaged, or cannot be downloaded.
    """
    entry = find_classifier(name)
    if entry.origin is None:
        return Classifier.from_pretrained(entry.folder, map_location=device)
    found = entry.origin.tensors(on_progress)
    model = Classifier(entry.config())
    load_tensors(model.net, found, model.config.arch)
    return model.eval().to(device)
