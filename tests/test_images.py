import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from app.images import ImageError, full_size, open_picture, prepare, to_picture


def saved(tmp_path, image: Image.Image, name: str, **options) -> str:
    path = tmp_path / name
    image.save(path, **options)
    return str(path)


def test_no_picture_is_one_sentence():
    with pytest.raises(ImageError, match="Choose a picture first"):
        open_picture(None)


def test_transparency_is_laid_on_white(tmp_path):
    image = Image.new("RGBA", (8, 8), (0, 0, 255, 0))
    assert open_picture(saved(tmp_path, image, "a.png")).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30] * 256)
    path = saved(tmp_path, palette, "p.png", transparency=0)
    assert open_picture(path).getpixel((0, 0)) == (255, 255, 255)


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (8, 16), "red")
    exif = Image.Exif()
    exif[274] = 6
    assert open_picture(saved(tmp_path, image, "r.jpg", exif=exif)).size == (16, 8)


def test_sixteen_bit_grey_keeps_its_levels(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    picture = open_picture(saved(tmp_path, Image.fromarray(ramp), "deep.png"))
    levels = np.asarray(picture)[..., 0]
    assert levels.min() == 0
    assert levels.max() == 255
    assert len(np.unique(levels)) == 64


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floating_point_grey_is_read_by_its_range(tmp_path, white):
    ramp = np.linspace(0, white, 64, dtype=np.float32).reshape(8, 8)
    levels = np.asarray(open_picture(saved(tmp_path, Image.fromarray(ramp), "f.tiff")))[..., 0]
    assert levels.min() == 0
    assert levels.max() == 255
    assert len(np.unique(levels)) == 64


def test_a_dark_sixteen_bit_picture_stays_dark(tmp_path):
    dark = np.full((8, 8), 200, np.uint16)
    assert open_picture(saved(tmp_path, Image.fromarray(dark), "d.png")).getpixel((0, 0)) == (1, 1, 1)


@pytest.mark.parametrize("mode", ["L", "CMYK", "1", "P", "LA"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    image = Image.new("RGB", (8, 8), (200, 30, 30)).convert("L" if mode == "LA" else mode)
    name = "c.jpg" if mode == "CMYK" else "m.png"
    picture = open_picture(saved(tmp_path, image.convert(mode), name))
    assert picture.mode == "RGB"
    assert picture.size == (8, 8)


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert open_picture(path).getpixel((0, 0)) == (255, 0, 0)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "fake.png").write_text("hello")
    with pytest.raises(ImageError, match="not a picture"):
        open_picture(tmp_path / "fake.png")
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    (tmp_path / "half.jpg").write_bytes(buffer.getvalue()[:200] + b"\0" * 20)
    with pytest.raises(ImageError, match=r"damaged|not a picture"):
        open_picture(tmp_path / "half.jpg")


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "message"),
    [((20000, 20000), "pixels"), ((8000, 8000), "limit is 40"), ((1, 1), "at least 4")],
)
def test_too_large_and_too_small_are_refused(tmp_path, size, message):
    (tmp_path / "bomb.png").write_bytes(bomb(*size))
    with pytest.raises(ImageError, match=message):
        open_picture(tmp_path / "bomb.png")


def test_a_picture_of_the_right_size_is_left_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    x = prepare(Image.fromarray(pixels), 32)
    assert x.shape == (1, 3, 32, 32)
    assert np.array_equal(np.asarray(to_picture(x)), pixels)
    assert torch.equal((x * 255).round() / 255, x)


def test_a_wide_picture_is_cropped_to_its_centre():
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, 32:64] = 255
    assert prepare(Image.fromarray(pixels), 32).min() == 1


def test_full_size_and_back():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(to_picture(full_size(Image.fromarray(pixels))[0])), pixels)
