"""JPEG that can be differentiated, for whoever attacks through it.

The standard's steps (ITU-T T.81, baseline, 4:2:0) in tensor form, with a rounding of one's choice. After Shin
and Song, "JPEG-resistant adversarial images" (2017).
"""

import io
import math
from collections.abc import Callable
from functools import cache

import torch
from PIL import Image
from torch import Tensor, nn

Rounding = Callable[[Tensor], Tensor]

# JFIF: luma, and the differences to it of blue and red.
TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
BLOCK = 8


def soft_round(c: Tensor) -> Tensor:
    """Rounding with a slope wherever the value is not whole: round(c) + (c - round(c))^3."""
    nearest = c.detach().round()
    return nearest + (c - nearest) ** 3


def no_round(c: Tensor) -> Tensor:
    """What is left of JPEG without its rounding: colours at half the resolution."""
    return c


def jpeg(x: Tensor, quality: int, rounding: Rounding) -> Tensor:
    """JPEG of pictures, there and back.

    Args:
        x: RGB, shape (B,3,H,W), range [0,1].
        quality: 1 to 95, as Pillow has it.
        rounding: what is done to coefficients in units of their quantisation step.

    Returns:
        Shape (B,3,H,W), range [0,1]; about what Pillow gives where ``rounding`` is ``torch.round``.
    """
    height, width = x.shape[-2:]
    luma_table, chroma_table = (table.to(x) for table in _tables(quality))
    matrix = TO_YCC.to(x)
    ycc = torch.einsum("ij,bjhw->bihw", matrix, x * 255)
    luma = _quantised(ycc[:, :1] - 128, luma_table, rounding) + 128
    halved = nn.functional.avg_pool2d(ycc[:, 1:], 2, ceil_mode=True, count_include_pad=False)
    chroma = nn.functional.interpolate(_quantised(halved, chroma_table, rounding), scale_factor=2)
    whole = torch.cat([luma, chroma[..., :height, :width]], 1)
    return (torch.einsum("ij,bjhw->bihw", matrix.inverse(), whole) / 255).clamp(0, 1)


def _quantised(planes: Tensor, table: Tensor, rounding: Rounding) -> Tensor:
    """Planes, shape (B,C,H,W), through the quantised cosine transform of 8x8 blocks."""
    batch, channels, height, width = planes.shape
    down, right = -height % BLOCK, -width % BLOCK
    padded = nn.functional.pad(planes, (0, right, 0, down), "replicate")
    rows, columns = padded.shape[2] // BLOCK, padded.shape[3] // BLOCK
    blocks = padded.view(batch, channels, rows, BLOCK, columns, BLOCK).transpose(3, 4)
    cosines = _cosines().to(planes)
    coefficients = rounding(cosines @ blocks @ cosines.T / table) * table
    back = (cosines.T @ coefficients @ cosines).transpose(3, 4)
    return back.reshape(padded.shape)[..., :height, :width]


@cache
def _cosines() -> Tensor:
    """The orthonormal 8-point DCT-II, shape (8,8)."""
    k, n = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)[None]
    matrix = torch.cos(math.pi * (2 * n + 1) * k / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix


@cache
def _tables(quality: int) -> tuple[Tensor, Tensor]:
    """The quantisation steps that Pillow uses, for luma and chroma, each of shape (8,8)."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization  # type: ignore[attr-defined]
    return tuple(torch.tensor(tables[i], dtype=torch.float32).view(BLOCK, BLOCK) for i in (0, 1))  # type: ignore[return-value]
