"""ComDefend's two networks (Jia, Wei, Cao and Foroosh, CVPR 2019, arXiv 1811.12673)."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model import ops
from model.checkpoint import Pretrained, once_trained
from model.config import CodecConfig
from model.tiling import tiled


class ShapeError(ValueError):
    """A tensor has the wrong shape or type; the message says what it got."""


class CodecOutput(NamedTuple):
    """What one training pass yields."""

    x_hat: Tensor
    """Reconstruction, shape (B,3,H,W), range (0,1)."""
    code: Tensor
    """Soft, noisy code, shape (B,K,H,W), range (0,1)."""


class ConvStack(nn.Module):
    """3x3 convolutions that keep height and width, with ELU between them."""

    def __init__(self, in_channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.depth = len(widths)
        for i, width in enumerate(widths):
            conv = nn.Conv2d(in_channels, width, kernel_size=3, padding=1)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            self.add_module(f"conv{i}", conv)
            in_channels = width

    def forward(self, x: Tensor) -> Tensor:
        for i in range(self.depth):
            x = self.get_submodule(f"conv{i}")(x)  # (B,widths[i],H,W)
            if i < self.depth - 1:
                x = nn.functional.elu(x)
        return x


class ComDefend(
    Pretrained,
    library_name="comdefend",
    paper_url="https://arxiv.org/abs/1811.12673",
    license="mit",
    tags=["adversarial-robustness", "image-compression"],
):
    """A picture through a 12-bit-per-pixel bottleneck and back.

    ::

        x (B,3,H,W) --ComCNN--> logits (B,12,H,W) --[> 0]--> code (B,12,H,W) --RecCNN--> x_hat
                                    |
                 training:  sigmoid(logits - sigma * N(0,1)) instead of the threshold

    Calling the module is inference in training and evaluation mode alike: hard codes, no noise,
    deterministic, and differentiable by straight-through. The noisy pass that training needs is
    :meth:`noisy_forward`. Any height and width work; large pictures and batches are computed in tiles.
    """

    config_class = CodecConfig
    config: CodecConfig

    def __init__(self, config: CodecConfig | None = None) -> None:
        super().__init__()
        self.config = config or CodecConfig()
        self.com = ConvStack(3, self.config.com_widths)
        self.rec = ConvStack(self.config.planes, self.config.rec_widths)

    @property
    def planes(self) -> int:
        """Number of binary planes of the code, i.e. bits per pixel."""
        return self.config.planes

    def logits(self, x: Tensor) -> Tensor:
        """Code logits of pictures.

        Args:
            x: RGB pictures, shape (B,3,H,W), floating point, range [0,1].

        Returns:
            Shape (B,12,H,W), any real number; the code is where they are positive.
        """
        _check_pictures(x)
        return self.com(x - 0.5)

    def decode(self, code: Tensor) -> Tensor:
        """RecCNN on a floating-point code, shape (B,12,H,W) -> (B,3,H,W), range (0,1)."""
        return torch.sigmoid(self.rec(code))

    @torch.no_grad()
    def compress(self, x: Tensor, planes: int | None = None) -> Tensor:
        """Binary compact code of pictures.

        Args:
            x: RGB pictures, shape (B,3,H,W), floating point, range [0,1].
            planes: how many planes are kept, i.e. bits per pixel, from 1 to 12; None keeps all. Only a codec
                trained for it (``comdefend-cifar10-purify``) makes pictures of fewer.

        Returns:
            Code, shape (B,12,H,W), uint8 of 0 and 1; planes that are not kept are zero.

        Raises:
            ShapeError: ``x`` is no batch of pictures.
            CodeError: there are not so many planes.
        """
        _check_pictures(x)
        code = tiled(lambda piece: (self.logits(piece) > 0).to(torch.uint8), x, self.com.depth)
        return code if planes is None else ops.keep_planes(code, planes)

    @torch.no_grad()
    def reconstruct(self, code: Tensor) -> Tensor:
        """Pictures from their binary codes.

        Args:
            code: shape (B,12,H,W), 0 and 1 of any dtype.

        Returns:
            RGB pictures, shape (B,3,H,W), range (0,1).
        """
        if code.ndim != 4 or code.shape[1] != self.planes or 0 in code.shape[2:]:
            raise ShapeError(f"expected a code of shape (B,{self.planes},H,W), got {tuple(code.shape)}")
        dtype = next(self.parameters()).dtype
        return tiled(lambda piece: self.decode(piece.to(dtype)), code, self.rec.depth)

    def forward(
        self, x: Tensor, surrogate: ops.Surrogate = "gaussian", planes: int | Tensor | None = None
    ) -> Tensor:
        """Compress and reconstruct; the values of ``reconstruct(compress(x, planes))``.

        Args:
            x: RGB pictures, shape (B,3,H,W), range [0,1].
            surrogate: whose gradient passes the threshold, see :func:`model.ops.soft_code`.
            planes: how many planes of the code are kept, for all pictures or, int64 of shape (B,), for each.

        Returns:
            RGB pictures, shape (B,3,H,W), range (0,1).
        """
        _check_pictures(x)
        kept = self.planes if planes is None else planes
        if not torch.is_grad_enabled():
            return self.reconstruct(ops.keep_planes(self.compress(x), kept))
        width = self.config.surrogate_width
        code = tiled(lambda piece: ops.binarise(self.logits(piece), width, surrogate), x, self.com.depth)
        return tiled(self.decode, ops.keep_planes(code, kept), self.rec.depth)

    @torch.no_grad()
    def measure_surrogate(self, x: Tensor) -> None:
        """Make the straight-through gradient as wide as the logits of ``x``, (B,3,H,W) in [0,1].

        The width becomes the lower quartile of the logits' magnitudes, and at least sigma: bits
        that a small perturbation can flip lie nearer to zero than most.
        """
        typical = self.logits(x).abs().flatten()[: 2**24].quantile(0.25).item()
        self.config = replace(self.config, surrogate_width=round(max(self.config.sigma, typical), 1))

    def noisy_forward(self, x: Tensor, sigma: float, generator: torch.Generator | None = None) -> CodecOutput:
        """The training pass: a soft code under Gaussian noise of standard deviation ``sigma``."""
        code = ops.noisy_code(self.logits(x).float(), sigma, generator)  # (B,12,H,W)
        return CodecOutput(x_hat=self.decode(code).float(), code=code)


def _check_pictures(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape[2:] or not x.is_floating_point():
        raise ShapeError(f"expected floats of shape (B,3,H,W), got {x.dtype} {tuple(x.shape)}")


ROBUST = "comdefend-cifar10-robust"
"""The codec that has a classifier of its own, ``cifar10-robust``."""

CODECS: dict[str, str] = {
    "comdefend-cifar10": "the paper's loss",
    "comdefend-cifar10-purify": "trained to purify",
    **once_trained({ROBUST: "trained with its classifier, against an attacker who knows both"}),
}
"""The trained codecs, folders under ``weights/``, and what they are in a few words."""
