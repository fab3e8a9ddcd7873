"""The recipe of the light codec of photographs, on a few generated ones."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from model import ComDefend, device, files, recipes
from model.classifiers import Classifier
from model.data import DataError, load_photographs, random_crops, to_float
from model.noise import noise_level
from model.recipes import PhotoTask, SettingError
from model.recipes.guides import Guide
from tests.conftest import TINY_LIGHT, script


@pytest.fixture
def photographs(tmp_path) -> Path:
    """Thirty pictures in two sub-folders, of sizes and formats as they come."""
    rng, root = np.random.default_rng(0), tmp_path / "photographs"
    for number in range(30):
        folder = root / ("day" if number % 2 else "night/late")
        folder.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((60 + number, 48), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:02}.{'jpg' if number % 3 else 'png'}")
    (root / "README.md").write_text("no picture")
    return root


@pytest.fixture
def archive(photographs, tmp_path) -> Path:
    path = tmp_path / "photographs.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for file in photographs.rglob("*.*"):
            packed.write(file, file.relative_to(photographs))
    return path


@pytest.fixture
def data(photographs, monkeypatch, tiny_weights):
    monkeypatch.setattr(PhotoTask, "stored", 48)
    return PhotoTask.load(photographs)


def test_photographs_come_from_a_folder_or_an_archive(photographs, archive):
    loose, packed = load_photographs(photographs, 48), load_photographs(archive, 48)
    assert loose.images.shape == (30, 3, 48, 48)
    assert torch.equal(loose.images, packed.images)
    first = Image.open(photographs / "day" / "01.jpg").convert("RGB")
    wanted = np.asarray(first.crop((6, 0, 54, 48)))[:, 1:-1].astype(int)  # 61 wide: between two pixels
    assert abs(loose.images[0].permute(1, 2, 0).numpy()[:, 1:-1].astype(int) - wanted).mean() < 6


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "there is no folder or zip archive"),
        ("a.zip", b"nothing packed", "neither a folder nor a zip archive"),
        ("empty", {}, "holds no pictures"),
        ("broken", {"a.png": b"no picture"}, "not a readable picture"),
    ],
)
def test_unusable_photographs_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.mkdir()
        for file, data in content.items():
            (path / file).write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        load_photographs(path, 32)
    assert name in str(caught.value)


def test_some_photographs_are_scored_and_not_trained_on(data, monkeypatch):
    train, test = data
    assert (len(train), len(test)) == (27, 3)  # a tenth of few
    learned = {picture.numpy().tobytes() for picture in train.images}
    assert not any(picture.numpy().tobytes() in learned for picture in test.images)
    with pytest.raises(DataError, match="--data FOLDER_OR_ZIP"):
        PhotoTask.load(None)


def steps(data, progress: float, **settings: object) -> tuple[recipes.Step, PhotoTask]:
    torch.manual_seed(0)
    task = PhotoTask(data, PhotoTask.chosen(**settings))
    generator = torch.Generator().manual_seed(1)
    return task.step(data.images[:4], data.labels[:4], progress, generator), task


QUIET = {"weakest": 0, "strongest": 0, "coarse": 0, "guide_noise": 0}


def slope_at_the_reconstruction(data, monkeypatch, progress: float, strength: float):
    """The loss's gradient on each reconstruction, shape (B,N), and the names of what the step showed."""
    reconstructions, forward = [], ComDefend.hardening_forward

    def keep(*arguments):
        reconstructions.append(forward(*arguments))
        return reconstructions[-1]

    with monkeypatch.context() as patched:
        patched.setattr(ComDefend, "hardening_forward", keep)
        step, _ = steps(data, progress, **QUIET, guide=strength)
    (slope,) = torch.autograd.grad(step.loss, reconstructions)
    assert step.loss.item() == pytest.approx(10 ** (-step.shown["psnr_db"].item() / 10), rel=1e-4)
    return slope.flatten(1), set(step.shown)


