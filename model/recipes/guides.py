"""Frozen classifiers whose opinion of a reconstruction guides a codec's training."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.classifiers import CLASSIFIERS, Classifier, load_classifier


class Guidance(NamedTuple):
    """How far a guide's opinion of reconstructions is from that of the clean pictures, scalars."""

    divergence: Tensor
    """Kullback-Leibler divergence of its answers, in nats, the mean over the pictures."""
    features: Tensor
    """Squared difference of the maps that it pools before its last layer, relative to those of the clean."""


class Guide(nn.Module):
    """A frozen classifier that tells what it sees of pictures, and what it says of them.

    Args:
        name: of a classifier, or its folder.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        known = load_classifier(name) if name in CLASSIFIERS else Classifier.from_pretrained(name)
        self.classifier = known.requires_grad_(False).eval().to(memory_format=torch.channels_last)
        pool = next(m for m in self.classifier.net.modules() if "Adaptive" in type(m).__name__)
        pool.register_forward_pre_hook(self._keep)
        self._maps: Tensor | None = None

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (self._maps,) = inputs

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps, shape (B,C,h,w), and logits, (B,classes), of pictures (B,3,H,W) in [0,1]."""
        logits = self.classifier(x).float()
        maps, self._maps = self._maps, None
        if maps is None:
            raise TypeError("this network pools nothing")
        return maps.float(), logits

    def guidance(self, x: Tensor, seen: Tensor) -> Guidance:
        """How far its opinion of ``seen`` is from that of ``x``, both (B,3,H,W) in [0,1]."""
        with torch.no_grad():
            wanted_maps, wanted = self(x)
        maps, answers = self(seen)
        divergence = nn.functional.kl_div(answers.log_softmax(1), wanted.softmax(1), reduction="batchmean")
        features = (maps - wanted_maps).square().mean() / wanted_maps.square().mean().clamp_min(1e-6)
        return Guidance(divergence, features)
