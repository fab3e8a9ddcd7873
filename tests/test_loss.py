import pytest
import torch

from model.comdefend import CodecOutput
from model.loss import unified_loss


def test_the_parts_and_their_sum():
    x = torch.zeros(1, 3, 2, 2)
    output = CodecOutput(x_hat=torch.full((1, 3, 2, 2), 0.5), code=torch.full((1, 12, 2, 2), 0.2))
    loss = unified_loss(output, x, code_weight=0.1)
    assert loss.reconstruction.item() == pytest.approx(0.25)
    assert loss.code.item() == pytest.approx(0.04)
    assert loss.total.item() == pytest.approx(0.254)


def test_the_papers_weight_is_the_default():
    output = CodecOutput(x_hat=torch.zeros(1, 3, 1, 1), code=torch.ones(1, 12, 1, 1))
    assert unified_loss(output, torch.zeros(1, 3, 1, 1)).total.item() == pytest.approx(1e-4)