def test_the_guides_come_in_slowly_after_the_first_stage(data, monkeypatch):
    first, half = PhotoTask.stages[0].share, (PhotoTask.stages[0].share + PhotoTask.grown) / 2
    for progress, wanted in ((0.0, 0), (first, 0), (half, 2), (PhotoTask.grown, 4), (1.0, 4)):
        own, _ = slope_at_the_reconstruction(data[0], monkeypatch, progress, 0)
        both, shown = slope_at_the_reconstruction(data[0], monkeypatch, progress, 4)
        strengths = (both - own).norm(dim=1) / own.norm(dim=1)  # the same at each picture
        assert strengths.tolist() == pytest.approx([wanted] * len(own), rel=1e-3, abs=1e-6)
        assert shown == ({"psnr_db", "guide", "features"} if wanted else {"psnr_db"})


def test_a_guide_pulls_towards_what_it_sees_of_the_clean_picture(data):
    """A step along the pull brings its opinion of the reconstruction nearer."""
    guide, x = Guide("cifar10"), to_float(data[0].images[:4])
    x_hat = (0.5 * x + 0.2).requires_grad_()
    before = guide.guidance(x, x_hat)
    (pull,) = torch.autograd.grad((before.divergence + 200 * before.features).sum(), x_hat)
    after = guide.guidance(x, x_hat - 1e-4 * pull / pull.flatten(1).norm(dim=1).view(-1, 1, 1, 1))
    assert (after.divergence + 200 * after.features < before.divergence + 200 * before.features).all()


def test_the_first_stage_has_several_small_crops_of_each_picture(data, monkeypatch):
    sizes = []
    monkeypatch.setattr(PhotoTask, "stages", (recipes.Stage(0.5, 16, crops=3), recipes.Stage(0.5, 40)))
    monkeypatch.setattr(PhotoTask, "disturbed", lambda self, x, *_: sizes.append(tuple(x.shape)) or x)
    for progress in (0.1, 0.9):
        steps(data[0], progress)
    assert sizes == [(12, 3, 16, 16), (4, 3, 40, 40)]


def test_noise_is_never_weaker_than_asked(data):
    _, task = steps(data[0], 0.0, weakest=0.1, strongest=0.2, coarse=0)
    x = torch.full((200, 3, 16, 16), 0.5)
    strengths = (task.disturbed(x, torch.Generator().manual_seed(0)) - x).std((1, 2, 3))
    assert strengths.min() > 0.09
    assert 0.19 < strengths.max() < 0.22


def test_coarse_noise_is_of_three_grains_and_its_own_strength_in_each_picture(data):
    _, task = steps(data[0], 0.0, weakest=0, strongest=0, coarse=0.1)
    x = torch.full((200, 3, 32, 32), 0.5)
    noise = task.disturbed(x, torch.Generator().manual_seed(0)) - x
    strengths = noise.std((1, 2, 3))
    assert strengths.min() < 0.04
    assert 0.12 < strengths.max() < 0.1 * 3**0.5 + 0.02
    likeness = [
        (noise[..., step:] * noise[..., :-step]).mean() / noise.square().mean() for step in (1, 4, 16)
    ]
    assert likeness[0] > 0.7  # white noise: 0
    assert 0.15 < likeness[1] < 0.5  # left of the coarsest grain
    assert likeness[2].abs() < 0.1
    again = task.disturbed(x, torch.Generator().manual_seed(0)) - x
    assert torch.equal(noise, again)


def test_at_least_an_eighth_of_the_planes_is_kept(data):
    _, task = steps(data[0], 0.0, dropout=1)
    kept = task.planes(400, torch.Generator().manual_seed(0))
    assert sorted(kept.unique().tolist()) == list(range(1, 9))
    _, task = steps(data[0], 0.0, dropout=0)
    assert (task.planes(50, torch.Generator().manual_seed(0)) == 8).all()


def test_a_guide_tells_what_it_sees_and_says(tiny_weights):
    guide = Guide("cifar10")
    known = Classifier.from_pretrained(tiny_weights / "cifar10")
    known = device.channels_last(known)  # as the guide has it: other kernels give other last digits
    x = torch.rand(2, 3, 32, 32)
    maps, logits = guide(x)
    assert torch.allclose(logits, known(x))
    normalised = (x - known.mean) / known.std
    assert torch.allclose(maps[-1], known.net[1](known.net[0](normalised)))
    same = guide.guidance(x, x)
    assert same.divergence.abs().max() < 1e-6
    assert same.features.tolist() == [0, 0]
    y = (50 * torch.rand(2, 3, 32, 32)).requires_grad_()  # far off, so that the answers are, too
    other = guide.guidance(x, y)
    wanted = (known(x).log_softmax(1) - known(y).log_softmax(1)).mul(known(x).softmax(1)).sum(1)
    assert other.divergence.tolist() == pytest.approx(wanted.tolist(), rel=1e-3)
    (other.divergence.sum() + other.features.sum()).backward()
    assert y.grad.abs().sum((1, 2, 3)).min() > 1e-4
    assert all(p.grad is None for p in guide.parameters())


