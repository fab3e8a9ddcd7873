import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from model import ComDefend
from model.attacks.pgd import Descent
from model.cards import card
from model.classifiers import Classifier
from model.config import ClassifierConfig
from model.data import ImageSet, cutmix, load_split, random_crops, to_float
from model.metrics import psnr
from model.pretrained import WEIGHTS, read_config
from model.recipes import (
    TASKS,
    AnswersTask,
    ClassifierTask,
    CodecTask,
    HgdTask,
    LightTask,
    PurifyTask,
    ReconstructionsTask,
    RobustTask,
    SettingError,
    Step,
    stage_at,
)
from model.recipes import purify as purify_module
from model.recipes.classifier import TRAINED, Trained
from model.recipes.settings import as_text
from model.train.schedule import learning_rate_factor
from tests.conftest import ROOT, TINY_CODEC, TINY_LIGHT, left_out


@pytest.fixture
def data(dataset) -> ImageSet:
    return load_split(dataset, "train")


def test_learning_rate_warms_up_and_ends_at_zero():
    factors = [learning_rate_factor(p / 1000) for p in range(1000)]
    peak = factors.index(max(factors))
    assert factors[0] == 0
    assert 0.99 < factors[peak] <= 1
    assert peak == 30
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[-1] < 1e-4


def test_stages_cover_the_run():
    for task in TASKS.values():
        assert sum(stage.share for stage in task.stages) == pytest.approx(1)
    assert stage_at(CodecTask.stages, 0).size == 16
    assert stage_at(CodecTask.stages, 0.79).size == 16
    assert stage_at(CodecTask.stages, 0.8).size == 32
    assert stage_at(CodecTask.stages, 0.9999).size == 32


@pytest.mark.parametrize("kind", list(TASKS.values()))
def test_a_step_follows_its_generator(kind, tiny_weights, data):
    torch.manual_seed(0)
    task = kind(data)
    task.model.eval()  # batch norm would otherwise remember the first step

    def loss(seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        return task.step(data.images[:8], data.labels[:8], 0.5, generator).loss.item()

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)


@pytest.mark.parametrize("kind", list(TASKS.values()))
def test_a_step_stays_on_its_device(kind, tiny_weights, data, monkeypatch):
    """On torch's device without memory, as on a GPU: a tensor from the CPU among the others is an error."""
    kept = torch.full((8,), 12, device="meta")
    for recipe in (PurifyTask, LightTask, AnswersTask):  # these go by the generator's device
        monkeypatch.setattr(recipe, "planes", lambda self, count, generator: kept)
    monkeypatch.setattr(LightTask, "some_guide", lambda self, generator: self.guides[0])
    monkeypatch.setattr(HgdTask, "an_attack", lambda self, generator: (8.0, Descent(2)))
    task = kind(data)
    task.model.to("meta")
    images, labels = data.images[:8].to("meta"), data.labels[:8].to("meta")
    loss, shown = task.step(images, labels, 0.5, None)
    loss.backward()
    found = [loss, *shown.values(), *(p.grad for p in task.model.parameters() if p.grad is not None)]
    assert len(found) > 4
    assert {tensor.device.type for tensor in found} == {"meta"}


def test_the_classifiers_normalisation_is_the_datas(dataset):
    data = load_split(dataset, "train")
    config = ClassifierTask(data).model.config
    pixels = data.images.float() / 255
    assert config.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-4)
    assert config.std == pytest.approx(pixels.std((0, 2, 3)).tolist(), abs=1e-4)
    assert config.classes == ("blue", "red")


def test_the_codec_is_scored_with_hard_codes(dataset):
    data = load_split(dataset, "test")
    task = CodecTask(data)
    figures = task.evaluate(task.model.eval(), data)
    x = data.images.float() / 255
    x_hat = task.model.reconstruct(task.model.compress(x))
    wanted = (-10 * (x_hat - x).square().mean((1, 2, 3)).log10()).mean().item()
    assert figures["psnr_db"] == pytest.approx(wanted, abs=1e-3)


