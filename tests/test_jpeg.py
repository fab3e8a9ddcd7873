import io

import numpy as np
import pytest
import torch
from PIL import Image

from model.data import to_float
from model.defences import Jpeg
from model.jpeg import jpeg, no_round, soft_round
from tests.conftest import PHOTOGRAPH


def pillow(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image).astype(float)


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    with Image.open(PHOTOGRAPH) as image:
        return np.asarray(image.convert("RGB").resize((72, 48)))


def error(picture: np.ndarray, quality: int) -> float:
    """Mean difference to Pillow's JPEG, in levels."""
    x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
    found = jpeg(x, quality, torch.round)[0].permute(1, 2, 0).numpy() * 255
    wanted = pillow(picture, quality)
    assert found.shape == wanted.shape
    return np.abs(found - wanted).mean()


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
@pytest.mark.parametrize("size", [(48, 72), (45, 67), (8, 8), (1, 1), (3, 17)])
def test_with_plain_rounding_it_is_what_pillow_gives(photograph, quality, size):
    picture = photograph[: size[0], : size[1]]
    assert error(np.repeat(picture[..., 1:2], 3, 2), quality) < 1
    assert error(picture, quality) < 4.5  # Pillow enlarges the colours smoothly


def test_its_rounding_has_the_values_of_rounding_nearly_and_a_slope():
    values = torch.tensor([-1.5, -0.3, 0.0, 0.2, 0.5, 2.9], requires_grad=True)
    found = soft_round(values)
    assert found.tolist() == pytest.approx([-1.875, -0.027, 0, 0.008, 0.125, 2.999], abs=1e-6)
    (slope,) = torch.autograd.grad(found.sum(), values)
    assert slope.tolist() == pytest.approx([0.75, 0.27, 0, 0.12, 0.75, 0.03], abs=1e-5)
    assert torch.equal(no_round(values), values)


@pytest.mark.parametrize("rounding", [soft_round, no_round])
@pytest.mark.parametrize("size", [16, 13])
def test_a_gradient_reaches_pictures_whatever_their_order_in_memory(rounding, size):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8, generator=generator)
    slopes = []
    for x in (to_float(images), to_float(images).contiguous()):
        compressed = jpeg(x.requires_grad_(), 50, rounding)
        slopes.append(torch.autograd.grad(compressed.square().sum(), x)[0])
    assert slopes[0].count_nonzero() == images.numel()  # the DCT spreads it
    assert torch.allclose(slopes[0], slopes[1], atol=1e-5)


def test_without_rounding_a_picture_without_colour_stays_what_it_is():
    grey = torch.rand(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.allclose(jpeg(grey, 50, no_round), grey, atol=1e-5)


def test_the_defences_stand_ins_differ_but_not_its_values(pictures):
    defence = Jpeg(50)
    wanted = defence(pictures)
    slopes = []
    for gradient in ("soft rounding", "no rounding", "identity"):
        defence.gradient = gradient
        x = pictures.clone().requires_grad_()
        compressed = defence(x)
        assert torch.allclose(compressed, wanted, atol=1e-6)
        slopes.append(torch.autograd.grad(compressed.square().sum(), x)[0])
    assert not torch.allclose(slopes[0], slopes[1], atol=1e-3)
    assert not torch.allclose(slopes[1], slopes[2], atol=1e-3)
    assert torch.allclose(slopes[2], 2 * wanted, atol=1e-5)
