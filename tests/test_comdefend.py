from dataclasses import replace

import pytest
import torch

from model import ComDefend, ops
from model.comdefend import ShapeError
from model.config import CodecConfig


def test_the_papers_network():
    model = ComDefend()
    assert sum(p.numel() for p in model.parameters()) == 1_566_735
    names = list(model.state_dict())
    assert names[0] == "com.conv0.weight"
    assert names[-1] == "rec.conv8.bias"
    assert len(names) == 36
    shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    assert shapes["com.conv4.weight"] == (256, 128, 3, 3)
    assert shapes["com.conv8.weight"] == (12, 32, 3, 3)
    assert shapes["rec.conv0.weight"] == (32, 12, 3, 3)
    assert shapes["rec.conv8.weight"] == (3, 16, 3, 3)


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (7, 13), (224, 3)])
def test_any_size_works(codec, size):
    x = torch.rand(2, 3, *size)
    code = codec.compress(x)
    assert code.shape == (2, 12, *size)
    assert code.dtype == torch.uint8
    assert set(code.unique().tolist()) <= {0, 1}
    x_hat = codec.reconstruct(code)
    assert x_hat.shape == x.shape
    assert 0 <= x_hat.min() <= x_hat.max() <= 1


def test_calling_it_is_compress_and_reconstruct(codec, pictures):
    wanted = codec.reconstruct(codec.compress(pictures))
    assert torch.equal(codec(pictures), wanted)
    assert torch.equal(codec(pictures.clone().requires_grad_()), wanted)
    assert torch.equal(codec.train()(pictures), wanted)


def test_the_gradient_reaches_the_picture_and_both_networks(codec, pictures):
    x = pictures.clone().requires_grad_()
    codec(x).square().sum().backward()
    for tensor in (x, *codec.parameters()):  # every pixel, and every weight
        assert tensor.grad.count_nonzero() == tensor.numel()


def test_the_input_is_centred(codec):
    grey = torch.full((1, 3, 9, 9), 0.5)
    bias = codec.com.conv0.bias
    with torch.no_grad():
        for p in codec.com.parameters():
            p.zero_()
        bias.fill_(0.0)
        codec.com.conv0.weight.fill_(1.0)
        codec.com.conv1.weight.fill_(1.0)
    assert codec.logits(grey).abs().max() == 0


def test_training_noise_has_the_asked_width(codec, pictures):
    generator = torch.Generator().manual_seed(0)
    output = codec.noisy_forward(pictures, 20.0, generator)
    assert output.x_hat.shape == pictures.shape
    assert output.code.shape == (6, 12, 16, 16)
    # The logits of an untrained codec are near zero: between those of 0.01 and 0.99, 4.6 away, the noise
    # of width 20 leaves Phi(4.6 / 20) - Phi(-4.6 / 20).
    undecided = ((output.code > 0.01) & (output.code < 0.99)).float().mean().item()
    assert undecided == pytest.approx(0.182, abs=0.02)
    quiet = codec.noisy_forward(pictures, 0.0)
    assert torch.allclose(quiet.code, torch.sigmoid(codec.logits(pictures)))


@pytest.mark.parametrize(
    "bad", [torch.rand(3, 8, 8), torch.rand(1, 1, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)]
)
def test_wrong_pictures_are_refused_with_what_they_are(codec, bad):
    with pytest.raises(ShapeError, match=str(tuple(bad.shape))[1:-1]):
        codec.compress(bad)


def test_wrong_codes_are_refused(codec):
    with pytest.raises(ShapeError, match=r"\(1, 11, 4, 4\)"):
        codec.reconstruct(torch.zeros(1, 11, 4, 4))


def test_other_widths():
    model = ComDefend(CodecConfig(com_widths=(4, 6), rec_widths=(4, 3)))
    assert model.planes == 6
    assert model.compress(torch.rand(1, 3, 4, 4)).shape == (1, 6, 4, 4)


def test_the_surrogate_becomes_as_wide_as_the_logits(codec, pictures):
    with torch.no_grad():
        codec.com.conv1.weight.mul_(1e5)
    wide = codec.logits(pictures).abs().flatten().quantile(0.25).item()
    codec.measure_surrogate(pictures)
    assert codec.config.surrogate_width == pytest.approx(wide, rel=1e-3)
    assert codec.config.sigma == 20.0
    with torch.no_grad():
        codec.com.conv1.weight.mul_(1e-9)
        codec.com.conv1.bias.zero_()
    codec.measure_surrogate(pictures)
    assert codec.config.surrogate_width == codec.config.sigma


def test_the_gradient_has_the_configured_width(codec, pictures):
    wanted = codec.decode(ops.binarise(codec.logits(x := pictures.clone().requires_grad_()), 300.0))
    (expected,) = torch.autograd.grad(wanted.sum(), x)
    codec.config = replace(codec.config, surrogate_width=300.0)
    y = pictures.clone().requires_grad_()
    (found,) = torch.autograd.grad(codec(y).sum(), y)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("planes", [1, 5, 12])
def test_fewer_planes_are_the_first_ones_of_the_same_code(codec, pictures, planes):
    whole, kept = codec.compress(pictures), codec.compress(pictures, planes)
    assert kept.shape == whole.shape
    assert kept.dtype == torch.uint8
    assert torch.equal(kept[:, :planes], whole[:, :planes])
    assert kept[:, planes:].sum() == 0
    wanted = codec.reconstruct(kept)
    assert torch.equal(codec(pictures, planes=planes), wanted)
    with torch.no_grad():
        assert torch.equal(codec(pictures, planes=planes), wanted)
    if planes < 12:
        assert not torch.equal(codec(pictures), wanted)


def test_each_picture_may_keep_other_planes(codec, pictures):
    planes = torch.tensor([1, 12, 3, 7, 7, 2])
    found = codec(pictures, planes=planes)
    for index, count in enumerate(planes.tolist()):
        assert torch.allclose(found[index], codec(pictures[index : index + 1], planes=count)[0], atol=1e-6)


@pytest.mark.parametrize("planes", [0, 13])
def test_planes_that_are_not_there_are_refused(codec, pictures, planes):
    for ask in (lambda: codec.compress(pictures, planes), lambda: codec(pictures, planes=planes)):
        with pytest.raises(ops.CodeError, match=f"from 1 to 12, got {planes}"):
            ask()


def test_no_gradient_flows_through_dropped_planes(codec, pictures):
    x = pictures.clone().requires_grad_()
    codec(x, planes=4).square().sum().backward()
    last, first = codec.com.conv1.weight.grad, codec.rec.conv0.weight.grad
    assert last.any((1, 2, 3)).tolist() == [True] * 4 + [False] * 8
    assert first.any((0, 2, 3)).tolist() == [True] * 4 + [False] * 8
    assert x.grad.count_nonzero() == x.numel()


def test_the_surrogate_and_the_planes_go_together(codec, pictures):
    slopes = []
    for surrogate in ops.SURROGATES:
        x = pictures.clone().requires_grad_()
        found = codec(x, surrogate, 6)
        assert torch.equal(found, codec(pictures, planes=6))
        slopes.append(torch.autograd.grad(found.sum(), x)[0])
    assert not torch.allclose(slopes[0], slopes[1])
    assert not torch.allclose(slopes[1], slopes[2])
