"""Defences with a network inside."""

from pathlib import Path

import torch
from torch import Tensor

from model.comdefend import ComDefend
from model.defences.base import Defence, UnknownDefenceError
from model.denoiser import Denoiser
from model.ops import SURROGATES, Surrogate


class Codec(Defence):
    """A ComDefend codec, hard codes.

    Args:
        codec: the networks.
        planes: how many planes of the code are kept; None keeps as many as the codec is meant to, which may
            differ from picture to picture.
        about: what it is, in a few words.
        file: its tensors, for the hash in the report.
    """

    gradients = SURROGATES
    learned = True
    about = ""

    def __init__(
        self, codec: ComDefend, planes: int | None = None, about: str = "", file: Path | None = None
    ) -> None:
        super().__init__()
        self.codec = codec
        self.planes = codec.kept if planes is None else planes
        """How many planes of the code are kept; None: it differs from picture to picture."""
        self.about = about
        self.file = file
        if planes is not None and not 1 <= planes <= codec.planes:
            raise UnknownDefenceError(f"the codec has 1 to {codec.planes} planes, not {planes}")

    def forward(self, x: Tensor) -> Tensor:
        gradient: Surrogate = self.gradient  # type: ignore[assignment]
        reconstruction: Tensor = self.codec(x, gradient, self.planes)
        return reconstruction

    def code(self, x: Tensor) -> Tensor:
        """The binary code of the planes that are kept, shape (B,K,h,w), uint8.

        Where their number differs from picture to picture, K is the largest, and the others are zero.
        """
        kept = torch.as_tensor(self.codec.kept_of(x, self.planes))  # () or (B)
        return self.codec.compress(x, kept)[:, : int(kept.max())]

    def kept(self, x: Tensor) -> int:
        """How many planes are kept of pictures, (B,3,H,W) in [0,1]; the largest number where that differs."""
        return int(torch.as_tensor(self.codec.kept_of(x, self.planes)).max())


class Denoising(Defence):
    """A denoiser that was trained on adversarial pictures: HGD, the winner of the NIPS 2017 challenge.

    Args:
        denoiser: the network.
        about: what it is, in a few words.
        file: its tensors, for the hash in the report.
    """

    learned = True
    about = ""

    def __init__(self, denoiser: Denoiser, about: str, file: Path) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.about = about
        self.file = file

    def forward(self, x: Tensor) -> Tensor:
        cleaner: Tensor = self.denoiser(x)
        return cleaner