def purify_step(
    data: ImageSet, seed: int = 0, **settings: object
) -> tuple[PurifyTask, Step, torch.Tensor, torch.Tensor]:
    """One step: the task, its result, the pictures that the codec was shown, and their numbers of planes."""
    torch.manual_seed(0)
    task = PurifyTask(data, PurifyTask.chosen(**settings))
    calls = []
    forward = task.model.forward

    def spy(x: torch.Tensor, *args: object, planes: torch.Tensor) -> torch.Tensor:
        calls.append((x.detach().clone(), planes.clone()))
        return forward(x, *args, planes=planes)

    task.model.forward = spy
    step = task.step(data.images[:32], data.labels[:32], 0.5, torch.Generator().manual_seed(seed))
    ((shown, planes),) = calls
    return task, step, shown, planes


NO_NOISE = {"weakest": 0, "strongest": 0}


def is_clean(shown: torch.Tensor) -> bool:
    return bool(((shown * 255).round() / 255 - shown).abs().max() < 1e-6)


def test_purifying_shows_noisy_pictures_and_drops_planes(tiny_weights, data):
    task, step, shown, planes = purify_step(data, dropout=0.5)
    assert not is_clean(shown)
    assert planes.shape == (32,)
    assert 1 <= planes.min() < planes.max() == 12
    assert set(step.shown) == {"psnr_db", "guidance"}
    error = 10 ** (-step.shown["psnr_db"] / 10)
    assert step.loss.item() == pytest.approx(error.item() + 0.2 * step.shown["guidance"].item(), rel=1e-4)
    step.loss.backward()
    assert left_out(task.model) == []
    assert all(p.grad is None for p in task.guides.parameters())


def test_the_target_of_purifying_is_the_clean_picture(tiny_weights, data):
    _, _, clean, planes = purify_step(data, **NO_NOISE, dropout=0, guide=0)
    task, step, shown, _ = purify_step(data, dropout=0, guide=0)  # the same generator, so the same crops
    # A normal variable's mean magnitude is 0.8 of its deviation, here 0.1 to 0.2.
    assert (shown - clean).abs().mean().item() == pytest.approx(0.8 * 0.15, abs=0.02)
    with torch.no_grad():
        wanted = (task.model(shown, planes=planes) - clean).square().mean().item()
    assert step.loss.item() == pytest.approx(wanted, rel=1e-4)


def test_without_noise_the_input_is_clean(tiny_weights, data):
    _, _, shown, planes = purify_step(data, **NO_NOISE, dropout=0.5)
    assert is_clean(shown)
    assert planes.min() < 12


def test_without_dropout_all_planes_are_kept(tiny_weights, data):
    _, step, shown, planes = purify_step(data, dropout=0)
    assert planes.tolist() == [12] * 32
    assert not is_clean(shown)
    assert "guidance" in step.shown


def test_the_guide_has_the_weight_that_it_is_given(tiny_weights, data):
    _, step, shown, planes = purify_step(data, guide=0, dropout=0.5)
    error = (10 ** (-step.shown["psnr_db"] / 10)).item()
    assert set(step.shown) == {"psnr_db"}
    assert step.loss.item() == pytest.approx(error, rel=1e-4)
    assert not is_clean(shown)
    assert planes.min() < 12
    _, strong, _, _ = purify_step(data, guide=3, dropout=0.5)
    assert strong.loss.item() == pytest.approx(error + 3 * strong.shown["guidance"].item(), rel=1e-4)


def test_the_divergence_is_the_mean_of_the_guides(tiny_weights, data):
    def guidance(guides: str) -> float:
        _, step, _, _ = purify_step(data, guides=guides, guide_noise=0)
        return step.shown["guidance"].item()

    one, other = guidance("cifar10"), guidance(str(tiny_weights / "cifar10-preact"))
    assert one != pytest.approx(other, rel=1e-3)
    assert guidance("cifar10,cifar10-preact") == pytest.approx((one + other) / 2, rel=1e-4)


