import numpy as np
import pytest
import torch
from PIL import Image

from app import figures


def test_the_magnification_fills_the_range():
    x = torch.full((1, 3, 4, 4), 0.5)
    moved = x.clone()
    moved[0, 0, 0, 0] += 8 / 255
    assert figures.magnification(x, moved) == 15
    assert figures.magnification(x, x) == 1
    pixels = np.asarray(figures.perturbation(x, moved))
    assert pixels[0, 0].tolist() == [248, 128, 128]
    assert pixels[1, 1].tolist() == [128, 128, 128]


def test_a_few_edges_do_not_hide_the_rest_of_a_difference():
    x = torch.full((1, 3, 10, 10), 0.5)
    rebuilt = x + 0.05
    rebuilt[0, :, 0, 0] = 1
    shown, factor = figures.difference(x, rebuilt)
    assert factor in (9, 10)  # 0.5 / 0.05, which is a little less in floating point
    assert np.asarray(shown)[0, 0].tolist() == [255, 255, 255]  # clipped
    assert np.asarray(shown)[5, 5, 0] == round(255 * (0.5 + factor * 0.05))
    assert figures.difference(x, x)[1] == 1


def test_the_mosaic_shows_each_plane():
    code = torch.zeros(1, 12, 128, 128, dtype=torch.uint8)
    code[0, 5] = 1  # second row, second column
    pixels = np.asarray(figures.code_mosaic(code))
    assert pixels.shape == (3 * 132 - 4, 4 * 132 - 4, 3)
    assert (pixels[132:260, 132:260] == 255).all()
    assert (pixels[0:128, 0:128] == 0).all()
    assert (pixels[129, :] == pixels[129, 0]).all()
    assert 0 < pixels[129, 0, 0] < 255


def test_small_planes_are_enlarged_with_hard_pixels():
    code = torch.tensor([[0, 1], [1, 0]], dtype=torch.uint8).view(1, 1, 2, 2)
    pixels = np.asarray(figures.code_mosaic(code))[..., 0]
    assert pixels.shape == (128, 128)
    assert set(pixels[:64, 64:].flatten()) == {255}
    assert set(pixels.flatten()) == {0, 255}


def test_flipped_bits_have_a_colour_for_each_direction():
    before = torch.zeros(1, 1, 128, 128, dtype=torch.uint8)
    before[..., :2] = 1
    after = before.clone()
    after[0, 0, 0, 0], after[0, 0, 0, 5] = 0, 1
    pixels = np.asarray(figures.code_mosaic(after, before)) / 255
    assert pixels[0, 0] == pytest.approx(figures.LOWERED, abs=0.003)
    assert pixels[0, 5] == pytest.approx(figures.RAISED, abs=0.003)
    assert pixels[0, 1].tolist() == [1, 1, 1]
    assert pixels[0, 6].tolist() == [0, 0, 0]


@pytest.mark.parametrize("planes", [1, 3])
def test_planes_that_the_other_code_lacks_are_black_and_white(planes):
    before = torch.zeros(1, planes, 128, 128, dtype=torch.uint8)
    after = torch.ones(1, 2, 128, 128, dtype=torch.uint8)
    pixels = np.asarray(figures.code_mosaic(after, before)) / 255
    assert pixels[0, 0] == pytest.approx(figures.RAISED, abs=0.003)
    second = figures.RAISED if planes > 1 else (1, 1, 1)
    assert pixels[0, -1] == pytest.approx(second, abs=0.003)


def test_what_is_cut_away_is_darkened():
    picture = Image.new("RGB", (640, 320), (200, 100, 100))
    shown = figures.crop_preview(picture, picture.size, (160, 0, 480, 320))
    assert shown.size == (320, 160)
    assert shown.getpixel((160, 80)) == (200, 100, 100)
    assert shown.getpixel((40, 80)) == (60, 30, 30)


@pytest.mark.parametrize("size", [(4, 2700), (2700, 4), (10, 6000), (5000, 4)])
def test_of_a_very_long_picture_a_pixel_is_shown(size):
    side, (width, height) = min(size), size
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    shown = figures.crop_preview(Image.new("RGB", size, "red"), size, box)
    assert max(shown.size) == 320
    assert (255, 255, 255) in {colour for _, colour in shown.getcolors()}
    corner = (width, height, width, height)
    figures.crop_preview(Image.new("RGB", size), size, corner)  # at the very edge, too


@pytest.mark.parametrize(("planes", "rows", "columns"), [(12, 3, 4), (64, 8, 8), (192, 14, 14)])
def test_many_planes_make_about_a_square(planes, rows, columns):
    code = torch.ones(1, planes, 56, 56, dtype=torch.uint8)
    shown = figures.code_mosaic(code)
    gap, side = (3, 112) if planes <= figures.MANY else (2, 56)
    assert shown.size == (columns * (side + gap) - gap, rows * (side + gap) - gap)
