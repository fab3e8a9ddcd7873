import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from model.data import DataError, cutmix, load_photographs, load_split, random_crops, to_float


def test_a_folder_becomes_bytes_and_labels(dataset):
    data = load_split(dataset, "train")
    assert data.classes == ("blue", "red")
    assert data.images.shape == (32, 3, 32, 32)
    assert data.images.dtype == torch.uint8
    assert data.labels.tolist() == [0] * 16 + [1] * 16
    assert data.images[0, 2].float().mean() > data.images[0, 0].float().mean()  # blue, so RGB
    with Image.open(dataset / "train" / "blue" / "0.png") as image:
        assert np.array_equal(np.asarray(image), data.images[0].permute(1, 2, 0).numpy())


def test_a_sample_keeps_all_classes(dataset):
    sample = load_split(dataset, "train").every(4)
    assert len(sample) == 4
    assert set(sample.labels.tolist()) == {0, 1}
    assert len(load_split(dataset, "train").every(1000)) == 32


def test_batches_are_floats_in_order(dataset):
    data = load_split(dataset, "test")
    batches = list(data.batches(6))
    assert [len(x) for x, _ in batches] == [6, 6, 4]
    x = torch.cat([x for x, _ in batches])
    assert torch.equal((x * 255).round().byte(), data.images)
    assert 0 <= x.min() <= x.max() <= 1


def test_other_sizes_are_scaled_and_cropped(tmp_path):
    folder = tmp_path / "train" / "a"
    folder.mkdir(parents=True)
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 32:96] = 255
    Image.fromarray(pixels).save(folder / "wide.png")
    Image.fromarray(pixels[:8, :8]).convert("L").save(folder / "small.png")
    data = load_split(tmp_path, "train")
    assert data.images.shape == (2, 3, 32, 32)
    assert data.images[1, :, 4:-4, 4:-4].min() > 250  # only the white middle of the wide one is left


def test_small_grey_pictures_keep_their_size_and_have_three_equal_channels(tmp_path):
    ramp = np.arange(28 * 28, dtype=np.uint32).reshape(28, 28) % 256
    for name in ("0", "1"):
        folder = tmp_path / "test" / name
        folder.mkdir(parents=True)
        Image.fromarray(ramp.astype(np.uint8)).save(folder / "picture.png")
    data = load_split(tmp_path, "test")
    assert data.images.shape == (2, 3, 28, 28)
    assert all(np.array_equal(channel, ramp) for channel in data.images[0].numpy())
    assert data.classes == ("0", "1")


def test_a_file_may_name_the_classes(tmp_path):
    for split in ("train", "test"):
        for name in ("0", "1"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (8, 8)).save(tmp_path / split / name / "picture.png")
    names = tmp_path / "classes.txt"
    names.write_text("T-shirt/top\nankle boot\n")
    assert [load_split(tmp_path, split).classes for split in ("train", "test")] == [
        ("T-shirt/top", "ankle boot")
    ] * 2
    for wrong in ("trouser", "bag\nbag\n", "bag\n\n", "a\nb\nc"):
        names.write_text(wrong)
        with pytest.raises(DataError, match=r"classes\.txt must have 2 different names, a line each"):
            load_split(tmp_path, "test")


def test_what_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*train"):
        load_split(tmp_path, "train")
    (tmp_path / "train" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no pictures"):
        load_split(tmp_path, "train")
    (tmp_path / "train" / "a" / "fake.png").write_text("hello")
    with pytest.raises(DataError, match=r"fake\.png is not a readable picture"):
        load_split(tmp_path, "train")


def test_a_file_of_names_that_is_no_text_is_named(tmp_path):
    (tmp_path / "test" / "a").mkdir(parents=True)
    (tmp_path / "test" / "classes.txt").write_bytes("Möwe".encode("latin-1"))
    with pytest.raises(DataError, match=r"classes\.txt is not UTF-8"):
        load_split(tmp_path, "test")


@pytest.mark.parametrize("damage", ["content", "compressed"])
def test_a_damaged_archive_is_named(tmp_path, damage):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(buffer, "BMP")
    kind = zipfile.ZIP_DEFLATED if damage == "compressed" else zipfile.ZIP_STORED
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("one.bmp", buffer.getvalue())
    data = bytearray(path.read_bytes())
    data[600:700] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"one\.bmp is not a readable picture"):
        load_photographs(path, 32)


