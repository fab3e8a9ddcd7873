"""Pictures made for the page: perturbation, code planes, what a classifier sees of an upload."""

import math

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from app.images import to_picture
from model.data import Box
from model.ops import turned_bits

COLUMNS = 4
"""So many planes stand in a row."""
MANY = 16
"""Where there are more planes than these, rows are longer, the mosaic is about a square, and none is
enlarged: together they are large enough."""
BACKGROUND = 0.45
LEAST_PLANE = 128
"""Planes that are less wide are enlarged, pixel by pixel, to about this width."""
RAISED = (0.96, 0.55, 0.09)
"""Colour of a bit that the attack turned from 0 to 1. Colour-blind eyes tell it from ``LOWERED``, too."""
LOWERED = (0.16, 0.58, 0.95)
"""Colour of a bit that the attack turned from 1 to 0."""


def magnification(original: Tensor, adversarial: Tensor) -> int:
    """How many times a perturbation can be magnified without clipping; 1 if there is none."""
    largest = (adversarial - original).abs().max().item()
    return max(1, int(0.5 / largest)) if largest > 0 else 1


def perturbation(original: Tensor, adversarial: Tensor) -> Image.Image:
    """The magnified difference of two pictures, shape (1,3,H,W), around mid-grey."""
    return _around_grey(original, adversarial, magnification(original, adversarial))


SHOWN = 0.98
"""Share of a difference that is not clipped: a few edges are far larger than all the rest."""


def difference(original: Tensor, rebuilt: Tensor) -> tuple[Image.Image, int]:
    """What a codec changed of a picture, shape (1,3,H,W), around mid-grey, and how many times magnified."""
    large = torch.quantile((rebuilt - original).abs(), SHOWN).item()
    factor = max(1, int(0.5 / large)) if large > 0 else 1
    return _around_grey(original, rebuilt, factor), factor


def _around_grey(before: Tensor, after: Tensor, factor: int) -> Image.Image:
    return to_picture((0.5 + factor * (after - before)).clamp(0, 1))


def code_mosaic(code: Tensor, before: Tensor | None = None) -> Image.Image:
    """The binary planes of a code side by side: white is 1, black is 0.

    Args:
        code: shape (1,K,h,w), 0 and 1.
        before: the same of another picture, of which more or fewer planes may have been kept; the bits that
            differ from it are shown in colour.
    """
    (planes,) = code.float()
    coloured = planes.expand(3, *planes.shape).clone()  # (3,K,H,W)
    if before is not None:
        (flipped,) = turned_bits(before, code)
        both = coloured[:, : len(flipped)]
        for bits, colour in ((flipped & (both[0] == 1), RAISED), (flipped & (both[0] == 0), LOWERED)):
            both[:, bits] = torch.tensor(colour)[:, None]
    scale = max(1, LEAST_PLANE // planes.shape[-1]) if len(planes) <= MANY else 1
    return to_picture(_tile(coloured.repeat_interleave(scale, 2).repeat_interleave(scale, 3)))


def _tile(planes: Tensor) -> Tensor:
    """Planes, shape (3,K,H,W), as one picture, (3,H',W'), in rows."""
    _, count, height, width = planes.shape
    gap = max(2, width // 32)
    columns = min(COLUMNS, count) if count <= MANY else math.isqrt(count - 1) + 1
    rows = -(-count // columns)
    canvas = torch.full((3, rows * (height + gap) - gap, columns * (width + gap) - gap), BACKGROUND)
    for i in range(count):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[:, top : top + height, left : left + width] = planes[:, i]
    return canvas


PREVIEW = 320
"""Side of the largest preview, in pixels."""


def crop_preview(picture: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """An upload with all outside ``box`` darkened, at most ``PREVIEW`` pixels large.

    Args:
        picture: the upload, at any scale.
        size, box: in the upload's own pixels.
    """
    scale = min(1.0, PREVIEW / max(size))
    small = picture.resize([max(1, round(length * scale)) for length in size])
    left, top, right, bottom = (round(edge * scale) for edge in box)
    # Of a very long picture that box may be thinner than a pixel.
    left, top = min(left, small.width - 1), min(top, small.height - 1)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    shown = Image.blend(small, Image.new("RGB", small.size, "black"), 0.7)
    shown.paste(small.crop((left, top, right, bottom)), (left, top))
    ImageDraw.Draw(shown).rectangle((left, top, right - 1, bottom - 1), outline="white")
    return shown
