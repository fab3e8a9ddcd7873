"""Eight bits: what an attack found, as pictures that a PNG can hold."""

import math

import torch
from torch import Tensor, nn


def round_to_8_bits(x: Tensor) -> Tensor:
    """The nearest pictures that a PNG can hold: multiples of 1/255 in [0,1]."""
    return (x * 255).round().clamp(0, 255) / 255


def round_inside_ball(adversarial: Tensor, x: Tensor, epsilon: float | None) -> Tensor:
    """Round to 8 bits without leaving the epsilon ball around ``x``.

    Args:
        adversarial, x: shape (B,3,H,W), range [0,1]; ``x`` already rounded to 8 bits.
        epsilon: radius in 1/255; None for attacks that have none.
    """
    levels = (adversarial * 255).round()
    if epsilon is not None:
        centre = (x * 255).round()
        whole = math.floor(epsilon)
        levels = levels.clamp(centre - whole, centre + whole)
    return levels.clamp(0, 255) / 255


@torch.no_grad()
def round_and_still_fool(
    model: nn.Module, x: Tensor, found: Tensor, labels: Tensor, target: int | None
) -> Tensor:
    """Round to 8 bits without losing what was found.

    An attack without an epsilon ends just across the border, and rounding may lead back. There the
    perturbation is made as much larger as it takes, up to 32 times: one of a tenth of a level must grow
    at least fivefold to survive at all.
    """

    def fools(x: Tensor) -> Tensor:
        answers: Tensor = model(x).argmax(1)
        return answers != labels if target is None else answers == target

    rounded = round_to_8_bits(found)
    lost = fools(found) & ~fools(rounded)
    for factor in (1.1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32):
        if not lost.any():
            break
        larger = round_to_8_bits((x + factor * (found - x)).clamp(0, 1))
        won = lost & fools(larger)
        rounded[won] = larger[won]
        lost &= ~won
    return rounded
