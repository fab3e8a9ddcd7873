import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from model.metrics import psnr, ssim, wilson_interval


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 32, 32, generator=generator)
    return x, (x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def test_psnr_against_scikit_image(pair):
    for x, y, value in zip(*pair, psnr(*pair), strict=True):
        wanted = peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1.0)
        assert value.item() == pytest.approx(wanted, abs=1e-4)


def test_psnr_of_equal_pictures_is_infinite(pair):
    assert psnr(pair[0], pair[0]).tolist() == [float("inf")] * 2


def test_ssim_against_scikit_image(pair):
    for x, y, value in zip(*pair, ssim(*pair), strict=True):
        # Its mean leaves out a border as wide as the window reaches; ours computes no border.
        wanted = structural_similarity(
            x.numpy().astype(np.float64), y.numpy().astype(np.float64), data_range=1.0, channel_axis=0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        assert value.item() == pytest.approx(wanted, abs=1e-3)


def test_ssim_of_equal_and_of_tiny_pictures(pair):
    assert ssim(pair[0], pair[0]).tolist() == pytest.approx([1, 1])
    small = torch.rand(1, 3, 4, 6)
    assert ssim(small, small).item() == pytest.approx(1)


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (10, 10), (7, 10), (893, 1000)])
def test_wilson_against_scipy(successes, count):
    wanted = binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, count) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_wilson_refuses_nonsense():
    with pytest.raises(ValueError, match="11 of 10"):
        wilson_interval(11, 10)
    with pytest.raises(ValueError, match="0 of 0"):
        wilson_interval(0, 0)
