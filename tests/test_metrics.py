import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, multinomial, norm
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from model.metrics import Means, paired_interval, psnr, ssim, wilson_interval


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


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "count"), [(0, 10), (10, 10), (7, 10), (0, 1), (1, 1), (893, 1000)])
def test_wilson_against_scipy(successes, count, confidence):
    wanted = binomtest(successes, count).proportion_ci(confidence, method="wilson")
    found = wilson_interval(successes, count, confidence)
    assert found == pytest.approx((wanted.low, wanted.high), abs=1e-9)


PAIRS = [(0, 0, 1), (1, 0, 1), (0, 0, 50), (3, 0, 8), (12, 30, 100), (50, 50, 100), (0, 1000, 1000)]


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize(("first", "second", "count"), PAIRS)
def test_the_paired_interval_is_walds_of_differences_with_one_more_of_each(first, second, count, confidence):
    differences = np.array([1] * (first + 1) + [-1] * (second + 1) + [0] * (count - first - second))
    half = norm.ppf(0.5 + confidence / 2) * differences.std() / math.sqrt(len(differences))
    wanted = max(-1, differences.mean() - half), min(1, differences.mean() + half)
    assert paired_interval(first, second, count, confidence) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("first", "second", "count"), PAIRS)
def test_the_paired_interval_holds_the_difference_and_turns_with_it(first, second, count):
    low, high = paired_interval(first, second, count)
    assert -1 <= low <= (first - second) / count <= high <= 1
    assert paired_interval(second, first, count) == pytest.approx((-high, -low))
    wider = paired_interval(first, second, count, 0.99)
    assert wider[0] <= low
    assert high <= wider[1]


def test_the_paired_interval_narrows_with_the_count():
    widths = [high - low for low, high in (paired_interval(n, 2 * n, 10 * n) for n in (1, 10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.04


@pytest.mark.parametrize(("first", "second"), [(0.2, 0.1), (0.05, 0.05), (0.5, 0.3)])
def test_the_paired_interval_covers_the_truth_about_as_often_as_it_says(first, second):
    count, covered = 30, 0.0
    for a in range(count + 1):
        for b in range(count + 1 - a):
            low, high = paired_interval(a, b, count)
            if low <= first - second <= high:
                covered += multinomial.pmf([a, b, count - a - b], count, [first, second, 1 - first - second])
    assert 0.94 < covered < 0.999


@pytest.mark.parametrize(("first", "second", "count"), [(-1, 0, 5), (0, -1, 5), (3, 3, 5), (0, 0, 0)])
def test_impossible_pairs_are_refused(first, second, count):
    with pytest.raises(ValueError, match=f"parts of {count}, got {first} and {second}"):
        paired_interval(first, second, count)


def test_wilson_refuses_nonsense():
    with pytest.raises(ValueError, match="11 of 10"):
        wilson_interval(11, 10)
    with pytest.raises(ValueError, match="0 of 0"):
        wilson_interval(0, 0)


def test_means_are_over_pictures_and_not_over_batches():
    means = Means()
    means.add(right=torch.tensor([True, False, False]), error=torch.tensor([1.0, 2.0, 3.0]))
    means.add(right=torch.tensor([True]), error=torch.tensor([10.0]))
    assert means.result() == {"right": 0.5, "error": 4.0}