def test_the_guide_looks_through_noise_where_it_is_told_to(tiny_weights, data):
    def looked_at(guide_noise: float) -> tuple[torch.Tensor, torch.Tensor]:
        """What the guide was shown to answer for, and the reconstructions."""
        torch.manual_seed(0)
        task = PurifyTask(data, PurifyTask.chosen(guide_noise=guide_noise))
        looks, made = [], []
        task.guides[0].register_forward_pre_hook(lambda _, inputs: looks.append(inputs[0].detach()))
        task.model.register_forward_hook(lambda *args: made.append(args[2].detach()))
        step = task.step(data.images, data.labels, 0.5, torch.Generator().manual_seed(0))
        step.loss.backward()
        assert left_out(task.model) == []
        assert is_clean(looks[0])  # the clean pictures, whose answers are wanted, come without noise
        return looks[1], made[0]

    plain, x_hat = looked_at(0)
    assert torch.equal(plain, x_hat)
    shown, same = looked_at(0.3)
    assert torch.equal(same, x_hat)
    strengths = (shown - x_hat).std((1, 2, 3))
    assert 0 < strengths.min() < 0.1
    assert 0.2 < strengths.max() < 0.36
    assert strengths.mean().item() == pytest.approx(0.15, abs=0.05)


def test_an_empty_start_is_untrained_and_any_other_is_a_codec(tiny_weights, data, monkeypatch):
    monkeypatch.setattr(purify_module, "CodecConfig", lambda: TINY_CODEC)
    saved = ComDefend.from_pretrained("comdefend-cifar10")
    ours = PurifyTask(data)
    assert torch.equal(ours.model.rec.conv0.weight, saved.rec.conv0.weight)
    torch.manual_seed(7)
    other = ComDefend(TINY_CODEC)
    other.save_pretrained(tiny_weights / "other")
    (tiny_weights / "other" / "history.json").write_text('{"steps": 5}')
    chosen = PurifyTask(data, PurifyTask.chosen(start=str(tiny_weights / "other")))
    assert torch.equal(chosen.model.rec.conv0.weight, other.rec.conv0.weight)
    fresh = PurifyTask(data, PurifyTask.chosen(start=""))
    assert not torch.equal(fresh.model.rec.conv0.weight, saved.rec.conv0.weight)
    assert (ours.before, chosen.before, fresh.before) == (None, {"steps": 5}, None)
    for task in (ours, chosen, fresh):
        assert task.model.config.surrogate_width == 80
        typical = task.model.logits(to_float(data.images)).abs().median().item()
        assert typical == pytest.approx(80, rel=0.02)


def test_several_starts_have_a_mean_and_the_record_of_the_last(tiny_weights, data):
    torch.manual_seed(7)
    for name, config in (("other", TINY_CODEC), ("wider", replace(TINY_CODEC, com_widths=(16, 12)))):
        ComDefend(config).save_pretrained(tiny_weights / name)
    (tiny_weights / "other" / "history.json").write_text('{"steps": 5}')
    one, other = "comdefend-cifar10", str(tiny_weights / "other")
    task = PurifyTask(data, PurifyTask.chosen(start=f"{one},{other}"))
    parts = [PurifyTask(data, PurifyTask.chosen(start=name)).model for name in (one, other)]
    for name, parameter in task.model.named_parameters():
        wanted = (parts[0].get_parameter(name) + parts[1].get_parameter(name)) / 2
        assert torch.allclose(parameter, wanted, atol=1e-5), name
        assert parameter.requires_grad
    assert task.before == {"steps": 5}
    with pytest.raises(SettingError, match="must be of one shape"):
        PurifyTask(data, PurifyTask.chosen(start=(one, str(tiny_weights / "wider"))))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"salt": 1}, "'purify' has no setting 'salt'; it has: weakest, strongest"),
        ({"guide": "much"}, "guide must be a number, got 'much'"),
        ({"guide": math.inf}, "guide must be at least 0, got inf"),
        ({"guide_noise": 2}, "guide_noise must be at least 0 and at most 1, got 2"),
        ({"guide_noise": -0.1}, "guide_noise must be at least 0 and at most 1, got -0.1"),
        ({"weakest": 0.3}, "weakest must be at most strongest, got 0.3 > 0.2"),
        ({"guides": ","}, "guides must name at least one"),
        ({"guides": 3}, "guides must be a list, got 3"),
        ({"guides": (3,)}, "guides must be a word, got 3"),
        ({"shapes": "white,square"}, "shapes must be one of white, blurred, signs, ghosts, got 'square'"),
        ({"shapes": ""}, "shapes must name at least one"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SettingError, match=message):
        PurifyTask.chosen(**settings)


