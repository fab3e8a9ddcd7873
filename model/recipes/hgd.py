"""A denoiser that learns from adversarial pictures what ComDefend is to do without them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from model.attacks.pgd import Descent, pgd
from model.classifiers import load_classifier
from model.config import DenoiserConfig
from model.data import ImageSet, random_crops, to_float
from model.denoiser import Denoiser
from model.device import on_gpu
from model.metrics import Means
from model.recipes.settings import SHARE, Range, SettingError, Settings, setting
from model.recipes.task import Stage, Step, Task
from model.zoo import default_classifier

DESCENTS = (Descent(1), Descent(4))
"""FGSM and a short BIM: a batch has either."""
SCORED = Descent(10)


@dataclass(frozen=True)
class HgdSettings(Settings):
    """Whose adversarial pictures it learns from, and which."""

    against: str = setting(
        default_classifier("small"), "the classifier that is attacked, and whose logits are compared"
    )
    weakest: float = setting(1.0, "least strength of the attacks, in 1/255", Range(0, 64))
    strongest: float = setting(16.0, "greatest of it", Range(0, 64))
    clean: float = setting(0.2, "share of pictures that are not attacked", SHARE)


class HgdTask(Task[HgdSettings]):
    """HGD, the winner of the NIPS 2017 challenge, made small (Liao et al. 2018).

    A U-Net predicts the perturbation of adversarial pictures. What it makes of them is to give a frozen
    classifier the logits that the clean pictures give it: the loss is their mean absolute difference ("LGD").
    The attacks know the classifier and not the denoiser.
    """

    name = "hgd"
    default_out = "hgd"
    batch_size = 64
    learning_rate = 1e-3
    epochs = 6
    score = "attacked_accuracy"
    test_images = 2000
    max_grad_norm = 1.0
    decay = 0.999
    stages = (Stage(1.0, 32),)
    network: ClassVar[DenoiserConfig] = DenoiserConfig()
    settings = HgdSettings()
    padding = 4
    model: Denoiser

    def __init__(self, data: ImageSet, settings: HgdSettings | None = None) -> None:
        self.settings = settings or self.chosen()
        self.model = Denoiser(self.network)
        self.classifier = load_classifier(self.settings.against).freeze()
        if data.classes != self.classifier.classes:
            raise SettingError(
                f"against: {self.settings.against} tells {', '.join(self.classifier.classes)} apart, "
                f"the training pictures are of {', '.join(data.classes)}"
            )

    def floor(self) -> float:
        return 1.5 / len(self.classifier.classes)

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.model.parameters(), lr=learning_rate, weight_decay=1e-4, fused=on_gpu(self.model) or None
        )

    def an_attack(self, generator: torch.Generator) -> tuple[float, Descent]:
        """A strength, in 1/255, and a way of the attacks, at random."""
        share, which = torch.rand(2, generator=generator, device=generator.device).tolist()
        low, high = self.settings.weakest, self.settings.strongest
        return low + (high - low) * share, DESCENTS[int(which * len(DESCENTS))]

    def attacked(self, x: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures (B,3,S,S) with an attack of one strength on most of them, the others as they are."""
        epsilon, descent = self.an_attack(generator)
        found = pgd(self.classifier, x, labels, epsilon, descent, generator, stop_early=False).adversarial
        spared = torch.rand(len(x), generator=generator, device=x.device) < self.settings.clean
        return torch.where(spared[:, None, None, None], x, found)

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        self.classifier.to(images.device)
        x = to_float(random_crops(images, images.shape[-1], generator, self.padding))
        with torch.no_grad():
            wanted = self.classifier(x).float()
        x_hat = self.model(self.attacked(x, labels, generator))
        difference = (self.classifier(x_hat).float() - wanted).abs().mean()
        return Step(difference, {"difference": difference.detach()})

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Accuracy of the classifier behind the denoiser: of clean pictures, and of BIM's at 8/255 on it."""
        classifier = self.classifier.to(data.images.device)
        generator = torch.Generator(data.images.device).manual_seed(0)
        means = Means()
        for x, labels in data.batches(100):
            with torch.enable_grad():
                found = pgd(classifier, x, labels, 8.0, SCORED, generator, stop_early=False).adversarial
            means.add(
                attacked_accuracy=classifier(model(found)).argmax(1) == labels,
                clean_accuracy=classifier(model(x)).argmax(1) == labels,
            )
        return means.result()
