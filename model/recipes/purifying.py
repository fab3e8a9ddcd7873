"""What codecs that take perturbations away have in common: settings, noise, planes that go, and the score."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.metrics import Means, psnr, ssim
from model.recipes.settings import SHARE, WEIGHT, SettingError, Settings, setting

GRAINS = (2, 4, 8)
"""Sides of coarse noise's squares, in pixels."""


@dataclass(frozen=True)
class PurifyingSettings(Settings):
    """Noise on the pictures, classifiers that guide, and planes that are dropped."""

    weakest: float = setting(0.1, "least standard deviation of the noise on a picture, in [0,1]", SHARE)
    strongest: float = setting(0.2, "greatest of it", SHARE)
    guides: tuple[str, ...] = setting(
        ("cifar10", "cifar10-preact"), "the classifiers that guide (names or folders)", wanted=True
    )
    guide: float = setting(0.2, "weight of the mean of their divergences", WEIGHT)
    guide_noise: float = setting(
        0.1, "greatest standard deviation of the noise between codec and guides", SHARE
    )
    dropout: float = setting(0.0, "share of pictures that lose planes of their code", SHARE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weakest > self.strongest:
            raise SettingError(
                f"weakest must be at most strongest, got {self.weakest:g} > {self.strongest:g}"
            )


def noisy(x: Tensor, weakest: float, strongest: float, generator: torch.Generator) -> Tensor:
    """Pictures (B,3,H,W) with white noise, its standard deviation drawn for each from a range."""
    if not strongest:
        return x
    strength = x.new_empty(len(x), 1, 1, 1).uniform_(weakest, strongest, generator=generator)
    return x + strength * torch.empty_like(x).normal_(generator=generator)


def disturbed(
    x: Tensor, weakest: float, strongest: float, coarse: float, generator: torch.Generator
) -> Tensor:
    """Pictures (B,3,H,W) in [0,1] under white noise, and coarse: such noise enlarged to ``GRAINS``.

    Standard deviations are drawn for each picture: white noise's from a range, those of each grain from 0 to
    ``coarse``. What a codec leaves of a perturbation is coarse, for noise of neighbouring pixels averages out
    in it.
    """
    found = noisy(x, weakest, strongest, generator)
    height, width = x.shape[-2:]
    for grain in GRAINS if coarse else ():
        small = x.new_empty(len(x), 3, -(-height // grain), -(-width // grain)).normal_(generator=generator)
        noise = functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)
        strength = x.new_empty(len(x), 1, 1, 1).uniform_(0.0, coarse, generator=generator)
        found = found + strength * noise / noise.std().clamp_min(1e-3)
    return found.clamp(0, 1)


def kept_planes(count: int, least: int, total: int, dropout: float, generator: torch.Generator) -> Tensor:
    """How many planes each of ``count`` pictures keeps, shape (count,), int64.

    A share ``dropout`` of them keeps any number from ``least`` to ``total``, the others all (nested dropout:
    Rippel, Gelbart and Adams, ICML 2014).
    """
    device = generator.device
    kept = torch.randint(least, total + 1, (count,), generator=generator, device=device)
    cut_short = torch.rand(count, generator=generator, device=device) < dropout
    return kept.masked_fill(~cut_short, total)


def fidelity_and_agreement(
    codec: Callable[[Tensor], Tensor],
    pictures: Iterable[Tensor],
    disturb: Callable[[Tensor], Tensor],
    guides: Sequence[nn.Module],
) -> dict[str, float]:
    """Fidelity on clean pictures, and how often the guides' answers survive noise and codec.

    Args:
        codec: reconstructs pictures, shape (B,3,H,W), range [0,1].
        pictures: batches of shape (B,3,H,W), range [0,1].
        disturb: puts pictures under noise.
        guides: classifiers, on the pictures' device.

    Returns:
        ``psnr_db`` and ``ssim`` of reconstructions of clean pictures; ``agreement``, the share of noisy
        pictures whose reconstruction means to a guide what the clean picture means, the mean of the guides;
        ``clean_agreement``, that of clean ones.
    """
    means = Means()
    for x in pictures:
        x_hat, purified = codec(x), codec(disturb(x))
        means.add(psnr_db=psnr(x, x_hat), ssim=ssim(x, x_hat))
        for guide in guides:
            answers = guide(x).argmax(1)
            means.add(
                agreement=guide(purified).argmax(1) == answers,
                clean_agreement=guide(x_hat).argmax(1) == answers,
            )
    return means.result()