@pytest.mark.parametrize(
    ("kind", "known"),
    [(CodecTask, "com"), (ClassifierTask, "arch"), (ReconstructionsTask, "arch"), (RobustTask, "arch")],
)
def test_settings_that_a_recipe_lacks_are_refused(kind, known):
    with pytest.raises(SettingError, match=f"it has: {known}"):
        kind.chosen(salt=1)


@pytest.mark.parametrize("kind", list(TASKS.values()))
def test_settings_survive_json_and_the_command_line(kind):
    kept = json.loads(json.dumps(kind.settings.to_dict()))
    assert type(kind.settings).from_dict(kept) == kind.settings
    texts = {name: as_text(value) for name, value in kept.items()}
    assert kind.settings.changed(texts) == kind.settings.changed({})


def test_a_number_is_what_the_field_says():
    assert isinstance(PurifyTask.chosen(guide=1).guide, float)
    assert RobustTask.chosen(steps="3").steps == 3
    for value in (1.5, "1.5", True):
        with pytest.raises(SettingError, match="steps must be a whole number"):
            RobustTask.chosen(steps=value)


def shape_of(noise: torch.Tensor) -> str:
    """Which shape the noise of one picture has, (3,H,W)."""
    neighbours = (noise[:, :, 1:] * noise[:, :, :-1]).mean() / noise.square().mean()
    return "signs" if noise.abs().std() < 1e-3 else "blurred" if neighbours > 0.4 else "white"


@pytest.mark.parametrize("shapes", ["white", "blurred", "signs", "white,signs", "white,blurred,signs"])
def test_the_noise_has_the_shapes_that_are_asked_for(tiny_weights, data, shapes):
    task = PurifyTask(data, PurifyTask.chosen(shapes=shapes))
    grey = torch.full((60, 3, 16, 16), 0.5)
    noise = task.disturbed(grey, torch.Generator().manual_seed(0)) - grey
    counts = Counter(shape_of(one) for one in noise)
    assert set(counts) == set(shapes.split(","))
    assert min(counts.values()) > 10


def test_a_ghost_is_another_picture_of_the_batch(tiny_weights, data):
    task = PurifyTask(data, PurifyTask.chosen(shapes="ghosts", weakest=0.05, strongest=0.05))
    generator = torch.Generator().manual_seed(3)
    x = nn.functional.interpolate(0.3 + 0.4 * torch.rand(40, 3, 2, 2, generator=generator), scale_factor=8)
    ghosts = task.disturbed(x, generator) - x
    flat = nn.functional.normalize((x - x.mean((1, 2, 3), keepdim=True)).flatten(1))
    alike, which = (nn.functional.normalize(ghosts.flatten(1)) @ flat.T).max(1)
    whole = alike > 0.9  # the other half is detail alone
    assert 0.25 < whole.float().mean() < 0.75
    assert (which != torch.arange(40))[whole].float().mean() > 0.8
    assert len(which[whole].unique()) == whole.sum()
    assert ghosts.std((1, 2, 3)).tolist() == pytest.approx([0.05] * 40, rel=0.25)


