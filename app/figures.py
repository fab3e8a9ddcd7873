"""Pictures made for the page: the magnified perturbation, and the code's planes."""

import torch
from PIL import Image
from torch import Tensor

from app.images import to_picture

COLUMNS = 4


def magnification(original: Tensor, adversarial: Tensor) -> int:
    """How many times a perturbation can be magnified without clipping; 1 if there is none."""
    largest = (adversarial - original).abs().max().item()
    return max(1, int(0.5 / largest)) if largest > 0 else 1


def perturbation(original: Tensor, adversarial: Tensor) -> Image.Image:
    """The magnified difference of two pictures, shape (1,3,H,W), around mid-grey."""
    factor = magnification(original, adversarial)
    return to_picture((0.5 + factor * (adversarial - original)).clamp(0, 1))


def code_mosaic(code: Tensor, gap: int = 2) -> Image.Image:
    """The binary planes of a code, shape (1,K,H,W), side by side: white is 1, black is 0."""
    (planes,) = code
    count, height, width = planes.shape
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    canvas = torch.full((rows * (height + gap) - gap, columns * (width + gap) - gap), 0.45)
    for i, plane in enumerate(planes):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = plane.float()
    return to_picture(canvas.expand(3, -1, -1))
