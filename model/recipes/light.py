"""Light codecs that purify: trained from nothing by one run, without adversarial pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from model.comdefend import ComDefend
from model.config import CodecConfig
from model.data import DataError, ImageSet, central_crop, load_photographs, random_crops, to_float
from model.recipes.codec import AnyCodecTask
from model.recipes.guides import Guide
from model.recipes.purifying import (
    PurifyingSettings,
    disturbed,
    fidelity_and_agreement,
    kept_planes,
    noisy,
)
from model.recipes.settings import SHARE, WEIGHT, setting
from model.recipes.task import Stage, Step, stage_at


@dataclass(frozen=True)
class LightSettings(PurifyingSettings):
    """Those of all purifying codecs, with what guides see in pictures."""

    weakest: float = setting(0.05, "least standard deviation of the noise on a picture, in [0,1]", SHARE)
    strongest: float = setting(0.15, "greatest of it", SHARE)
    coarse: float = setting(0.0, "greatest standard deviation of coarse noise of each grain beside it", SHARE)
    guide: float = setting(
        50.0, "how strongly guides pull at each picture, in multiples of the squared error's gradient", WEIGHT
    )
    features: float = setting(
        1000.0,
        "weight of the difference of their feature maps beside the divergence of their answers",
        WEIGHT,
    )
    guide_noise: float = setting(
        0.06, "greatest standard deviation of the noise between codec and guides", SHARE
    )
    dropout: float = setting(0.2, "share of pictures that lose planes of their code", SHARE)


class LightTask(AnyCodecTask[LightSettings]):
    """Noisy pictures in, clean pictures out that mean the same, through the light shape.

    More and more of the code's bits are hard: none at the start, all from :attr:`hardened` on.

    Two stages. In the first, small crops and the squared error alone teach the networks to rebuild pictures
    through the code and noise. In the second, guides come in slowly, over larger crops: the reconstruction,
    with a little noise of its own, must be to a frozen classifier what the clean picture is, in the feature
    maps of all its resolutions and in its answers (as HGD's loss, Liao et al. 2018, but without adversarial
    pictures).

    A guide's gradient on a picture is many thousand times that of the squared error, differs as much from
    picture to picture, and points elsewhere in each: left alone, it wrecks the reconstruction. So only its
    direction is taken. On each picture it pulls ``guide`` times as strongly as the squared error does.

    Throughout, some pictures lose their code's planes from a random one on (nested dropout: Rippel, Gelbart
    and Adams, ICML 2014), so that fewer planes make a picture, too. Each step has one of the guides, at
    random.
    """

    score = "agreement"
    max_grad_norm = 1.0
    decay = 0.999
    network: ClassVar[CodecConfig]
    view: ClassVar[int]
    """Side of the central square that is scored, in pixels."""
    padding: ClassVar[int] = 0
    hardened: ClassVar[float] = 0.1
    """From which part of the run on all bits are hard."""
    grown: ClassVar[float] = 0.45
    """From which part of the run on the guides pull with all their weight."""
    settings = LightSettings()

    def __init__(self, data: ImageSet, settings: LightSettings | None = None) -> None:
        self.settings = settings or self.chosen()
        self.model = ComDefend(self.network).train()
        self.guides = [Guide(name) for name in self.settings.guides]

    def floor(self) -> float:
        return 0.3

    def disturbed(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures under white and coarse noise of random strengths, (B,3,H,W) in [0,1]."""
        settings = self.settings
        return disturbed(x, settings.weakest, settings.strongest, settings.coarse, generator)

    def planes(self, count: int, generator: torch.Generator) -> Tensor:
        """How many planes each of ``count`` pictures keeps, at least an eighth, shape (count,), int64."""
        total = self.model.planes
        return kept_planes(count, -(-total // 8), total, self.settings.dropout, generator)

    def some_guide(self, generator: torch.Generator) -> Guide:
        """One of the guides, at random."""
        which = torch.randint(len(self.guides), (), generator=generator, device=generator.device)
        return self.guides[int(which)]

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        stage = stage_at(self.stages, progress)
        size = min(stage.size, images.shape[-1])
        x = to_float(random_crops(images.repeat_interleave(stage.crops, 0), size, generator, self.padding))
        x_hat = self.model.hardening_forward(
            self.disturbed(x, generator),
            min(1.0, progress / self.hardened),
            self.planes(len(x), generator),
            generator,
        )
        error = (x_hat - x).square().mean()
        loss, shown = error, {"psnr_db": -10 * error.detach().log10()}
        alone = self.stages[0].share
        grown = min(1.0, max(0.0, progress - alone) / (self.grown - alone))
        share = self.settings.guide * grown
        if share:
            guide = self.some_guide(generator).to(x.device)
            looked_at = x_hat.detach().requires_grad_()
            guidance = guide.guidance(x, noisy(looked_at, 0.0, self.settings.guide_noise, generator))
            opinion = guidance.divergence + self.settings.features * guidance.features
            (pull,) = torch.autograd.grad(opinion.sum(), looked_at)
            own = (x_hat.detach() - x) * (2 / x.numel())  # the squared error's gradient
            pull = pull * (share * lengths(own) / lengths(pull).clamp_min(1e-12))
            pulled = (pull * x_hat).sum()
            loss = loss + pulled - pulled.detach()  # its gradient counts, its value says nothing
            for name, value in (("guide", guidance.divergence), ("features", guidance.features)):
                shown[name] = value.detach().mean()
        return Step(loss, shown)

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """The scores of the whole code, however many of its planes are kept where nobody says."""
        device = data.images.device
        generator = torch.Generator(device).manual_seed(0)
        batches = data.batches(max(1, 25 * 224**2 // self.view**2))
        return fidelity_and_agreement(
            lambda x: model(x, planes=self.model.planes),
            (central_crop(images, self.view) for images, _ in batches),
            lambda x: self.disturbed(x, generator),
            [guide.to(device).classifier for guide in self.guides],
        )


class SmallTask(LightTask):
    """The light codec of 32x32 pictures: 24 planes at half their size, 6 bits per pixel."""

    name = "light"
    default_out = "comdefend-cifar10-light"
    batch_size = 128
    learning_rate = 1.5e-3
    epochs = 60
    test_images = 2000
    stages = (Stage(0.2, 32), Stage(0.8, 32))
    network = CodecConfig.light(downscale=2, planes=24, width=64, com_blocks=2, rec_blocks=2)
    view = 32
    padding = 2
    settings = LightSettings(weakest=0.1, strongest=0.22, coarse=0.1, guide_noise=0.1, dropout=0.4)


class PhotoTask(LightTask):
    """The codec of photographs: 64 planes at a quarter of their size, of noisy pictures fewer are kept.

    All planes are 4 bits per pixel, 16 are one. What takes a perturbation away is a lack of bits: most
    pictures are trained with fewer than all planes. Where nobody says how many, a picture's own noise does
    (:mod:`model.noise`): a clean photograph keeps all of them, and losing detail is the price of noisy ones
    alone. The noise of the training is of several grains: white noise alone teaches to average over
    neighbours, and what of a perturbation is coarser stays. The guides are not the classifier that
    photographs are shown to by default, so that what the codec keeps is not one network's taste.
    """

    name = "photo"
    default_out = "comdefend-photo"
    batch_size = 32
    learning_rate = 1e-3
    epochs = 150
    watched_images = 24
    stages = (Stage(0.2, 64, crops=4), Stage(0.8, 160))
    network = CodecConfig.light(
        downscale=4,
        planes=64,
        width=96,
        com_blocks=3,
        rec_blocks=3,
        kept=((0, 64), (0.7, 12), (1.4, 10), (3, 8)),
    )
    view = 224
    settings = LightSettings(
        guides=("imagenet-lite1", "imagenet-lite2"), weakest=0.05, strongest=0.2, coarse=0.12, dropout=0.8
    )
    stored = 256
    """Side of the squares that photographs are kept as, in pixels."""
    test_photographs = 200

    @classmethod
    def load(cls, root: Path | None) -> tuple[ImageSet, ImageSet]:
        """Photographs to train on, and 200 evenly spaced ones (a tenth of few) that are only scored."""
        if root is None:
            raise DataError("photographs are wanted: --data FOLDER_OR_ZIP")
        every = load_photographs(root, cls.stored)
        return every.split_off(min(cls.test_photographs, max(1, len(every) // 10)))


def lengths(x: Tensor) -> Tensor:
    """Euclidean length of each picture of a batch, shape (B,1,1,1)."""
    found: Tensor = x.flatten(1).norm(dim=1)  # (B)
    return found.view(-1, 1, 1, 1)