@pytest.mark.parametrize("shapes", ["white", "blurred", "signs"])
def test_the_noise_has_the_stated_deviation(tiny_weights, data, shapes):
    task = PurifyTask(data, PurifyTask.chosen(shapes=shapes, weakest=0.1, strongest=0.1))
    grey = torch.full((90, 3, 32, 32), 0.5)
    noise = task.disturbed(grey, torch.Generator().manual_seed(0)) - grey
    inner = noise[..., 1:-1, 1:-1]  # the mirrored border makes blurred noise a little stronger
    assert inner.std((1, 2, 3)).tolist() == pytest.approx([0.1] * 90, rel=0.15)
    assert inner.std().item() == pytest.approx(0.1, rel=0.02)
    assert inner.mean().item() == pytest.approx(0, abs=0.002)


def test_the_noise_is_never_weak_and_pictures_stay_pictures(tiny_weights, data):
    task = PurifyTask(data)
    grey = torch.full((200, 3, 32, 32), 0.5)
    strengths = task.disturbed(grey, torch.Generator().manual_seed(1)).std((1, 2, 3))
    low, high = PurifyTask.settings.weakest, PurifyTask.settings.strongest
    assert 0.9 * low < strengths.min() < 1.2 * low
    assert 0.8 * high < strengths.max() < 1.1 * high
    extreme = task.disturbed(torch.rand(20, 3, 8, 8).round(), torch.Generator().manual_seed(1))
    assert extreme.min() == 0
    assert extreme.max() == 1


@pytest.mark.parametrize("dropout", [0.0, 0.5, 1.0])
def test_some_pictures_keep_all_planes_and_the_others_any_number(tiny_weights, data, dropout):
    task = PurifyTask(data, PurifyTask.chosen(dropout=dropout))
    planes = task.planes(12_000, torch.Generator().manual_seed(0))
    counts = planes.bincount(minlength=13)
    assert counts[0] == 0
    assert counts[12].item() == pytest.approx(12_000 - 11_000 * dropout, rel=0.1)
    assert counts[1:12].tolist() == pytest.approx([1000 * dropout] * 11, rel=0.2)


def examples() -> torch.Tensor:
    """The small pictures of the page, uint8 of shape (10,3,32,32)."""
    found = []
    for path in sorted((ROOT / "app" / "examples").glob("*.png")):
        with Image.open(path) as image:
            found.append(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1))
    return torch.stack([picture for picture in found if picture.shape == (3, 32, 32)])


def test_scaling_the_last_layer_flips_no_bit_of_the_shipped_codec(data):
    task = PurifyTask(data)
    shipped = ComDefend.from_pretrained("comdefend-cifar10")
    x = to_float(examples())
    logits = shipped.logits(x)
    assert torch.equal(task.model.compress(x), shipped.compress(x))
    assert not torch.allclose(task.model.logits(x), logits, rtol=0.05)
    assert task.model.config.surrogate_width == 80
    assert all(not p.requires_grad for p in task.guides.parameters())


def test_purifying_is_scored_by_the_guides_answers(tiny_weights, data):
    task = PurifyTask(data)
    task.model.eval()
    x = to_float(data.images)
    with torch.no_grad():
        figures = task.evaluate(task.model, data)
        x_hat = task.model(x)
        held = [(guide(x_hat).argmax(1) == guide(x).argmax(1)).float().mean() for guide in task.guides]
    assert len(held) == 2
    assert figures["clean_agreement"] == pytest.approx(torch.stack(held).mean().item())
    assert figures["psnr_db"] == pytest.approx(psnr(x, x_hat).mean().item(), abs=1e-3)
    assert 0 <= figures["agreement"] <= 1
    assert task.score in figures
    with torch.no_grad():
        assert task.evaluate(task.model, data) == figures
        perfect = task.evaluate(nn.Identity(), data)
    assert perfect["clean_agreement"] == 1


