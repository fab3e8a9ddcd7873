"""The light shape: folded pictures, residual blocks, bounded logits."""

import json
from dataclasses import replace

import pytest
import torch

from model import ComDefend, ops
from model.comdefend import ShapeError
from model.config import CodecConfig, ConfigError
from model.defences import Codec
from model.recipes import PhotoTask, SmallTask
from model.recipes.codec import widen

TINY = {scale: CodecConfig.light(scale, planes=8, width=16, com_blocks=1, rec_blocks=2) for scale in (2, 4)}


def grown(config: CodecConfig) -> ComDefend:
    """An untrained codec whose residual blocks do something."""
    torch.manual_seed(0)
    codec = ComDefend(config).eval()
    with torch.no_grad():
        for parameter in codec.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return codec


@pytest.fixture(params=TINY)
def light(request) -> ComDefend:
    return grown(TINY[request.param])


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (7, 13), (225, 3)])
def test_any_size_works(light, size):
    x, s = torch.rand(2, 3, *size), light.config.downscale
    code = light.compress(x)
    assert code.shape == (2, 8, -(-size[0] // s), -(-size[1] // s))
    assert code.dtype == torch.uint8
    assert 0 < code.float().mean() < 1
    assert light.reconstruct(code).shape == (2, 3, s * code.shape[2], s * code.shape[3])
    x_hat = light.reconstruct(code, size)
    assert torch.equal(x_hat, light.reconstruct(code)[..., : size[0], : size[1]])
    assert torch.equal(light(x), x_hat)
    assert torch.allclose(light(x.requires_grad_()), x_hat, atol=1e-6)


def test_what_is_padded_is_the_border_repeated(light):
    side = 4 * light.config.downscale
    x = torch.rand(1, 3, side - 1, side - 1)
    whole = torch.nn.functional.pad(x, (0, 1, 0, 1), "replicate")
    assert torch.equal(light.compress(x), light.compress(whole))


def test_a_size_of_another_picture_is_refused(light):
    code = light.compress(torch.rand(1, 3, 16, 16))
    with pytest.raises(ShapeError, match=r"not one of pictures of \(17, 16\)"):
        light.reconstruct(code, (17, 16))


def test_tiles_give_what_the_whole_gives(monkeypatch, light):
    x = torch.rand(1, 3, 70, 90)
    y = x.clone().requires_grad_()
    whole, code = light(x), light.compress(x)
    light(y).square().sum().backward()
    monkeypatch.setattr("model.tiling.tiled.__defaults__", (8,))
    z = x.clone().requires_grad_()
    assert torch.equal(light.compress(x), code)
    assert torch.allclose(light(x), whole, atol=1e-5)
    light(z).square().sum().backward()
    assert torch.allclose(z.grad, y.grad, atol=1e-4)
    assert z.grad.abs().max() > 1e-3


def test_a_pixel_reaches_no_further_than_its_margin(light):
    """The margin that tiles have is enough: squares further away do not depend on a pixel."""
    s, depth = light.config.downscale, light.com.depth
    x = torch.rand(1, 3, s * (2 * depth + 3), s * (2 * depth + 3))
    y = x.clone()
    y[..., 0, 0] = 1 - y[..., 0, 0]
    changed = (light.logits(x) != light.logits(y)).any(1)[0]
    assert changed[0, 0]
    assert not changed[depth + 1 :].any()
    assert not changed[:, depth + 1 :].any()


def test_logits_are_bounded_whatever_the_weights(light):
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        for parameter in light.com.parameters():
            parameter.mul_(3)
    logits = light.logits(x)
    assert torch.allclose(logits.square().mean(1), torch.ones(1), atol=1e-3)
    assert logits.abs().max() <= 8**0.5 + 1e-4


def test_the_surrogate_lets_a_gradient_through_however_large_the_weights(light):
    """With tanh, or nothing at all, in the place of the normalisation there would be none left."""
    x = torch.rand(1, 3, 32, 32)
    shares = []
    for _ in range(2):
        y = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(light(y).sum(), y)
        shares.append((slope.abs() > 1e-9).float().mean().item())
        with torch.no_grad():
            light.com.get_submodule(f"conv{light.com.depth - 1}").weight.mul_(1000)
    assert min(shares) > 0.95


def test_nothing_is_to_be_measured_or_widened(light):
    x, before = torch.rand(2, 3, 32, 32), light.config
    weight = light.com.conv0.weight.clone()
    light.measure_surrogate(x)
    widen(light, x, 80.0)
    assert light.config == before
    assert light.config.surrogate_width == 1
    assert torch.equal(light.com.conv0.weight, weight)


@pytest.mark.parametrize("planes", [1, 5, 8])
def test_planes_can_be_dropped(light, planes):
    x = torch.rand(2, 3, 19, 18)
    kept = light.compress(x, planes)
    assert torch.equal(kept[:, :planes], light.compress(x)[:, :planes])
    assert kept[:, planes:].sum() == 0
    assert torch.equal(light(x, planes=planes), light.reconstruct(kept, (19, 18)))
    y = x.clone().requires_grad_()
    light(y, planes=planes).sum().backward()
    first = light.rec.conv0.weight.grad
    assert y.grad.count_nonzero() == y.numel()
    assert first[:, :planes].any(3).any(2).any(0).tolist() == [True] * planes


def test_where_nobody_says_a_codec_keeps_as_many_planes_as_it_is_meant_to(light):
    meant = ComDefend(replace(light.config, kept=3))
    meant.load_state_dict(light.state_dict())
    x = torch.rand(2, 3, 19, 18)
    assert (light.kept, meant.kept) == (8, 3)
    assert torch.equal(meant.compress(x), light.compress(x, 3))
    assert torch.equal(meant.compress(x, 8), light.compress(x))
    assert torch.equal(meant(x), light(x, planes=3))
    assert torch.equal(meant(x, planes=8), light(x))
    with torch.no_grad():
        assert torch.equal(meant(x), meant.reconstruct(meant.compress(x), (19, 18)))
    assert torch.allclose(meant.hardening_forward(x, 1.0), meant(x), atol=1e-6)
    assert (Codec(meant).planes, Codec(meant, 8).planes) == (3, 8)
    assert torch.equal(Codec(meant, 8).code(x), light.compress(x))


def test_each_surrogate_has_a_gradient_of_its_own(light):
    x = torch.rand(1, 3, 16, 16)
    slopes = []
    for surrogate in ops.SURROGATES:
        y = x.clone().requires_grad_()
        found = light(y, surrogate)
        assert torch.allclose(found, light(x), atol=1e-6)
        slopes.append(torch.autograd.grad(found.sum(), y)[0])
    assert not torch.allclose(slopes[0], slopes[1])
    assert not torch.allclose(slopes[1], slopes[2])


def test_a_packed_code_tells_the_pictures_size(light):
    x = torch.rand(1, 3, 21, 30)
    code = light.compress(x)
    found = ops.unpack(ops.pack_code(code[0], (21, 30)))
    assert found.size == (21, 30)
    assert torch.equal(light.reconstruct(found.code[None], found.size), light(x))
    assert ops.unpack(ops.pack_code(code[0])).size is None
    with pytest.raises(ops.CodeError, match=r"cannot be one of a picture of \(2, 30\)"):
        ops.unpack(ops.pack_code(code[0], (2, 30)))


def test_saved_and_loaded_it_is_the_same(light, tmp_path):
    light.save_pretrained(tmp_path)
    again = ComDefend.from_pretrained(tmp_path)
    x = torch.rand(1, 3, 9, 30)
    assert again.config == light.config
    assert torch.equal(again(x), light(x))


def test_a_configuration_without_the_light_entries_is_the_papers():
    old = {"com_widths": [4, 12], "rec_widths": [4, 3], "sigma": 20.0, "surrogate_width": 20.0}
    config = CodecConfig.from_dict(old)
    assert config == CodecConfig((4, 12), (4, 3))
    assert (config.downscale, config.residual, config.activation, config.bounded) == (1, False, "elu", False)
    assert config.kept is None
    assert json.loads(json.dumps(config.to_dict())).keys() > old.keys()
    with pytest.raises(ConfigError, match="missing entries \\['sigma'\\]"):
        CodecConfig.from_dict({key: value for key, value in old.items() if key != "sigma"})


@pytest.mark.parametrize(
    "entries",
    [{"downscale": 3}, {"downscale": 2.0}, {"rec_widths": (16, 3)}, {"com_widths": (16, 16, 8)},
     {"rec_widths": (16, 8, 16, 48)}, {"residual": 1}, {"activation": "relu"}, {"bounded": "yes"},
     {"surrogate_width": 2.0}],
)  # fmt: skip
def test_impossible_light_shapes_are_refused_by_name(entries):
    (name,) = entries
    with pytest.raises(ConfigError, match=name):
        replace(TINY[4], **entries)


def test_what_it_costs():
    paper, photo, small = CodecConfig(), PhotoTask.network, SmallTask.network
    assert paper.multiply_adds == 1_565_280
    assert paper.bits_per_pixel == 12
    assert max(photo.multiply_adds, small.multiply_adds) <= 100_000
    assert (photo.bits_per_pixel, small.bits_per_pixel) == (4, 6)
    codec = ComDefend(photo)
    counted = sum(m.weight.numel() for m in codec.modules() if isinstance(m, torch.nn.Conv2d)) / 16
    assert photo.multiply_adds == counted


def test_a_residual_block_starts_as_nothing():
    torch.manual_seed(0)
    codec = ComDefend(TINY[2])
    x = torch.rand(1, 12, 8, 8)
    first, last = codec.rec.conv0, codec.rec.get_submodule(f"conv{codec.rec.depth - 1}")
    code = torch.rand(1, 8, 8, 8)
    assert torch.allclose(codec.rec(code), last(torch.nn.functional.gelu(first(code))))
    assert codec.com(x).shape == (1, 8, 8, 8)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_part_of_the_bits_is_hard(share):
    logits = torch.randn(2, 8, 20, 20, generator=torch.Generator().manual_seed(0)).requires_grad_()
    code = ops.partly_hard(logits, 0.5, share, torch.Generator().manual_seed(1))
    soft, hard = ops.soft_code(logits, 0.5), (logits > 0).float()
    is_hard = (code == hard) & (code != soft)
    assert is_hard.float().mean().item() == pytest.approx(share, abs=0.03)
    assert torch.equal(code[~is_hard], soft[~is_hard])
    (slope,) = torch.autograd.grad(code.sum(), logits)
    (wanted,) = torch.autograd.grad(soft.sum(), logits)
    assert torch.allclose(slope, wanted)


def test_the_hardening_pass_ends_as_the_codec_itself(light):
    x, planes = torch.rand(3, 3, 18, 21), torch.tensor([8, 3, 5])
    generator = torch.Generator().manual_seed(0)
    assert torch.allclose(
        light.hardening_forward(x, 1.0, planes, generator), light(x, planes=planes), atol=1e-6
    )
    assert torch.allclose(light.hardening_forward(x, 1.0), light(x), atol=1e-6)
    soft = light.hardening_forward(x, 0.0)
    assert soft.shape == x.shape
    assert (soft - light(x)).abs().max() > 1e-3