def test_a_guide_keeps_nothing_of_a_call_that_is_over(tiny_weights):
    guide, x = Guide("cifar10"), torch.rand(2, 3, 32, 32)
    guide(x)
    guide.classifier(x)  # whoever scores asks for answers alone
    assert guide._maps is None


def test_a_guide_sees_each_resolution_once():
    guide = Guide("imagenet")
    maps, _ = guide(torch.rand(1, 3, 64, 64))
    assert [tuple(each.shape[1:]) for each in maps] == [
        (96, 32, 32),
        (144, 16, 16),
        (240, 8, 8),
        (672, 4, 4),
        (1280, 2, 2),
    ]


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("weakest", 0.5, "weakest must be at most strongest, got 0.5 > 0.2"),
        ("dropout", 2, "dropout must be at least 0 and at most 1, got 2"),
        ("guide", -1, "guide must be at least 0, got -1"),
        ("features", -1, "features must be at least 0, got -1"),
        ("guides", ",", "guides must name at least one"),
        ("shapes", "white", "has no setting 'shapes'"),
    ],
)
def test_impossible_settings_are_refused(setting, value, message):
    with pytest.raises(SettingError, match=message):
        PhotoTask.chosen(**{setting: value})


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_one_command_trains_it(photographs, archive, tiny_weights, tmp_path, monkeypatch, packed):
    monkeypatch.setattr(files, "WORKPLACE", tmp_path)
    monkeypatch.setattr(PhotoTask, "stored", 48)
    monkeypatch.setattr(PhotoTask, "floor", lambda self: 0.0)
    out = tmp_path / "out"
    options = ["--train", "photo", "--data", str(archive if packed else photographs), "--out", str(out)]
    length = ["--epochs", "2", "--batch-size", "8"]
    assert script().main([*options, *length, "--device", "cpu", "--precision", "float32"]) == 0
    codec = ComDefend.from_pretrained(out)
    assert codec.config == TINY_LIGHT
    record = json.loads((out / "history.json").read_text())
    assert record["steps"] == 6
    assert record["test_images"] == 3
    assert set(record["test"]) == {"psnr_db", "ssim", "agreement", "clean_agreement"}
    card = (out / "README.md").read_text()
    assert "0.5 bits per pixel" in card
    assert "No adversarial picture was used in training" in card
    assert f"Command: `python app.py --train photo --data {options[3]}" in card


@pytest.mark.slow
def test_a_classifier_learns_to_answer_to_reconstructions(photographs, tiny_weights, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "WORKPLACE", tmp_path)
    monkeypatch.setattr(PhotoTask, "stored", 48)
    monkeypatch.setattr(recipes.AnswersTask, "floor", lambda self: 0.0)
    out = tmp_path / "answers"
    options = ["--train", "answers", "--data", str(photographs), "--out", str(out), "--device", "cpu"]
    assert script().main([*options, "--epochs", "2", "--precision", "float32", "--lr", "0.01"]) == 0
    before, after = (Classifier.from_pretrained(folder) for folder in (tiny_weights / "cifar10", out))
    assert load_file(out / "model.safetensors")["net.0.weight"].dtype == torch.float16
    assert after.net[0].weight.dtype == torch.float32
    assert not torch.equal(before.net[0].weight, after.net[0].weight)
    card = (out / "README.md").read_text()
    assert "what the codec `comdefend-cifar10-purify` makes of photographs" in card
    assert "what `cifar10` says of the photographs" in card


