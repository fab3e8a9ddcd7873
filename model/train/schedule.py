"""What a step's number decides: its learning rate, its pictures, and the seed of its random numbers."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def learning_rate_factor(progress: float, warmup: float = 0.03) -> float:
    """Linear warm-up, then half a cosine down to zero; ``progress`` in [0,1)."""
    return min(1.0, progress / warmup) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Batches:
    """Which pictures a step sees: a fresh shuffle each epoch, incomplete batches dropped."""

    count: int
    size: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch."""
        return max(1, self.count // self.size)

    def order(self, epoch: int) -> Tensor:
        """The epoch's batches, int64 indices of shape (per_epoch, size)."""
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, 0, epoch))
        size = min(self.size, self.count)
        indices = torch.randperm(self.count, generator=generator)
        return indices[: self.per_epoch * size].view(self.per_epoch, size)


def mixed_seed(*numbers: int) -> int:
    """One well-spread 32-bit seed from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
