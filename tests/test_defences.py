import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from model import ComDefend, defences, files, pretrained
from model.config import CodecConfig
from model.defences import (
    DEFENCES,
    BitDepth,
    Codec,
    Defence,
    GaussianNoise,
    Jpeg,
    JpegByNoise,
    Median,
    UnknownDefenceError,
    load_authors,
    load_defence,
)
from model.files import WeightsError
from tests.conftest import TINY_CODEC


def build(name: str, codec: ComDefend) -> Defence:
    return Codec(codec, about="by hand") if name == "codec" else load_defence(name)


@pytest.mark.parametrize("name", [*DEFENCES, "codec"])
def test_every_defence_gives_pictures_back(name, codec, pictures):
    defence = build(name, codec)
    copy = pictures.clone()
    defended = defence(pictures)
    assert defended.shape == pictures.shape
    assert defended.dtype == torch.float32
    assert 0 <= defended.min() <= defended.max() <= 1
    assert torch.equal(pictures, copy)
    assert torch.equal(defended, pictures) == (name == "none")
    assert defence.about


@pytest.mark.parametrize("name", [*DEFENCES, "codec"])
def test_every_defence_passes_a_gradient_that_does_not_change_its_values(name, codec, pictures):
    defence = build(name, codec)
    torch.manual_seed(0)
    hard = defence(pictures)
    for gradient in defence.gradients:
        defence.gradient = gradient
        x = pictures.clone().requires_grad_()
        torch.manual_seed(0)
        defended = defence(x)
        assert torch.allclose(defended, hard, atol=1e-6)
        slope = torch.randn(defended.shape, generator=torch.Generator().manual_seed(1))
        (found,) = torch.autograd.grad((defended * slope).sum(), x)
        assert (found != 0).float().mean() > 0.3  # the median passes it to the pixel that it took
        if gradient == "identity" and name != "codec":
            assert torch.equal(found, slope)


@pytest.mark.parametrize("name", [*DEFENCES, "codec"])
def test_the_order_of_channels_in_memory_does_not_matter(name, codec, pictures):
    defence = build(name, codec)
    torch.manual_seed(0)
    wanted = defence(pictures)
    torch.manual_seed(0)
    defended = defence(pictures.contiguous(memory_format=torch.channels_last))
    if name != "noise-8":  # its numbers are drawn in the order of the memory
        assert torch.allclose(defended, wanted, atol=1e-6)


def test_the_codecs_stand_ins_differ(codec, pictures):
    defence = Codec(codec)

    def slope(gradient: str) -> torch.Tensor:
        defence.gradient = gradient
        x = pictures.clone().requires_grad_()
        return torch.autograd.grad(defence(x).sum(), x)[0]

    assert defence.gradients == ("gaussian", "sigmoid", "identity")
    assert defence.gradient == "gaussian"
    first, second, third = map(slope, defence.gradients)
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, third)


def test_a_codec_may_keep_some_planes_only(codec, pictures):
    defence = Codec(codec, planes=5)
    assert torch.equal(defence(pictures), codec.reconstruct(codec.compress(pictures, 5)))
    assert torch.equal(defence.code(pictures), codec.compress(pictures)[:, :5])
    assert torch.equal(Codec(codec).code(pictures), codec.compress(pictures))
    for planes in (0, 13):
        with pytest.raises(UnknownDefenceError, match=f"1 to 12 planes, not {planes}"):
            Codec(codec, planes=planes)