def test_purifying_ends_with_a_gradient_as_wide_as_the_logits(tiny_weights, data):
    task = PurifyTask(data)
    task.finish(data)
    wide = task.model.logits(to_float(data.images)).abs().flatten().quantile(0.25).item()
    assert task.model.config.surrogate_width == pytest.approx(max(20, wide), abs=0.06)


def test_tuning_starts_from_the_classifier_and_sees_what_the_codec_makes_of_pictures(
    tiny_weights, data, codec
):
    task = ReconstructionsTask(data)
    saved = Classifier.from_pretrained(tiny_weights / "cifar10")
    assert task.model.config == saved.config
    assert all(torch.equal(a, b) for a, b in zip(task.model.parameters(), saved.parameters(), strict=True))
    x = to_float(data.images[:4])
    given = task.classifier_input(x)
    assert torch.allclose(given, codec(x), atol=1e-6)
    assert not given.requires_grad
    shown = []
    task.model.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    step = task.step(data.images[:8], data.labels[:8], 0.5, torch.Generator().manual_seed(0))
    plain = ClassifierTask.step(PlainTask(task), data.images[:8], data.labels[:8], 0.5,
                                torch.Generator().manual_seed(0))  # fmt: skip
    assert torch.allclose(shown[0], codec(shown[1]), atol=1e-6)
    assert step.loss.item() != plain.loss.item()
    step.loss.backward()
    assert all(p.grad is None for p in task.codec.parameters())
    assert all(p.grad is not None for p in task.model.parameters())


class PlainTask(ClassifierTask):
    """The same classifier, trained on the pictures as they are."""

    def __init__(self, other: ClassifierTask) -> None:
        self.model = other.model


def test_tuning_is_scored_behind_the_codec(tiny_weights, data, codec):
    task = ReconstructionsTask(data)
    task.model.eval()
    with torch.no_grad():
        found = task.evaluate(task.model, data)["accuracy"]
        wanted = (task.model(codec(to_float(data.images))).argmax(1) == data.labels).float().mean().item()
    assert found == pytest.approx(wanted)


def test_a_classifier_has_the_architecture_that_is_asked_for(tiny_weights, data):
    asked = ClassifierTask.chosen(arch="preact-resnet20")
    assert ClassifierTask(data, asked).model.config.arch == "preact-resnet20"
    plain = {"arch": "resnet9", "smoothing": 0.1, "cutmix": 0.0, "decay": 0.0, "progressive": 0.0}
    plain["start"] = ""
    assert ClassifierTask.chosen().to_dict() == plain
    assert [ClassifierTask.folders(given) for given in (ClassifierTask.chosen(), asked)] == [
        ("cifar10",),
        ("cifar10-preact",),
    ]
    tuned = ReconstructionsTask.chosen(arch="preact-resnet20")
    assert ReconstructionsTask.folders(tuned) == ("cifar10-preact-on-reconstructions",)
    saved = Classifier.from_pretrained(tiny_weights / "cifar10-preact")
    other = Classifier.from_pretrained(tiny_weights / "cifar10")
    assert not torch.equal(saved.net[0].weight, other.net[0].weight)
    assert torch.equal(ReconstructionsTask(data, tuned).model.net[0].weight, saved.net[0].weight)
    with pytest.raises(SettingError, match="resnet9, preact-resnet20, resnet50, got 'efficientnet-lite0'"):
        ClassifierTask.chosen(arch="efficientnet-lite0")


