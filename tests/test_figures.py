import numpy as np
import torch

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


def test_the_mosaic_shows_each_plane():
    code = torch.zeros(1, 12, 4, 4, dtype=torch.uint8)
    code[0, 5] = 1  # second row, second column
    pixels = np.asarray(figures.code_mosaic(code, gap=2))
    assert pixels.shape == (3 * 6 - 2, 4 * 6 - 2, 3)
    assert (pixels[6:10, 6:10] == 255).all()
    assert (pixels[0:4, 0:4] == 0).all()
    assert (pixels[4, :] == pixels[4, 0]).all()
    assert 0 < pixels[4, 0, 0] < 255
