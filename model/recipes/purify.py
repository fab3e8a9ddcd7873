"""The codec trained to take perturbations away, without adversarial pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model import pretrained
from model.classifiers import Classifier
from model.comdefend import ComDefend
from model.config import CodecConfig
from model.data import ImageSet, random_crops, to_float
from model.recipes.codec import AnyCodecTask, widen
from model.recipes.purifying import PurifyingSettings, fidelity_and_agreement, kept_planes, noisy
from model.recipes.settings import SettingError, setting
from model.recipes.task import Stage, Step
from model.zoo import FAITHFUL


def _blurred(white: Tensor) -> Tensor:
    """The mean of 3x3 pixels of white noise: nine independent values have a third of the deviation."""
    return 3 * nn.functional.avg_pool2d(nn.functional.pad(white, (1, 1, 1, 1), "reflect"), 3, 1)


def _ghosts(x: Tensor, white: Tensor, generator: torch.Generator) -> Tensor:
    """Another picture of the batch, or only its detail, and a little white noise."""
    order = torch.randperm(len(x), generator=generator, device=x.device)
    other = x[order] - x[order].mean((1, 2, 3), keepdim=True)
    coarse = nn.functional.avg_pool2d(nn.functional.pad(other, (2, 2, 2, 2), "reflect"), 5, 1)
    fine = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) < 0.5
    other = torch.where(fine, other - coarse, other)
    deviation = other.std((1, 2, 3), keepdim=True).clamp_min(0.02)
    return other / deviation + 0.3 * white


SHAPES: dict[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]] = {
    "white": lambda x, white, generator: white,
    "blurred": lambda x, white, generator: _blurred(white),
    "signs": lambda x, white, generator: white.sign(),
    "ghosts": _ghosts,
}
"""Noise of unit deviation for pictures (B,3,H,W), from white noise of that shape."""


def mean_of(codecs: list[ComDefend]) -> ComDefend:
    """The first codec, with the mean of all their weights.

    It helps where each codec was trained from the one before: the mean keeps what each of the runs was for
    (Wortsman et al., "Model soups", ICML 2022). Codecs trained from different starts have no useful mean.

    Raises:
        SettingError: the codecs are not of one shape.
    """
    first, *others = codecs
    if any(other.config != first.config for other in others):
        raise SettingError("the codecs to start from must be of one shape, to have a mean")
    with torch.no_grad():
        for name, parameter in first.named_parameters():
            each: list[Tensor] = [codec.get_parameter(name) for codec in codecs]
            parameter.copy_(torch.stack(each).mean(0))
    return first


@dataclass(frozen=True)
class PurifySettings(PurifyingSettings):
    """Those of all purifying codecs, where training starts, and the noise's shapes."""

    start: tuple[str, ...] = setting(
        (FAITHFUL,),
        "the codec at the beginning (name or folder); of several the mean of their weights, and the record "
        "of the last; none: untrained",
    )
    shapes: tuple[str, ...] = setting(("white",), "shapes of the noise", names=SHAPES, wanted=True)


