"""The codec trained to take perturbations away, without adversarial pictures."""

import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from model import checkpoint
from model.classifiers import Classifier
from model.comdefend import ComDefend
from model.config import CodecConfig, words
from model.data import ImageSet, random_crops, to_float
from model.metrics import Means, psnr, ssim
from model.recipes.codec import CodecTask, widen
from model.recipes.task import SettingError, Stage, Step
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

    Of use where each came of the one before: the mean keeps what each of the last runs was for (Wortsman et
    al., "Model soups", ICML 2022). Codecs trained from different starts have no mean worth having.

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


class PurifyTask(CodecTask):
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
    settings = {  # noqa: RUF012 - a ClassVar of the base class
        "start": FAITHFUL,
        "weakest": 0.1,
        "strongest": 0.2,
        "shapes": "white",
        "guides": "cifar10,cifar10-preact",
        "guide": 0.2,
        "guide_noise": 0.1,
        "dropout": 0.0,
    }
    """``start``: the codec at the beginning (name or folder; several, with commas: the mean of their weights,
    and the record of the last is kept; empty: untrained). ``weakest``, ``strongest``: standard deviation of
    the noise, drawn for each picture, pictures in [0,1]. ``shapes``: of the noise.
    ``guides``: the classifiers (names or folders). ``guide``: weight of the mean of their divergences.
    ``guide_noise``: greatest standard deviation of the noise between codec and guides. ``dropout``: share of
    pictures that lose planes."""
    width = 80.0
    """Of the straight-through gradient, and the logits' median magnitude at the start."""
    padding = 2

    def __init__(self, data: ImageSet, settings: Collection[str] = ()) -> None:
        self.chosen_settings = self.chosen(settings)
        self.shapes = words(self.chosen_settings["shapes"])
        unknown = [shape for shape in self.shapes if shape not in SHAPES]
        if unknown or not self.shapes:
            raise SettingError(f"noise has shapes of {', '.join(SHAPES)}, not {', '.join(unknown) or 'none'}")
        low, high, share, guide_noise = (
            self.chosen_settings[name] for name in ("weakest", "strongest", "dropout", "guide_noise")
        )
        if not (
            0 <= low <= high <= 1
            and 0 <= share <= 1
            and 0 <= guide_noise <= 1
            and 0 <= self.chosen_settings["guide"] < math.inf
        ):
            raise SettingError(
                "0 <= weakest <= strongest <= 1, a dropout and a guide_noise from 0 to 1 and a guide >= 0 "
                "are wanted"
            )
        starts = words(self.chosen_settings["start"])
        if starts:
            self.before = checkpoint.read_record(starts[-1])
        codecs = [ComDefend.from_pretrained(name) for name in starts] or [ComDefend(CodecConfig())]
        x = to_float(data.every(200).images)
        for each in codecs:
            widen(each, x, self.width)
        codec = mean_of(codecs)
        self.model = codec.train()
        names = words(self.chosen_settings["guides"])
        if not names:
            raise SettingError("guides must name at least one classifier")
        self.guides = nn.ModuleList(Classifier.from_pretrained(name) for name in names).requires_grad_(False)

    def floor(self) -> float:
        return 0.3

    def disturbed(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures under noise of a random strength and shape, (B,3,H,W) in [0,1]."""
        low, high = self.chosen_settings["weakest"], self.chosen_settings["strongest"]
        strength = x.new_empty(len(x), 1, 1, 1).uniform_(low, high, generator=generator)
        which = torch.randint(len(self.shapes), (len(x), 1, 1, 1), generator=generator, device=x.device)
        white = torch.empty_like(x).normal_(generator=generator)
        noise = torch.zeros_like(x)
        for index, shape in enumerate(self.shapes):
            noise = torch.where(which == index, SHAPES[shape](x, white, generator), noise)
        return (x + strength * noise).clamp(0, 1)

    def planes(self, count: int, generator: torch.Generator) -> Tensor:
        """How many planes each of ``count`` pictures keeps, shape (count,), int64."""
        total, device = self.model.planes, generator.device
        kept = torch.randint(1, total + 1, (count,), generator=generator, device=device)
        cut_short = torch.rand(count, generator=generator, device=device) < self.chosen_settings["dropout"]
        return kept.masked_fill(~cut_short, total)

    def seen(self, x_hat: Tensor, generator: torch.Generator) -> Tensor:
        """Reconstructions as the guide sees them, under noise of random strength, (B,3,H,W)."""
        if not self.chosen_settings["guide_noise"]:
            return x_hat
        strength = x_hat.new_empty(len(x_hat), 1, 1, 1)
        strength.uniform_(0, self.chosen_settings["guide_noise"], generator=generator)
        return x_hat + strength * torch.empty_like(x_hat).normal_(generator=generator)

    def guidance(self, x: Tensor, seen: Tensor) -> Tensor:
        """How far the guides' answers to ``seen`` are from those to ``x``, both (B,3,H,W); mean, in nats."""
        divergences = []
        for guide in self.guides.to(x.device):
            with torch.no_grad():
                wanted = guide(x).float().softmax(1)
            answer = guide(seen).float().log_softmax(1)
            divergences.append(nn.functional.kl_div(answer, wanted, reduction="batchmean"))
        return torch.stack(divergences).mean()

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        x = to_float(random_crops(images, images.shape[-1], generator, self.padding))
        x_hat = self.model(self.disturbed(x, generator), planes=self.planes(len(x), generator)).float()
        error = (x_hat - x).square().mean()
        loss, shown = error, {"psnr_db": -10 * error.detach().log10()}
        if self.chosen_settings["guide"]:
            guidance = self.guidance(x, self.seen(x_hat, generator))
            loss = error + self.chosen_settings["guide"] * guidance
            shown["guidance"] = guidance.detach()
        return Step(loss, shown)

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Fidelity on clean pictures, and how often the guides' answers survive noise and codec.

        ``agreement`` is the share of noisy pictures whose reconstruction means to a guide what the clean
        picture means, the mean of the guides; ``clean_agreement`` is that of clean ones.
        """
        guides = self.guides.to(data.images.device).eval()
        generator = torch.Generator(data.images.device).manual_seed(0)
        means = Means()
        for x, _ in data.batches(250):
            x_hat, purified = model(x), model(self.disturbed(x, generator))
            means.add(psnr_db=psnr(x, x_hat), ssim=ssim(x, x_hat))
            for guide in guides:
                answers = guide(x).argmax(1)
                means.add(
                    agreement=guide(purified).argmax(1) == answers,
                    clean_agreement=guide(x_hat).argmax(1) == answers,
                )
        return means.result()
