"""The unified loss of ComCNN and RecCNN."""

from typing import NamedTuple

from torch import Tensor

from model.comdefend import CodecOutput


class UnifiedLoss(NamedTuple):
    """The loss and its named parts, scalars."""

    total: Tensor
    reconstruction: Tensor
    """Mean squared error of the reconstruction."""
    code: Tensor
    """Mean square of the code: how many bits are on."""


def unified_loss(output: CodecOutput, x: Tensor, code_weight: float = 1e-4) -> UnifiedLoss:
    """``mean((x_hat - x)^2) + code_weight * mean(code^2)`` (paper, eq. 3 to 5).

    Args:
        output: of :meth:`model.comdefend.ComDefend.noisy_forward`.
        x: the pictures to be rebuilt, shape (B,3,H,W), range [0,1].
        code_weight: the paper's lambda.
    """
    reconstruction = (output.x_hat - x).square().mean()
    code = output.code.square().mean()
    return UnifiedLoss(reconstruction + code_weight * code, reconstruction, code)