@pytest.mark.parametrize("quality", [1, 40, 75, 95])
def test_jpeg_against_pillow(pictures, quality):
    for picture, defended in zip(pictures, Jpeg(quality)(pictures), strict=True):
        file = io.BytesIO()
        array = (picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(array).save(file, format="JPEG", quality=quality)
        with Image.open(file) as image:
            wanted = np.asarray(image.convert("RGB"))
        assert np.array_equal((defended.permute(1, 2, 0).numpy() * 255).round(), wanted)


@pytest.mark.parametrize("bits", [1, 3, 5])
def test_bit_depth_leaves_so_many_levels(bits):
    every = torch.arange(256).view(1, 1, 16, 16).expand(1, 3, 16, 16) / 255
    defended = BitDepth(bits)(every)
    levels = defended.unique()
    assert levels.tolist() == pytest.approx([n / (2**bits - 1) for n in range(2**bits)])
    assert (defended - every).abs().max() <= 0.5 / (2**bits - 1) + 1e-6
    assert f"{bits} bits" in BitDepth(bits).about


def test_the_median_against_a_loop(pictures):
    x = pictures[:2, :, :7, :9]
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    wanted = np.empty_like(x.numpy())
    for row in range(7):
        for column in range(9):
            wanted[:, :, row, column] = np.median(padded[:, :, row : row + 3, column : column + 3], (2, 3))
    assert np.array_equal(Median()(x).numpy(), wanted)


def test_noise_has_its_deviation_and_follows_the_seed():
    grey = torch.full((4, 3, 64, 64), 0.5)
    defence = GaussianNoise(8 / 255)
    torch.manual_seed(3)
    first = defence(grey)
    second = defence(grey)
    torch.manual_seed(3)
    assert torch.equal(defence(grey), first)
    assert not torch.equal(second, first)
    assert (first - grey).std().item() == pytest.approx(8 / 255, rel=0.02)
    assert (first - grey).mean().item() == pytest.approx(0, abs=5e-4)


def test_only_the_noise_says_that_it_is_noisy_and_only_a_codec_that_it_is_learned(codec):
    found = {name: load_defence(name) for name in DEFENCES} | {"codec": Codec(codec)}
    assert [name for name, defence in found.items() if defence.noisy] == ["noise-8"]
    assert [name for name, defence in found.items() if defence.learned] == ["codec"]


def test_jpeg_knows_every_quality_by_name():
    assert load_defence("jpeg-40").quality == 40
    assert load_defence("jpeg-75").quality == 75
    assert "quality 95" in load_defence("jpeg-95").about


def test_jpeg_at_a_lower_quality_for_pictures_that_look_noisy():
    generator = torch.Generator().manual_seed(0)
    quiet = torch.linspace(0.2, 0.8, 40).expand(1, 3, 32, 40)
    noisy = quiet + 4 / 255 * torch.randn(quiet.shape, generator=generator)
    pictures = torch.cat([quiet, noisy, quiet])
    defence = load_defence("jpeg-90-10")
    assert isinstance(defence, JpegByNoise)
    assert "quality 90, 10 of a noisy picture" in defence.about
    defended = defence(pictures)
    assert torch.equal(defended[::2], Jpeg(90)(pictures[::2]))
    assert torch.equal(defended[1:2], Jpeg(10)(noisy))
    slopes = []
    for gradient in defence.gradients:
        defence.gradient = gradient
        x = pictures.clone().requires_grad_()
        attacked = defence(x)
        assert torch.allclose(attacked, defended, atol=1e-6)
        slopes.append(torch.autograd.grad(attacked.square().sum(), x)[0])
        lower = Jpeg(10)
        lower.gradient = gradient
        alone = noisy.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(lower(alone).square().sum(), alone)
        assert torch.allclose(slopes[-1][1:2], wanted, atol=1e-5)
    assert not torch.allclose(slopes[0], slopes[2], atol=1e-3)


NO_DEFENCES = (
    *("jpeg-0", "jpeg-96", "jpeg-", "jpeg-75-", "jpeg-75-0", "jpeg-1-2-3", "jpeg-best", "jpeg-" + 5000 * "9"),
    *("magic", "noise-9", "magic:3"),
)


@pytest.mark.parametrize("name", NO_DEFENCES)
def test_an_unknown_name_is_answered_with_the_names(name):
    with pytest.raises(
        UnknownDefenceError, match=r"none, jpeg-75.*noise-8, comdefend-cifar10.*authors"
    ) as caught:
        load_defence(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("planes", ["", "six", "-1", 5000 * "9"])
def test_what_comes_after_the_colon_is_a_number_of_planes(planes):
    with pytest.raises(UnknownDefenceError, match=r"wants a number of planes after the colon$"):
        load_defence(f"comdefend-cifar10:{planes}")


@pytest.fixture
def saved(codec, tmp_path, monkeypatch):
    """The tiny codec as ``comdefend-cifar10`` of a repository of the test."""
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    folder = tmp_path / "comdefend-cifar10"
    codec.save_pretrained(folder)
    return folder


def test_a_codec_is_found_by_its_name_and_by_its_folder(saved, codec, pictures):
    for name in ("comdefend-cifar10", str(saved)):
        defence = load_defence(name)
        assert torch.equal(defence(pictures), codec(pictures))
        assert defence.digest == files.file_hash(saved / "model.safetensors")
        six = load_defence(f"{name}:6")
        assert torch.equal(six(pictures), codec.reconstruct(codec.compress(pictures, 6)))
        assert six.about.endswith("6 planes")
    assert load_defence("comdefend-cifar10").about == "ComDefend, the paper's loss"


@pytest.mark.parametrize(
    ("planes", "message"), [("many", "number of planes"), ("0", "not 0"), ("13", "not 13")]
)
def test_impossible_numbers_of_planes_are_refused(saved, planes, message):
    with pytest.raises(UnknownDefenceError, match=message):
        load_defence(f"comdefend-cifar10:{planes}")


def test_missing_weights_of_a_known_codec_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    with pytest.raises(WeightsError, match="comdefend-cifar10-purify"):
        load_defence("comdefend-cifar10-purify")


def test_a_defence_of_ones_own_is_one_line(monkeypatch, pictures):
    class Negative(Defence):
        about = "the negative"

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 1 - x

    monkeypatch.setitem(defences.DEFENCES, "negative", Negative)
    assert torch.equal(load_defence("negative")(pictures), 1 - pictures)
    assert load_defence("negative").digest is None


def test_the_authors_weights_want_their_file(tmp_path):
    with pytest.raises(UnknownDefenceError, match=r"--authors FILE\.safetensors"):
        load_defence("authors")
    with pytest.raises(WeightsError, match="is missing"):
        load_defence("authors", tmp_path / "nothing.safetensors")


def test_the_authors_weights_are_the_papers_network_with_a_gradient_as_wide_as_their_logits(tmp_path):
    torch.manual_seed(0)
    theirs = ComDefend(CodecConfig())
    with torch.no_grad():
        theirs.com.conv8.weight.mul_(1000)
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    x = torch.rand(2, 3, 16, 16)
    wide = theirs.logits(x).abs().flatten().quantile(0.25).item()
    assert wide > 25
    found = load_authors(file, x)
    assert not found.training
    assert found.config.surrogate_width == pytest.approx(wide, abs=0.06)
    assert replace(found.config, surrogate_width=20.0) == CodecConfig()
    assert torch.equal(found(x), theirs.eval()(x))
    assert load_authors(file).config.surrogate_width == CodecConfig().sigma
    defence = load_defence("authors", file, x)
    assert defence.codec.config == found.config
    assert defence.digest == files.file_hash(file)


def test_authors_weights_of_another_shape_do_not_fit(tmp_path):
    ComDefend(TINY_CODEC).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"tensor com\.conv2\.bias is missing"):
        load_authors(tmp_path / "model.safetensors")
