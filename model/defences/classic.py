"""Defences that nobody has to train."""

import io
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from model.defences.base import Defence
from model.jpeg import jpeg, no_round, soft_round
from model.noise import noise_level
from model.ops import straight_through


class Jpeg(Defence):
    """JPEG at a quality from 1 to 95 (Dziugaite et al. 2016; Das et al. 2017).

    Its stand-ins: JPEG with a soft rounding, JPEG without rounding, and none of JPEG at all.
    """

    gradients = ("soft rounding", "no rounding", "identity")

    def __init__(self, quality: int) -> None:
        super().__init__()
        self.quality = quality

    @property
    def about(self) -> str:
        return f"JPEG, quality {self.quality}, 4:2:0"

    def forward(self, x: Tensor) -> Tensor:
        pixels = (x.detach() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()
        found = []
        for picture in pixels:
            file = io.BytesIO()
            Image.fromarray(picture.numpy()).save(file, "JPEG", quality=self.quality)
            found.append(torch.from_numpy(np.array(Image.open(file))))
        hard = torch.stack(found).permute(0, 3, 1, 2).to(x) / 255
        if self.gradient == "identity" or not x.requires_grad:
            return straight_through(hard, x)
        return straight_through(
            hard, jpeg(x, self.quality, soft_round if self.gradient == "soft rounding" else no_round)
        )


class JpegByNoise(Defence):
    """JPEG, at a lower quality where a picture looks noisy (:func:`model.noise.noise_level`).

    A codec that keeps fewer planes of noisy pictures has this for its yardstick: JPEG that looks at noise,
    too. It has JPEG's stand-ins; the choice of a quality is constant but for jumps, and has none.
    """

    gradients = Jpeg.gradients
    bound: ClassVar[float] = 0.7
    """The noise, in 1/255, from which on a picture is a noisy one: where ``comdefend-photo`` starts to keep
    fewer planes."""

    def __init__(self, quality: int, lower: int) -> None:
        super().__init__()
        self.usual, self.lower = Jpeg(quality), Jpeg(lower)

    @property
    def about(self) -> str:
        return f"JPEG, quality {self.usual.quality}, {self.lower.quality} of a noisy picture, 4:2:0"

    def forward(self, x: Tensor) -> Tensor:
        self.usual.gradient = self.lower.gradient = self.gradient
        is_noisy = 255 * noise_level(x) >= self.bound
        return torch.where(is_noisy.view(-1, 1, 1, 1), self.lower(x), self.usual(x))


class BitDepth(Defence):
    """Fewer levels a channel (feature squeezing; Xu, Evans and Qi 2018)."""

    gradients = ("identity",)

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    @property
    def about(self) -> str:
        return f"{self.bits} bits a channel"

    def forward(self, x: Tensor) -> Tensor:
        top = 2**self.bits - 1
        return straight_through((x.detach() * top).round() / top, x)


class Median(Defence):
    """The median of 3x3 pixels, each channel alone (feature squeezing; Xu, Evans and Qi 2018)."""

    about = "median of 3 × 3 pixels"

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        around = nn.functional.unfold(nn.functional.pad(x, (1, 1, 1, 1), "reflect"), 3)
        return around.view(batch, channels, 9, height, width).median(2).values


class GaussianNoise(Defence):
    """White noise on the picture at inference, drawn anew each time."""

    noisy = True

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    @property
    def about(self) -> str:
        return f"Gaussian noise, standard deviation {255 * self.deviation:g}/255"

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.deviation * torch.randn_like(x)).clamp(0, 1)