def test_its_divergence_is_from_what_was_said_of_the_photographs(data):
    torch.manual_seed(0)
    task = recipes.AnswersTask(data[0], recipes.AnswersTask.chosen(strongest=0, coarse=0, dropout=0))
    some = data[0].images[:4]
    step = task.step(some, data[0].labels[:4], 0.0, torch.Generator().manual_seed(3))
    x = to_float(random_crops(some, 48, torch.Generator().manual_seed(3)))
    wanted, found = task.teacher(x).log_softmax(1), task.model(task.codec(x)).log_softmax(1)
    assert step.loss.item() == pytest.approx((wanted.exp() * (wanted - found)).sum(1).mean().item(), rel=1e-3)


@pytest.fixture
def kept_by_the_classifier(data, monkeypatch):
    """Noise of pictures from whose reconstructions a classifier learns, and how many planes these have."""
    seen, whole = [], ComDefend.forward

    def spy(codec, x, planes):
        seen.extend(zip((255 * noise_level(x)).tolist(), planes.tolist(), strict=True))
        return whole(codec, x, planes=planes)

    monkeypatch.setattr(ComDefend, "forward", spy)

    def of(**config):
        seen.clear()
        task = recipes.AnswersTask(data[0], recipes.AnswersTask.chosen(dropout=0.5, untouched=0.5))
        task.codec.config = replace(task.codec.config, **config)
        for seed in range(20):
            task.step(data[0].images[:4], data[0].labels[:4], 0.0, torch.Generator().manual_seed(seed))
        return seen, task.codec.planes

    return of


def test_it_sees_reconstructions_from_all_planes_and_from_fewer(kept_by_the_classifier):
    kept, most = kept_by_the_classifier()
    assert min(planes for _, planes in kept) == -(-most // 8)
    assert 0.3 < sum(planes == most for _, planes in kept) / len(kept) < 0.8


def test_it_sees_no_more_planes_than_the_codec_keeps_of_a_noisy_picture(kept_by_the_classifier):
    kept, most = kept_by_the_classifier(kept=((0, 12), (3, 2)))
    assert {planes for noise, planes in kept if noise >= 3} == {2}
    quiet = [planes for noise, planes in kept if noise < 3]
    assert max(quiet) == most
    assert min(quiet) < most


def test_more_and_more_bits_are_hard(data, monkeypatch):
    shares, whole = [], ComDefend.hardening_forward

    def spy(codec, x, share, *rest):
        shares.append(share)
        return whole(codec, x, share, *rest)

    monkeypatch.setattr(ComDefend, "hardening_forward", spy)
    for progress in (0.0, PhotoTask.hardened / 4, PhotoTask.hardened, 0.9):
        steps(data[0], progress)
    assert shares == [0, 0.25, 1, 1]


@pytest.mark.slow
def test_it_learns(data):
    """The squared error falls: the light shape's gradient passes the threshold."""
    train, _ = data
    torch.manual_seed(0)
    task = PhotoTask(train, PhotoTask.chosen(weakest=0, strongest=0, dropout=0))
    optimizer = task.optimizer(3e-3)
    errors = []
    for number in range(60):
        step = task.step(train.images[:16], train.labels[:16], 0.0, torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        errors.append(step.loss.item())
    assert np.mean(errors[-5:]) < 0.3 * np.mean(errors[:5])


@pytest.mark.parametrize(
    ("capability", "bf16", "amx", "seconds", "wanted"),
    [
        ("AVX2", False, False, 1, "float32"),
        ("AVX2", True, True, 1, "float32"),
        ("AVX512", False, False, 1, "float32"),
        ("AVX512", True, False, 1, "bfloat16"),
        ("AVX512", False, True, 1, "bfloat16"),
        ("AVX512", True, True, 3, "float32"),
    ],
)
def test_training_computes_in_what_the_processor_is_fast_in(
    monkeypatch, capability, bf16, amx, seconds, wanted
):
    monkeypatch.setattr(
        device, "convolution_seconds", lambda dtype: {torch.bfloat16: seconds, torch.float32: 2}[dtype]
    )
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert device.training_precision(torch.device("cpu")) == wanted
    assert device.training_precision(torch.device("cuda")) == "bfloat16"


@pytest.mark.slow
def test_a_convolution_is_timed_without_touching_random_numbers():
    state = torch.random.get_rng_state()
    assert 0 < device.convolution_seconds(torch.float32, 1) < 60
    assert torch.equal(torch.random.get_rng_state(), state)
