"""How noisy a picture is, and how many planes of its code are kept for that."""

import json
import math
from dataclasses import replace

import pytest
import torch
from PIL import Image

from app.images import prepare
from app.uploads import EXAMPLES
from model import ComDefend
from model.config import CodecConfig, ConfigError, in_words
from model.defences import Codec
from model.noise import noise_level
from model.ops import turned_bits
from tests.conftest import TINY_LIGHT

DIAL = ((0, 8), (0.7, 4), (1.4, 1))


def photograph() -> torch.Tensor:
    """A clean one, (1,3,224,224)."""
    return prepare(Image.open(EXAMPLES / "espresso.jpg").convert("RGB"), 224, 0.875)


def under_noise(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Under white noise of so many 1/255."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + sigma / 255 * noise).clamp(0, 1)


@pytest.fixture
def dialled() -> ComDefend:
    torch.manual_seed(0)
    return ComDefend(replace(TINY_LIGHT, kept=DIAL)).eval().requires_grad_(False)


@pytest.mark.parametrize("sigma", [0.5, 2, 8])
def test_white_noise_on_a_grey_picture_is_measured(sigma):
    """From the lowest of the patches, so a little low."""
    level = 255 * noise_level(under_noise(torch.full((2, 3, 96, 64), 0.5), sigma))
    assert level.shape == (2,)
    assert (level > 0.6 * sigma).all()
    assert (level < 1.05 * sigma).all()


@pytest.mark.parametrize("name", ["espresso", "house-cat", "photographer", "rocket"])
def test_photographs_are_clean_and_attacked_ones_are_not(name):
    x = prepare(Image.open(EXAMPLES / f"{name}.jpg").convert("RGB"), 224, 0.875)
    signs = torch.where(torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5, -1, 1)
    clean, weak, strong = (255 * noise_level((x + step / 255 * signs).clamp(0, 1)) for step in (0, 2, 8))
    assert clean < 0.5
    assert 0.7 < weak < strong
    assert strong > 2.5


def test_a_ramp_is_no_noise():
    ramp = torch.linspace(0.1, 0.9, 64).expand(1, 3, 64, 64)
    assert noise_level(ramp) < 1e-6
    assert noise_level(ramp.transpose(2, 3)) < 1e-6


@pytest.mark.parametrize("x", [torch.rand(2, 3, 9, 40), torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 32, 32)])
def test_where_there_is_nothing_to_measure_there_is_no_noise(x):
    assert noise_level(x).tolist() == [0, 0]


def test_black_borders_do_not_hide_noise():
    x = under_noise(photograph(), 4)
    bordered = x.clone()
    bordered[..., :40], bordered[..., -40:] = 0, 1
    assert noise_level(bordered).item() == pytest.approx(noise_level(x).item(), rel=0.2)


def test_a_picture_is_measured_by_itself():
    x = torch.cat([under_noise(photograph(), sigma) for sigma in (0, 2, 8)])
    alone = torch.cat([noise_level(one) for one in x.split(1)])
    assert torch.equal(noise_level(x), alone)


def test_the_noisier_a_picture_the_fewer_planes_are_kept(dialled):
    x = torch.cat([under_noise(photograph(), sigma) for sigma in (0, 1.3, 4)])
    assert dialled.kept is None
    kept = dialled.kept_of(x)
    assert kept.tolist() == [8, 4, 1]
    assert dialled.kept_of(x, 3) == 3
    code = dialled.compress(x)
    for one, planes in zip(code, kept.tolist(), strict=True):
        assert one[:planes].any()
        assert not one[planes:].any()
    each = [dialled(one, planes=planes) for one, planes in zip(x.split(1), kept.tolist(), strict=True)]
    with torch.no_grad():
        assert torch.allclose(dialled(x), torch.cat(each), atol=1e-6)
    assert torch.allclose(dialled(x.requires_grad_()), torch.cat(each), atol=1e-6)


def test_the_first_noise_of_a_pair_is_the_pairs_own(dialled):
    level = 255 * noise_level(under_noise(photograph(), 2)).item()
    for noise, kept in ((level, 2), (math.nextafter(level, 99) + 1e-5, 8)):
        dialled.config = replace(dialled.config, kept=((0, 8), (noise, 2)))
        assert dialled.kept_of(under_noise(photograph(), 2)).tolist() == [kept]


def test_an_attacker_who_knows_all_gets_a_gradient(dialled):
    x = under_noise(photograph(), 2).requires_grad_()
    dialled(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_a_defence_keeps_as_many_as_each_picture_wants(dialled):
    defence = Codec(dialled)
    assert defence.planes is None
    x = torch.cat([under_noise(photograph(), sigma) for sigma in (1.3, 4)])
    assert [defence.kept(one) for one in x.split(1)] == [4, 1]
    code = defence.code(x)
    assert code.shape == (2, 4, 56, 56)
    assert not code[1, 1:].any()
    assert Codec(dialled, 6).code(x).shape[1] == 6


def test_bits_are_compared_where_both_codes_have_them():
    few, many = torch.zeros(1, 2, 3, 3, dtype=torch.uint8), torch.ones(1, 5, 3, 3, dtype=torch.uint8)
    many[0, 1] = 0
    for turned in (turned_bits(few, many), turned_bits(many, few)):
        assert turned.shape == (1, 2, 3, 3)
        assert turned[0, 0].all()
        assert not turned[0, 1].any()


def test_such_a_codec_survives_json():
    config = replace(TINY_LIGHT, kept=DIAL)
    assert CodecConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert in_words(DIAL) == "8 planes, 4 from a noise of 0.7/255 on, 1 from a noise of 1.4/255 on"


@pytest.mark.parametrize(
    "kept",
    [[], [[0.5, 8]], [[0, 8], [0, 4]], [[0, 8], [2, 4], [1, 2]], [[0, 9]], [[0, 0]], [[0, 8.0]], [[0]],
     json.loads("[" * 900 + "]" * 900), [[0, 8], [float("nan"), 4]], [[0, 8], ["1", 4]],
     [0, 8], "16", [[0, True]], {"0": 8}],
)  # fmt: skip
def test_an_impossible_dial_is_refused(kept):
    with pytest.raises(ConfigError, match="kept must be 1 to 8 planes"):
        CodecConfig.from_dict({**TINY_LIGHT.to_dict(), "kept": kept})
