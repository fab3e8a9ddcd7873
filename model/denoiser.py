"""A denoiser trained on adversarial pictures: the yardstick from the NIPS 2017 challenge."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from model.config import DenoiserConfig
from model.pretrained import Pretrained


def _pair(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """Two 3x3 convolutions, each with batch norm and ReLU; the first may halve the sides."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class Denoiser(Pretrained, library_name="comdefend", license="mit"):
    """A small U-Net that predicts the perturbation (Liao et al., "Defense against Adversarial Attacks Using
    High-Level Representation Guided Denoiser", CVPR 2018, section 3.2).

    ::

        x (B,3,H,W) in [0,1] --U-Net--> dx (B,3,H,W);  x_hat = x + dx, clamped to [0,1]

    It starts as the identity.
    """

    config_class = DenoiserConfig
    config: DenoiserConfig

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.down = nn.ModuleList(
            _pair(before, width, 2 if level else 1)
            for level, (before, width) in enumerate(zip((3, *widths), widths, strict=False))
        )
        self.up = nn.ModuleList(_pair(width + below, width) for width, below in pairwise(widths))
        self.last = nn.Conv2d(widths[0], 3, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures without what an attack added, (B,3,H,W) in [0,1]; any H and W."""
        height, width = x.shape[-2:]
        unit = 2 ** (len(self.config.widths) - 1)
        now = nn.functional.pad(x, (0, -width % unit, 0, -height % unit), mode="replicate")
        seen = []
        for level in self.down:
            now = level(now)
            seen.append(now)
        for level, beside in zip(reversed(self.up), reversed(seen[:-1]), strict=True):
            now = level(torch.cat((beside, nn.functional.interpolate(now, scale_factor=2)), 1))
        change: Tensor = self.last(now)[..., :height, :width]
        return (x + change).clamp(0, 1)
