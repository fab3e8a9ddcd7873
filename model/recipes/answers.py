"""A classifier of photographs that answers to reconstructions what it answers to the pictures."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from model.classifiers import Classifier, load_classifier
from model.comdefend import ComDefend
from model.data import ImageSet, central_crop, random_crops, to_float
from model.device import on_gpu
from model.metrics import Means
from model.recipes.light import PhotoTask
from model.recipes.purifying import disturbed, kept_planes
from model.recipes.settings import SHARE, Settings, setting
from model.recipes.task import Stage, Step, Task
from model.zoo import PHOTO, default_classifier

LEAST = 8
"""The fewest planes that are kept are this part of all."""


@dataclass(frozen=True)
class AnswersSettings(Settings):
    """The classifier that learns, what it sees, and through which noise."""

    start: str = setting(
        default_classifier("photographs"), "the classifier at the beginning, which is its own teacher (name)"
    )
    codec: str = setting(PHOTO, "the codec whose reconstructions it sees (name or folder)")
    untouched: float = setting(0.3, "share of photographs without noise", SHARE)
    strongest: float = setting(
        0.1, "greatest standard deviation of the noise on the others, from none on, in [0,1]", SHARE
    )
    coarse: float = setting(0.1, "greatest standard deviation of coarse noise of each grain beside it", SHARE)
    dropout: float = setting(
        0.5,
        "share of reconstructions from any number of planes, up to what the codec keeps",
        SHARE,
    )


class AnswersTask(Task[AnswersSettings]):
    """A defence at training and test time, without labels and without adversarial pictures.

    The classifier learns from itself: of reconstructions, of clean, of hardly and of very noisy photographs,
    from as many planes of the code as the codec keeps of each or from fewer, it is to say what it said of the
    clean photographs before the training (Kullback-Leibler divergence). The codec is fixed, and so are batch
    norm's statistics.
    """

    name = "answers"
    default_out = "imagenet-on-reconstructions"
    batch_size = 8
    learning_rate = 1e-4
    epochs = 8
    score = "agreement"
    max_grad_norm = 1.0
    decay = 0.999
    stages = (Stage(1.0, 224),)
    settings = AnswersSettings()
    model: Classifier

    def __init__(self, data: ImageSet, settings: AnswersSettings | None = None) -> None:
        self.settings = settings or self.chosen()
        self.teacher, self.model = (load_classifier(self.settings.start) for _ in range(2))
        self.codec = ComDefend.from_pretrained(self.settings.codec).freeze()
        self.teacher.freeze()

    @classmethod
    def load(cls, root: Path | None) -> tuple[ImageSet, ImageSet]:
        return PhotoTask.load(root)

    def floor(self) -> float:
        return 0.3

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.model.parameters(), lr=learning_rate, weight_decay=1e-4, fused=on_gpu(self.model) or None
        )

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        self.model.eval()  # its few photographs would spoil batch norm's statistics
        x = to_float(random_crops(images, min(self.stages[0].size, images.shape[-1]), generator))
        with torch.no_grad():
            wanted = self.teacher.to(x.device)(x).float().softmax(1)
            codec = self.codec.to(x.device)
            seen = self.seen(x, generator)
            x_hat = codec(seen, planes=self.planes(seen, generator)).float()
        answers = self.model(x_hat).float().log_softmax(1)
        divergence = nn.functional.kl_div(answers, wanted, reduction="batchmean")
        return Step(divergence, {"divergence": divergence.detach()})

    def disturbed(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures under white and coarse noise of random strengths, (B,3,H,W) in [0,1]."""
        return disturbed(x, 0.0, self.settings.strongest, self.settings.coarse, generator)

    def seen(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """What a step shows of pictures (B,3,H,W): some as they are, the others disturbed."""
        found = self.disturbed(x, generator)
        untouched = torch.rand(len(x), generator=generator, device=x.device) < self.settings.untouched
        return torch.where(untouched.view(-1, 1, 1, 1), x, found)

    def planes(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """How many planes the reconstruction of each picture (B,3,H,W) is made of, shape (B,), int64."""
        total = self.codec.planes
        fewer = kept_planes(len(x), -(-total // LEAST), total, self.settings.dropout, generator)
        return torch.minimum(fewer, torch.as_tensor(self.codec.kept_of(x), device=x.device))

    def finish(self, data: ImageSet) -> None:
        self.model.half()

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """How often it says of reconstructions what it said of the photographs.

        ``agreement`` is of reconstructions of noisy photographs, ``clean_agreement`` of clean ones.
        """
        device = data.images.device
        generator = torch.Generator(device).manual_seed(0)
        means = Means()
        for images, _ in data.batches(25):
            x = central_crop(images, PhotoTask.view)
            answers = self.teacher.to(device)(x).argmax(1)
            codec = self.codec.to(device)
            means.add(
                agreement=model(codec(self.disturbed(x, generator))).argmax(1) == answers,
                clean_agreement=model(codec(x)).argmax(1) == answers,
            )
        return means.result()
