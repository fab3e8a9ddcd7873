"""What is measured: fidelity of pictures, and accuracy with its uncertainty."""

import math
from statistics import NormalDist

import torch
from torch import Tensor


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture, in dB; infinite for equal pictures.

    Args:
        x, y: shape (B,C,H,W), range [0,1].

    Returns:
        Shape (B,). A batch's PSNR is the mean of these.
    """
    return -10 * torch.log10((x - y).square().mean(dim=(1, 2, 3)))


def ssim(x: Tensor, y: Tensor, sigma: float = 1.5) -> Tensor:
    """Structural similarity of each picture (Wang, Bovik, Sheikh and Simoncelli 2004).

    Gaussian window of 11x11 pixels, K1 = 0.01, K2 = 0.03, mean over the places where the window
    fits, and over channels.

    Args:
        x, y: shape (B,C,H,W), range [0,1]; pictures smaller than 11 pixels get a smaller window.

    Returns:
        Shape (B,), range [-1,1].
    """
    channels, height, width = x.shape[1:]
    size = min(11, height - 1 + height % 2, width - 1 + width % 2)
    offsets = torch.arange(size, device=x.device, dtype=x.dtype) - (size - 1) / 2
    bell = torch.exp(-offsets.square() / (2 * sigma**2))
    window = torch.outer(bell, bell) / bell.sum() ** 2  # (size,size)
    window = window.expand(channels, 1, size, size)

    def blur(z: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(z, window, groups=channels)

    mean_x, mean_y = blur(x), blur(y)
    var_x = blur(x * x) - mean_x.square()
    var_y = blur(y * y) - mean_y.square()
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2)
    return (numerator / denominator).mean(dim=(1, 2, 3))


def paired_interval(
    only_first: int, only_second: int, count: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the difference of two proportions on the same things: (low, high), range [-1,1].

    The adjusted Wald interval of Bonett and Price (2012).

    Args:
        only_first: how many are a success for the first alone.
        only_second: how many are a success for the second alone.
        count: how many there are.
    """
    if count < 1 or min(only_first, only_second) < 0 or only_first + only_second > count:
        raise ValueError(f"expected parts of {count}, got {only_first} and {only_second}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    first, second = (only_first + 1) / (count + 2), (only_second + 1) / (count + 2)
    half = z * math.sqrt((first + second - (first - second) ** 2) / (count + 2))
    return max(-1.0, first - second - half), min(1.0, first - second + half)


def wilson_interval(successes: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion: (low, high), range [0,1]."""
    if count < 1 or not 0 <= successes <= count:
        raise ValueError(f"expected 0 <= successes <= count, got {successes} of {count}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


class Means:
    """Means of figures of single pictures, gathered batch by batch."""

    def __init__(self) -> None:
        self._batches: dict[str, list[Tensor]] = {}

    def add(self, **figures: Tensor) -> None:
        """One batch's figures by name, each of shape (B,), any type of number."""
        for name, values in figures.items():
            self._batches.setdefault(name, []).append(values.float())

    def result(self) -> dict[str, float]:
        """The mean over all pictures so far, by name."""
        return {name: torch.cat(batches).mean().item() for name, batches in self._batches.items()}
