"""ComDefend's two networks (Jia, Wei, Cao and Foroosh, CVPR 2019, arXiv 1811.12673)."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model import ops
from model.config import CodecConfig
from model.noise import noise_level
from model.pretrained import Pretrained
from model.tiling import tiled


class ShapeError(ValueError):
    """A tensor has the wrong shape or type; the message says what it got."""


class CodecOutput(NamedTuple):
    """What one training pass yields."""

    x_hat: Tensor
    """Reconstruction, shape (B,3,H,W), range (0,1)."""
    code: Tensor
    """Soft, noisy code, shape (B,K,H,W), range (0,1)."""


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": nn.functional.elu,
    "gelu": nn.functional.gelu,
}


class ConvStack(nn.Module):
    """3x3 convolutions that keep height and width, with an activation between them.

    With ``residual``, those between the first and the last are pairs with a shortcut around them, and each
    pair begins as nothing: its second convolution starts at zero.
    """

    def __init__(
        self, in_channels: int, widths: tuple[int, ...], activation: str = "elu", residual: bool = False
    ) -> None:
        super().__init__()
        self.depth = len(widths)
        self.residual = residual
        self.activation = ACTIVATIONS[activation]
        for i, width in enumerate(widths):
            conv = nn.Conv2d(in_channels, width, kernel_size=3, padding=1)
            if residual and i % 2 == 0 and 0 < i < self.depth - 1:
                nn.init.zeros_(conv.weight)
            else:
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            self.add_module(f"conv{i}", conv)
            in_channels = width

    def forward(self, x: Tensor) -> Tensor:
        for i in range(self.depth):
            if i % 2:
                shortcut = x
            x = self.get_submodule(f"conv{i}")(self.activation(x) if i else x)  # (B,widths[i],H,W)
            if self.residual and i and i % 2 == 0:
                x = shortcut + x
        return x


class ComDefend(
    Pretrained,
    library_name="comdefend",
    paper_url="https://arxiv.org/abs/1811.12673",
    license="mit",
    tags=["adversarial-robustness", "image-compression"],
):
    """A picture through a binary bottleneck and back.

    ::

        x (B,3,H,W) --fold--ComCNN--> logits (B,K,h,w) --[> 0]--> code (B,K,h,w) --RecCNN--unfold--> x_hat
                                         |
                      training:  sigmoid(logits - sigma * N(0,1)) instead of the threshold

    In the paper's shape there is nothing to fold, and K = 12 planes are 12 bits per pixel. A light one
    (``downscale`` s of 2 or 4) folds s x s pixels into channels: h = ceil(H/s), w = ceil(W/s), and K planes
    are K/s^2 bits per pixel. Its logits are normalised (``bounded``), so that the slope that stands in for
    the threshold's is as wide as they are, and its code is centred before RecCNN as a picture is before
    ComCNN.

    Calling the module is inference in training and evaluation mode alike: hard codes, no noise,
    deterministic, and differentiable by straight-through. The noisy pass that the paper's training needs is
    :meth:`noisy_forward`. Any height and width work; large pictures and batches are computed in tiles.
    """

    config_class = CodecConfig
    config: CodecConfig

    def __init__(self, config: CodecConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CodecConfig()
        shape = config.activation, config.residual
        self.com = ConvStack(3 * config.downscale**2, config.com_widths, *shape)
        self.rec = ConvStack(config.planes, config.rec_widths, *shape)

    @property
    def planes(self) -> int:
        """Number of binary planes of the code."""
        return self.config.planes

    @property
    def kept(self) -> int | None:
        """How many of them are kept where nobody says; None: it differs from picture to picture."""
        return None if isinstance(self.config.kept, tuple) else self.config.kept or self.planes

    def kept_of(self, x: Tensor, planes: int | Tensor | None = None) -> int | Tensor:
        """How many planes of pictures are kept.

        A codec whose configuration has pairs for ``kept`` measures how noisy each picture is
        (:func:`model.noise.noise_level`), and keeps fewer planes of a noisier one. An attack takes the number
        for given at each of its steps: it is constant but for a few jumps, and has no gradient.

        Args:
            x: RGB pictures, shape (B,3,H,W), range [0,1].
            planes: as somebody says; None: nobody does.

        Returns:
            One number for all, or int64 of shape (B,).
        """
        if planes is not None:
            return planes
        dial = self.config.kept
        if not isinstance(dial, tuple):
            return dial or self.planes
        noises, numbers = zip(*dial, strict=True)
        level = 255 * noise_level(x)
        place = torch.bucketize(level, level.new_tensor(noises), right=True) - 1
        return torch.tensor(numbers, device=x.device)[place]

    def logits(self, x: Tensor) -> Tensor:
        """Code logits of pictures.

        Args:
            x: RGB pictures, shape (B,3,H,W), floating point, range [0,1].

        Returns:
            Shape (B,K,h,w), any real number; the code is where they are positive. For a ``bounded`` codec
            their root mean square over the planes is one everywhere.
        """
        return self._com(self._fold(x))

    def _fold(self, x: Tensor) -> Tensor:
        """Centred pictures, padded by replication to whole squares and folded, (B,3*s*s,h,w)."""
        _check_pictures(x)
        x, s = x - 0.5, self.config.downscale
        if s == 1:
            return x
        right, bottom = -x.shape[-1] % s, -x.shape[-2] % s
        if right or bottom:
            x = nn.functional.pad(x, (0, right, 0, bottom), "replicate")
        return nn.functional.pixel_unshuffle(x, s)

    def _com(self, folded: Tensor) -> Tensor:
        logits = self.com(folded)
        return ops.normalised(logits) if self.config.bounded else logits

    def _rec(self, code: Tensor) -> Tensor:
        return torch.sigmoid(self.rec(code - 0.5 if self.config.bounded else code))

    def _unfold(self, folded: Tensor, size: tuple[int, int] | None) -> Tensor:
        x_hat = nn.functional.pixel_shuffle(folded, self.config.downscale)
        return x_hat if size is None else x_hat[..., : size[0], : size[1]]

    def decode(self, code: Tensor) -> Tensor:
        """RecCNN on a floating-point code, shape (B,K,h,w) -> (B,3,s*h,s*w), range (0,1)."""
        return self._unfold(self._rec(code), None)

    @torch.no_grad()
    def compress(self, x: Tensor, planes: int | Tensor | None = None) -> Tensor:
        """Binary compact code of pictures.

        Args:
            x: RGB pictures, shape (B,3,H,W), floating point, range [0,1].
            planes: how many planes are kept, from 1 to K, of all pictures or, int64 of shape (B,), of each;
                None leaves it to :meth:`kept_of`, which keeps all of them but in ``comdefend-photo``. Only a
                codec trained for it (any but ``comdefend-cifar10``) makes pictures of fewer.

        Returns:
            Code, shape (B,K,ceil(H/s),ceil(W/s)), uint8 of 0 and 1; planes that are not kept are zero.

        Raises:
            ShapeError: ``x`` is no batch of pictures.
            CodeError: there are not so many planes.
        """
        code = tiled(lambda piece: (self._com(piece) > 0).to(torch.uint8), self._fold(x), self.com.depth)
        return ops.keep_planes(code, self.kept_of(x, planes))

    @torch.no_grad()
    def reconstruct(self, code: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Pictures from their binary codes.

        Args:
            code: shape (B,K,h,w), 0 and 1 of any dtype.
            size: height and width of the pictures, where they are no multiples of s; None: (s*h, s*w).

        Returns:
            RGB pictures, shape (B,3,H,W), range (0,1).

        Raises:
            ShapeError: the code has another number of planes, or pictures of that size another code.
        """
        if code.ndim != 4 or code.shape[1] != self.planes or 0 in code.shape[2:]:
            raise ShapeError(f"expected a code of shape (B,{self.planes},h,w), got {tuple(code.shape)}")
        s = self.config.downscale
        if size is not None and tuple(-(-side // s) for side in size) != tuple(code.shape[2:]):
            raise ShapeError(f"a code of shape {tuple(code.shape)} is not one of pictures of {size}")
        dtype = next(self.parameters()).dtype
        return self._unfold(tiled(lambda piece: self._rec(piece.to(dtype)), code, self.rec.depth), size)

    def forward(
        self, x: Tensor, surrogate: ops.Surrogate = "gaussian", planes: int | Tensor | None = None
    ) -> Tensor:
        """Compress and reconstruct; the values of ``reconstruct(compress(x, planes), size of x)``.

        Args:
            x: RGB pictures, shape (B,3,H,W), range [0,1].
            surrogate: whose gradient passes the threshold, see :func:`model.ops.soft_code`.
            planes: how many planes of the code are kept, for all pictures or, int64 of shape (B,), for each;
                None leaves it to :meth:`kept_of`.

        Returns:
            RGB pictures, shape (B,3,H,W), range (0,1).
        """
        kept = self.kept_of(x, planes)
        size = (x.shape[-2], x.shape[-1])
        if not torch.is_grad_enabled():
            return self.reconstruct(ops.keep_planes(self.compress(x, self.planes), kept), size)
        slope = self.config.surrogate_width
        code = tiled(
            lambda piece: ops.binarise(self._com(piece), slope, surrogate), self._fold(x), self.com.depth
        )
        return self._unfold(tiled(self._rec, ops.keep_planes(code, kept), self.rec.depth), size)

    @torch.no_grad()
    def measure_surrogate(self, x: Tensor) -> None:
        """Make the straight-through gradient as wide as the logits of ``x``, (B,3,H,W) in [0,1].

        The width becomes the lower quartile of the logits' magnitudes, and at least sigma: bits
        that a small perturbation can flip lie nearer to zero than most. Bounded logits need no measuring.
        """
        if self.config.bounded:
            return
        typical = self.logits(x).abs().flatten()[: 2**24].quantile(0.25).item()
        self.config = replace(self.config, surrogate_width=round(max(self.config.sigma, typical), 1))

    def hardening_forward(
        self,
        x: Tensor,
        share: float,
        planes: int | Tensor | None = None,
        generator: torch.Generator | None = None,
        width: float = 0.5,
    ) -> Tensor:
        """A training pass in which only a share of the bits is hard, see :func:`model.ops.partly_hard`.

        Args:
            x: RGB pictures, shape (B,3,H,W), range [0,1].
            share: of the bits that are hard, in [0,1].
            planes: how many planes are kept, as in :meth:`forward`.
            generator: source of the randomness.
            width: of the soft bits.

        Returns:
            RGB pictures, shape (B,3,H,W), range (0,1).
        """
        code = ops.partly_hard(self.logits(x).float(), width, share, generator)  # (B,K,h,w)
        code = ops.keep_planes(code, self.kept_of(x, planes))
        return self._unfold(self._rec(code), (x.shape[-2], x.shape[-1])).float()

    def noisy_forward(self, x: Tensor, sigma: float, generator: torch.Generator | None = None) -> CodecOutput:
        """The training pass: a soft code under Gaussian noise of standard deviation ``sigma``."""
        code = ops.noisy_code(self.logits(x).float(), sigma, generator)  # (B,K,h,w)
        x_hat = self._unfold(self._rec(code), (x.shape[-2], x.shape[-1])).float()
        return CodecOutput(x_hat=x_hat, code=code)


def _check_pictures(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape[2:] or not x.is_floating_point():
        raise ShapeError(f"expected floats of shape (B,3,H,W), got {x.dtype} {tuple(x.shape)}")
