"""Frozen classifiers whose opinion of a reconstruction guides a codec's training."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.classifiers import Classifier, load_classifier
from model.zoo import CLASSIFIERS


class Guidance(NamedTuple):
    """How far a guide's opinion of reconstructions is from that of the clean pictures, each of shape (B,)."""

    divergence: Tensor
    """Kullback-Leibler divergence of its answers, in nats."""
    features: Tensor
    """Squared difference of its feature maps, relative to those of the clean picture, the mean of the
    resolutions that it has."""


class Guide(nn.Module):
    """A frozen classifier that tells what it sees of pictures, and what it says of them.

    What it sees are the last feature maps of each of its resolutions: those that a layer halves, and those
    that it pools before its last layer.

    Args:
        name: of a classifier, or its folder.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        known = load_classifier(name) if name in CLASSIFIERS else Classifier.from_pretrained(name)
        self.classifier = known.freeze()
        self._maps: list[Tensor] | None = None
        """Those of the call that goes on; the classifier may also be called alone."""
        for module in self.classifier.net.modules():
            stride = getattr(module, "stride", 1)
            if "Adaptive" in type(module).__name__ or stride not in (1, (1, 1)):
                module.register_forward_pre_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (features,) = inputs
        if self._maps is None or features.shape[1] == 3:  # nobody asks for them, or it is the picture
            return
        if not any(features is kept for kept in self._maps):  # a shortcut has the same input
            self._maps.append(features)

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Feature maps, each of shape (B,C,h,w), and logits, (B,classes), of pictures (B,3,H,W) in [0,1]."""
        self._maps = []
        logits = self.classifier(x).float()
        maps, self._maps = self._maps, None
        if not maps:
            raise TypeError("this network never makes its maps smaller")
        return [each.float() for each in maps], logits

    def guidance(self, x: Tensor, x_hat: Tensor) -> Guidance:
        """How far its opinion of ``x_hat`` is from that of ``x``, both (B,3,H,W) in [0,1]."""
        with torch.no_grad():
            wanted_maps, wanted = self(x)
        maps, answers = self(x_hat)
        divergence = nn.functional.kl_div(answers.log_softmax(1), wanted.softmax(1), reduction="none").sum(1)
        features = [
            (found - clean).square().mean((1, 2, 3)) / clean.square().mean((1, 2, 3)).clamp_min(1e-6)
            for found, clean in zip(maps, wanted_maps, strict=True)
        ]
        return Guidance(divergence, torch.stack(features).mean(0))
