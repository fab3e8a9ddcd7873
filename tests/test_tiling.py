import re

import pytest
import torch

from model.comdefend import ComDefend, ConvStack, ShapeError
from model.config import CodecConfig
from model.tiling import tiled


@pytest.fixture
def network() -> ConvStack:
    torch.manual_seed(0)
    return ConvStack(3, (8, 8, 4)).double()


@pytest.mark.parametrize("shape", [(1, 3, 40, 40), (2, 3, 16, 100), (3, 3, 33, 7), (1, 3, 17, 49)])
def test_tiles_give_what_the_whole_gives(network, shape):
    x = torch.rand(shape, dtype=torch.double)
    with torch.no_grad():
        assert torch.allclose(tiled(network, x, network.depth, tile=16), network(x), atol=1e-12)


def test_without_its_margin_a_tile_is_wrong_at_its_seams(network):
    x = torch.rand(1, 3, 40, 40, dtype=torch.double)
    with torch.no_grad():
        difference = (tiled(network, x, network.depth - 1, tile=16) - network(x)).abs()
    assert difference.max() > 1e-6


def test_the_gradient_is_that_of_the_whole(network):
    whole = torch.rand(1, 3, 40, 24, dtype=torch.double, requires_grad=True)
    pieces = whole.detach().clone().requires_grad_()
    network(whole).square().sum().backward()
    wanted = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    tiled(network, pieces, network.depth, tile=16).square().sum().backward()
    assert torch.allclose(pieces.grad, whole.grad)
    for p, grad in zip(network.parameters(), wanted, strict=True):
        assert torch.allclose(p.grad, grad)


def test_no_piece_is_larger_than_a_tile_and_its_margin():
    shapes: list[torch.Size] = []

    def network(x: torch.Tensor) -> torch.Tensor:
        shapes.append(x.shape)
        return x

    x = torch.rand(5, 3, 100, 60)
    assert torch.equal(tiled(network, x, 9, tile=16), x)
    assert max(shape[2] for shape in shapes) == max(shape[3] for shape in shapes) == 16 + 2 * 9
    assert {shape[0] for shape in shapes} == {1}
    shapes.clear()
    with torch.no_grad():
        tiled(network, torch.rand(9, 3, 8, 8), 9, tile=16)
    assert [shape[0] for shape in shapes] == [4, 4, 1]  # as many as have a tile's pixels


def test_the_codec_is_tiled_and_equal(monkeypatch):
    torch.manual_seed(0)
    codec = ComDefend(CodecConfig(com_widths=(8, 8, 12), rec_widths=(8, 3))).eval()
    x = torch.rand(1, 3, 300, 270)  # larger than one tile
    with torch.no_grad():
        logits = codec.logits(x)
        code, rebuilt = codec.compress(x), codec(x)
        assert torch.equal(code, (logits > 0).to(torch.uint8))
        assert torch.allclose(rebuilt, codec.decode((logits > 0).float()), atol=1e-6)
    assert torch.equal(codec.reconstruct(code), rebuilt)
    y = x.clone().requires_grad_()
    assert torch.equal(codec(y), rebuilt)
    codec(y).sum().backward()
    assert y.grad.count_nonzero() == y.numel()


@pytest.mark.parametrize("shape", [(3, 300, 270), (1, 1, 300, 270), (1, 3, 0, 5)])
def test_wrong_shapes_are_named_as_they_came(codec, shape):
    for call in (codec.compress, codec, codec.logits):
        with pytest.raises(ShapeError, match=re.escape(str(shape))):
            call(torch.rand(shape))
    with pytest.raises(ShapeError, match=r"uint8 \(1, 3, 300, 300\)"):
        codec.compress(torch.zeros(1, 3, 300, 300, dtype=torch.uint8))


def test_an_empty_batch_stays_empty(codec):
    x = torch.rand(0, 3, 8, 8, requires_grad=True)
    assert codec(x).shape == (0, 3, 8, 8)
    assert codec.compress(x).shape == (0, 12, 8, 8)