class PurifyTask(AnyCodecTask[PurifySettings]):
    """Noisy pictures in, clean pictures out that mean the same.

    The paper's loss alone keeps whatever is in the picture, a perturbation included. This recipe starts from
    the codec that it gave and adds, each of which is a setting:

    - noise on the input, never weak, the clean picture as the target (as in denoised smoothing: Salman et
      al., NeurIPS 2020). With weak noise among the strong the codec learns to tell the two apart, and
      to keep what is as weak as a perturbation. White noise serves as well as other shapes (blurred, signs
      as FGSM leaves them, ghosts of other pictures), which can be asked for, too;
    - guides: the reconstruction must mean to frozen classifiers what the clean picture means (the
      Kullback-Leibler divergence of their answers), since a squared error alone blurs what matters. In long
      training, with two of different architecture the codec learns less of what only one of them sees;
    - noise between the codec and its guides, which no classifier of clean pictures is used to: what a picture
      means must be in it clearly enough to survive that, and so survives what is left of a perturbation.
      It costs little clean accuracy or none, and brings more than that under attack;
    - nested dropout (Rippel, Gelbart and Adams, ICML 2014): some pictures lose their code's planes from a
      random one on, so that any number of planes makes a picture. It slows all else down, and is best left
      to the last runs.

    The code is hard throughout, with a straight-through gradient, and without noise of its own. The paper's
    loss leaves logits far too large for that, so the last layer of ComCNN starts scaled to the gradient's
    width, which changes no bit.
    """

    name = "purify"
    default_out = "comdefend-cifar10-purify"
    batch_size = 32
    learning_rate = 6e-4
    epochs = 4
    score = "agreement"
    test_images = 2000
    max_grad_norm = 1.0
    stages = (Stage(1.0, 32),)
    settings = PurifySettings()
    width = 80.0
    """The straight-through gradient's, and the logits' median magnitude at the start."""
    padding = 2

    def __init__(self, data: ImageSet, settings: PurifySettings | None = None) -> None:
        self.settings = settings or self.chosen()
        starts = self.settings.start
        if starts:
            self.before = pretrained.read_record(starts[-1])
        codecs = [ComDefend.from_pretrained(name) for name in starts] or [ComDefend(CodecConfig())]
        x = to_float(data.every(200).images)
        for each in codecs:
            widen(each, x, self.width)
        codec = mean_of(codecs)
        self.model = codec.train()
        guides = (Classifier.from_pretrained(name) for name in self.settings.guides)
        self.guides = nn.ModuleList(guides).requires_grad_(False)

    def floor(self) -> float:
        return 0.3

    def disturbed(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures under noise of a random strength and shape, (B,3,H,W) in [0,1]."""
        low, high, shapes = self.settings.weakest, self.settings.strongest, self.settings.shapes
        strength = x.new_empty(len(x), 1, 1, 1).uniform_(low, high, generator=generator)
        which = torch.randint(len(shapes), (len(x), 1, 1, 1), generator=generator, device=x.device)
        white = torch.empty_like(x).normal_(generator=generator)
        noise = torch.zeros_like(x)
        for index, shape in enumerate(shapes):
            noise = torch.where(which == index, SHAPES[shape](x, white, generator), noise)
        return (x + strength * noise).clamp(0, 1)

    def planes(self, count: int, generator: torch.Generator) -> Tensor:
        """How many planes each of ``count`` pictures keeps, shape (count,), int64."""
        return kept_planes(count, 1, self.model.planes, self.settings.dropout, generator)

    def guidance(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """How far the guides' answers to ``x_hat`` are from those to ``x``, both (B,3,H,W); mean, in nats."""
        divergences = []
        for guide in self.guides.to(x.device):
            with torch.no_grad():
                wanted = guide(x).float().softmax(1)
            answer = guide(x_hat).float().log_softmax(1)
            divergences.append(nn.functional.kl_div(answer, wanted, reduction="batchmean"))
        return torch.stack(divergences).mean()

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        x = to_float(random_crops(images, images.shape[-1], generator, self.padding))
        x_hat = self.model(self.disturbed(x, generator), planes=self.planes(len(x), generator)).float()
        error = (x_hat - x).square().mean()
        loss, shown = error, {"psnr_db": -10 * error.detach().log10()}
        if self.settings.guide:
            guidance = self.guidance(x, noisy(x_hat, 0.0, self.settings.guide_noise, generator))
            loss = error + self.settings.guide * guidance
            shown["guidance"] = guidance.detach()
        return Step(loss, shown)

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        guides = self.guides.to(data.images.device).eval()
        generator = torch.Generator(data.images.device).manual_seed(0)
        pictures = (x for x, _ in data.batches(250))
        return fidelity_and_agreement(model, pictures, lambda x: self.disturbed(x, generator), list(guides))