def test_pictures_are_upright(tmp_path):
    folder = tmp_path / "test" / "a"
    folder.mkdir(parents=True)
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 255  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side
    Image.fromarray(pixels).save(folder / "a.png", exif=exif)
    image = load_split(tmp_path, "test").images[0]
    assert image[:, :, 16:].min() == 255
    assert image[:, :, :16].max() == 0


def test_more_than_eight_bits_are_refused(tmp_path):
    folder = tmp_path / "test" / "a"
    folder.mkdir(parents=True)
    Image.fromarray(np.full((32, 32), 30000, np.uint16)).save(folder / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png has more than 8 bits"):
        load_split(tmp_path, "test")


def test_crops_are_parts_of_the_picture_or_its_mirror():
    picture = torch.arange(64).view(1, 1, 8, 8).expand(200, 3, 8, 8)
    crops = random_crops(picture, 5, torch.Generator().manual_seed(0))
    assert crops.shape == (200, 3, 5, 5)
    plain = {
        tuple(picture[0, 0, i : i + 5, j : j + 5].flatten().tolist()) for i in range(4) for j in range(4)
    }
    mirrored = {
        tuple(picture[0, 0, i : i + 5, j : j + 5].flip(1).flatten().tolist())
        for i in range(4) for j in range(4)
    }  # fmt: skip
    found = {tuple(crop[0].flatten().tolist()) for crop in crops}
    assert found == plain | mirrored


def test_padding_mirrors_the_border():
    row = torch.arange(4, dtype=torch.uint8).view(1, 1, 1, 4).expand(300, 1, 4, 4)
    crops = random_crops(row, 4, torch.Generator().manual_seed(0), padding=2)
    starts = {tuple(crop[0, 0].tolist()) for crop in crops}
    unflipped = {(2, 1, 0, 1), (1, 0, 1, 2), (0, 1, 2, 3), (1, 2, 3, 2), (2, 3, 2, 1)}
    assert starts == unflipped | {s[::-1] for s in unflipped}


def test_crops_follow_their_generator():
    x = torch.rand(8, 3, 16, 16)
    first = random_crops(x, 8, torch.Generator().manual_seed(3))
    assert torch.equal(first, random_crops(x, 8, torch.Generator().manual_seed(3)))


def test_to_float_is_channels_last():
    x = to_float(torch.full((2, 3, 4, 4), 255, dtype=torch.uint8))
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x.unique().tolist() == [1.0]


def test_pictures_are_split_off_evenly(dataset):
    data = load_split(dataset, "train")
    rest, own = data.split_off(8)
    assert (len(rest), len(own)) == (24, 8)
    assert own.labels.tolist() == [0] * 4 + [1] * 4
    everything = {picture.numpy().tobytes() for picture in data.images}
    parts = [{picture.numpy().tobytes() for picture in part.images} for part in (rest, own)]
    assert parts[0] | parts[1] == everything
    assert not parts[0] & parts[1]
    nothing = data.split_off(0)
    assert (len(nothing[0]), len(nothing[1])) == (32, 0)


def test_cutmix_pastes_boxes_and_tells_their_share():
    images = torch.arange(64, dtype=torch.uint8).view(64, 1, 1, 1).expand(64, 3, 32, 32)
    labels = torch.arange(64)
    mixed, others, own = cutmix(images, labels, 1.0, torch.Generator().manual_seed(0))
    for index in range(64):
        values = mixed[index].unique().tolist()
        assert set(values) <= {index, int(others[index])}
        kept = (mixed[index] == index).float().mean().item()
        assert kept == pytest.approx(1.0 if others[index] == index else own[index].item(), abs=1e-6)
    assert 0.2 < own.mean() < 0.8
    assert own.min() < 0.3
    again, _, whole = cutmix(images, labels, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(again, images)
    assert whole.min() == 1
    _, _, some = cutmix(images, labels, 0.5, torch.Generator().manual_seed(0))
    assert 0.3 < (some < 1).float().mean() < 0.7