def test_a_classifier_goes_on_from_weights_and_tells_of_the_run_that_made_them(
    tiny_weights, data, monkeypatch
):
    monkeypatch.setitem(TRAINED, "tiny", Trained("cifar10"))
    record = {"steps": 1, "command": "the run before"}
    (tiny_weights / "cifar10" / "history.json").write_text(json.dumps(record))
    chosen = ClassifierTask.chosen(arch="tiny", start="cifar10", progressive="0.5")
    task = ClassifierTask(data, chosen)
    saved = Classifier.from_pretrained(tiny_weights / "cifar10")
    assert all(torch.equal(a, b) for a, b in zip(task.model.parameters(), saved.parameters(), strict=True))
    assert task.before == record
    assert ClassifierTask.folders(chosen) == ("cifar10",)
    assert ClassifierTask(data).before is None
    with pytest.raises(SettingError, match="cifar10 is a tiny, and --arch says preact-resnet20"):
        ClassifierTask(data, ClassifierTask.chosen(start="cifar10", arch="preact-resnet20"))
    others = ImageSet(data.images, data.labels, ("a", "b"))
    with pytest.raises(SettingError, match="cifar10 knows other classes than the data has"):
        ClassifierTask(others, chosen)
    # What has learnt from small pictures already goes on with whole ones, unless it is told otherwise.
    assert ClassifierTask.chosen(arch="resnet50", start="any").progressive == 0
    assert chosen.progressive == 0.5


