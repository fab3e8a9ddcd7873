"""The codec trained to take perturbations away, without adversarial pictures."""

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor, nn

from model.checkpoint import WEIGHTS
from model.classifiers import load_classifier
from model.comdefend import ComDefend
from model.config import CodecConfig
from model.data import ImageSet, random_crops, to_float
from model.metrics import psnr, ssim
from model.recipes.task import Stage, Step, Task


class PurifyTask(Task):
    """Noisy pictures in, clean pictures out, few planes where the code is cut short.

    The paper's loss alone keeps whatever is in the picture, a perturbation included. This recipe starts from
    the codec that it gave and adds, each of which can be left out (``--without``):

    - noise on the input, never weak, the clean picture as the target (as in denoised smoothing: Salman et
      al., NeurIPS 2020). With weak noise among the strong the codec learns to tell the two apart, and
      to keep what is as weak as a perturbation;
    - three shapes of noise, one for each picture: white, blurred, and signs as FGSM leaves them;
    - a guide: the reconstruction must mean to a frozen classifier what the clean picture means (the
      Kullback-Leibler divergence of its answers), since a squared error alone blurs what matters;
    - nested dropout (Rippel, Gelbart and Adams, ICML 2014): half of the pictures lose their code's planes
      from a random one on, so that any number of planes makes a picture.

    The code is hard throughout, with a straight-through gradient, and without noise of its own. The paper's
    loss leaves logits far too large for that, so the last layer of ComCNN starts scaled down, which
    changes no bit.
    """

    name = "purify"
    default_out = "comdefend-cifar10-purify"
    batch_size = 32
    learning_rate = 6e-4
    epochs = 4
    score = "agreement"
    max_grad_norm = 1.0
    stages = (Stage(1.0, 32),)
    variants = {  # noqa: RUF012 - a ClassVar of the base class
        "without noise": "clean pictures in",
        "without shapes": "white noise only",
        "without guide": "squared error only",
        "without dropout": "all planes, always",
        "without start": "untrained networks at the start",
    }
    weakest, strongest = 0.1, 0.25
    """Standard deviation of the noise, pictures in [0,1]; drawn for each picture."""
    guide_weight = 0.1
    width = 80.0
    """Of the straight-through gradient, and the logits' median magnitude at the start."""
    padding = 2

    def __init__(self, data: ImageSet, variant: Collection[str] = ()) -> None:
        self.without = {name.removeprefix("without ") for name in variant}
        if "start" in self.without:
            codec = ComDefend(CodecConfig())
        else:
            codec = ComDefend.from_pretrained(WEIGHTS / "comdefend-cifar10")
        codec.config = replace(codec.config, surrogate_width=self.width)
        last = codec.com.get_submodule(f"conv{codec.com.depth - 1}")
        with torch.no_grad():
            typical = codec.logits(to_float(data.every(200).images)).abs().flatten()[: 2**22].median()
            for parameter in last.parameters():
                parameter.mul_(self.width / typical)
        self.model: ComDefend = codec
        self.guide = load_classifier("cifar10").requires_grad_(False)

    def floor(self) -> float:
        return 0.3

    def optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.parameters(), lr=learning_rate, betas=(0.9, 0.99))

    def disturbed(self, x: Tensor, generator: torch.Generator, shapes: bool = True) -> Tensor:
        """Pictures under noise of a random strength and shape, (B,3,H,W) in [0,1]."""
        strength = x.new_empty(len(x), 1, 1, 1).uniform_(self.weakest, self.strongest, generator=generator)
        noise = torch.empty_like(x).normal_(generator=generator)
        if shapes:
            shape = torch.randint(3, (len(x), 1, 1, 1), generator=generator, device=x.device)
            # Nine independent values averaged: a third of the deviation.
            blurred = 3 * nn.functional.avg_pool2d(nn.functional.pad(noise, (1, 1, 1, 1), "reflect"), 3, 1)
            noise = torch.where(shape == 0, noise, torch.where(shape == 1, blurred, noise.sign()))
        return (x + strength * noise).clamp(0, 1)

    def planes(self, count: int, generator: torch.Generator) -> Tensor:
        """How many planes each of ``count`` pictures keeps, shape (count,), int64."""
        total, device = self.model.planes, generator.device
        kept = torch.randint(1, total + 1, (count,), generator=generator, device=device)
        whole = torch.randint(2, (count,), generator=generator, device=device) == 1
        if "dropout" in self.without:
            whole.fill_(True)
        return kept.masked_fill(whole, total)

    def step(self, images: Tensor, labels: Tensor, progress: float, generator: torch.Generator) -> Step:
        x = to_float(random_crops(images, images.shape[-1], generator, self.padding))
        seen = x if "noise" in self.without else self.disturbed(x, generator, "shapes" not in self.without)
        x_hat = self.model(seen, planes=self.planes(len(x), generator)).float()
        error = (x_hat - x).square().mean()
        loss, shown = error, {"psnr_db": -10 * error.detach().log10()}
        if "guide" not in self.without:
            guide = self.guide.to(x.device)
            with torch.no_grad():
                wanted = guide(x).float().softmax(1)
            answer = guide(x_hat).float().log_softmax(1)
            guidance = nn.functional.kl_div(answer, wanted, reduction="batchmean")
            loss = error + self.guide_weight * guidance
            shown["guidance"] = guidance.detach()
        return Step(loss, shown)

    def finish(self, data: ImageSet) -> None:
        self.model.measure_surrogate(to_float(data.every(100).images))

    def evaluate(self, model: nn.Module, data: ImageSet) -> dict[str, float]:
        """Fidelity on clean pictures, and how often the guide's answer survives noise and codec.

        ``agreement`` is the share of noisy pictures whose reconstruction means to the guide what the clean
        picture means; ``clean_agreement`` is that of clean ones.
        """
        guide = self.guide.to(data.images.device).eval()
        generator = torch.Generator(data.images.device).manual_seed(0)
        psnrs, ssims, held, clean_held = [], [], [], []
        for x, _ in data.batches(250):
            answers = guide(x).argmax(1)
            x_hat = model(x)
            psnrs.append(psnr(x, x_hat))
            ssims.append(ssim(x, x_hat))
            clean_held.append(guide(x_hat).argmax(1) == answers)
            held.append(guide(model(self.disturbed(x, generator))).argmax(1) == answers)

        def mean(parts: list[Tensor]) -> float:
            return torch.cat(parts).float().mean().item()

        return {
            "psnr_db": mean(psnrs),
            "ssim": mean(ssims),
            "agreement": mean(held),
            "clean_agreement": mean(clean_held),
        }