@pytest.mark.slow
def test_the_large_network_has_a_recipe_of_its_own_and_keeps_half_precision(data, tmp_path):
    chosen = ClassifierTask.chosen(arch="resnet50")
    assert (chosen.cutmix, chosen.decay, chosen.progressive) == (0.5, 0.999, 0.67)
    assert ReconstructionsTask.chosen(arch="resnet50").progressive == 0
    assert ClassifierTask.chosen(cutmix=0.1, arch="resnet50").cutmix == 0.1
    assert ClassifierTask.folders(chosen) == ("cifar10-resnet50",)
    task = ClassifierTask(data, chosen)
    assert task.decay == 0.999
    assert task.model.net.conv1.kernel_size == (3, 3)
    task.model.eval()
    x = to_float(data.images[:2])
    assert task.model.net.layer1(task.model.net.maxpool(task.model.net.conv1(x))).shape == (2, 256, 32, 32)
    full = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    task.finish(data)
    task.model.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").stat().st_size < 48e6
    loaded = Classifier.from_pretrained(tmp_path / "saved")
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == full[name].dtype
        assert torch.allclose(tensor, full[name], rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize(
    ("setting", "value", "range_"),
    [
        ("cutmix", 1.1, "at least 0 and at most 1"),
        ("cutmix", -0.1, "at least 0 and at most 1"),
        ("decay", 1, "at least 0 and below 1"),
        ("progressive", 1, "at least 0 and below 1"),
    ],
)
def test_impossible_settings_of_a_classifier_are_refused(setting, value, range_):
    with pytest.raises(SettingError, match=f"{setting} must be {range_}, got {value}"):
        ClassifierTask.chosen(**{setting: value})


@pytest.mark.parametrize("cutmix", [0, 1])
def test_pictures_grow_in_a_progressive_run(data, cutmix, monkeypatch):
    task = ClassifierTask(data, ClassifierTask.chosen(progressive=0.5, cutmix=cutmix))
    assert [(round(stage.share, 6), stage.size) for stage in task.stages] == [(0.5, 16), (0.3, 24), (0.2, 32)]
    seen = []
    forward = task.model.forward
    monkeypatch.setattr(task.model, "forward", lambda x: seen.append(x) or forward(x))
    for progress in (0, 0.49, 0.5, 0.79, 0.8, 0.999):
        task.step(data.images[:4], data.labels[:4], progress, torch.Generator().manual_seed(0))
    assert [x.shape[-1] for x in seen] == [16, 16, 24, 24, 32, 32]
    means = torch.stack([x.mean((2, 3)) for x in seen])  # the same pictures, made smaller
    assert (means - means[-1]).abs().max() < 0.01
    assert min(x.min() for x in seen) >= 0
    assert max(x.max() for x in seen) <= 1
    assert ClassifierTask(data).stages == ((1.0, 32, 1),)


def test_mixed_pictures_count_for_both_labels(data):
    """Without smoothing: the loss is the share-weighted mean of both labels' cross-entropies."""
    task = ClassifierTask(data, ClassifierTask.chosen(cutmix=1, smoothing=0))
    task.model.eval()
    images, labels = data.images[::2], data.labels[::2]
    step = task.step(images, labels, 0.5, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    crops = random_crops(images, 32, generator, task.padding)
    mixed, others, own = cutmix(crops, labels, 1.0, generator)
    logits = task.model(to_float(mixed)).log_softmax(1)
    first, second = (-logits.gather(1, which[:, None])[:, 0] for which in (labels, others))
    assert step.loss.item() == pytest.approx((own * first + (1 - own) * second).mean().item(), rel=1e-4)


def test_a_smaller_codec_may_be_trained(data):
    codec = CodecTask(data, CodecTask.chosen(com="4,12", rec="4,3")).model
    assert (codec.config.com_widths, codec.config.rec_widths) == ((4, 12), (4, 3))
    assert sum(p.numel() for p in CodecTask(data).model.parameters()) == 1_566_735
    with pytest.raises(SettingError, match="com and rec must be widths of convolutions: rec_widths must end"):
        CodecTask(data, CodecTask.chosen(rec="4,5"))
    for widths, message in (("4,x", "a whole number, got 'x'"), ("", "at least one"), ("4,0", "at least 1")):
        with pytest.raises(SettingError, match=f"com must .*{message}"):
            CodecTask.chosen(com=widths)


def test_tuning_starts_from_what_is_named_and_sees_the_codec_that_is(tiny_weights, data):
    task = ReconstructionsTask(
        data, ReconstructionsTask.chosen(start="cifar10-adversarial", codec="comdefend-cifar10-light")
    )
    saved = Classifier.from_pretrained(tiny_weights / "cifar10-adversarial")
    assert torch.equal(task.model.net[0].weight, saved.net[0].weight)
    assert task.codec.config == TINY_LIGHT
    others = ImageSet(data.images, data.labels, ("a", "b"))
    with pytest.raises(SettingError, match="cifar10-adversarial knows other classes than the data has"):
        ReconstructionsTask(others, ReconstructionsTask.chosen(start="cifar10-adversarial"))


def test_the_card_of_a_tuned_classifier_names_what_it_was_tuned_to():
    record = json.loads((WEIGHTS / "cifar10-on-reconstructions" / "history.json").read_text())
    config, _ = read_config(WEIGHTS / "cifar10-on-reconstructions", ClassifierConfig)
    assert "of the codec `comdefend-cifar10-purify`, from the weights of `cifar10`;" in card(config, record)
    record["recipe"]["settings"] |= {"codec": "light", "start": ""}
    assert "of the codec `light`, from the weights of `cifar10`;" in card(config, record)
    record["recipe"]["settings"] |= {"arch": "resnet50"}
    assert "of the codec `light`, from the weights of `cifar10-resnet50`;" in card(config, record)
    record["recipe"]["settings"] |= {"start": "fashion-mnist"}
    assert "of the codec `light`, from the weights of `fashion-mnist`;" in card(config, record)


def test_tuning_starts_anew_where_the_classes_are_others(tiny_weights, data):
    task = ReconstructionsTask(ImageSet(data.images, data.labels, ("a", "b")))
    assert task.model.classes == ("a", "b")
    assert task.model.config.arch == "resnet9"
    assert task.settings.start == "untrained"
    record = json.loads((WEIGHTS / "cifar10-on-reconstructions" / "history.json").read_text())
    record["recipe"]["settings"] = task.settings.to_dict()
    assert "`comdefend-cifar10-purify`, from untrained weights;" in card(task.model.config, record)


def test_tuning_says_what_it_started_from(tiny_weights, data):
    chosen = ReconstructionsTask.chosen(arch="preact-resnet20")
    assert chosen.start == ""
    assert ReconstructionsTask(data, chosen).settings.start == "cifar10-preact"
