"""HGD: a U-Net that learns to take attacks away, and how."""

import json
from pathlib import Path

import pytest
import torch

from app.ask.defences import line_up, survey
from app.scenario import Watch
from model import recipes
from model.config import ConfigError, DenoiserConfig
from model.data import ImageSet, load_split, to_float
from model.defences import load_defence
from model.denoiser import Denoiser
from model.files import file_hash
from model.recipes import HgdTask
from model.zoo import DENOISERS, EVERY_DENOISER
from tests.conftest import script


@pytest.fixture
def data(dataset: Path, tiny_weights: Path) -> ImageSet:
    return load_split(dataset, "train")


def test_pictures_of_other_classes_than_the_attacked_classifier_are_refused(data):
    other = ImageSet(data.images, data.labels, ("green", "red"))
    with pytest.raises(recipes.SettingError, match="cifar10 tells blue, red apart"):
        HgdTask(other)


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (13, 7)])
def test_it_begins_as_the_identity_at_any_size(size):
    x = torch.rand(2, 3, *size)
    assert torch.equal(Denoiser(DenoiserConfig()).eval()(x), x)


def test_it_predicts_what_was_added_from_all_around():
    torch.manual_seed(0)
    denoiser = Denoiser(DenoiserConfig((8, 8, 8))).eval()
    torch.nn.init.normal_(denoiser.last.weight, std=0.1)
    x = (0.4 + 0.2 * torch.rand(1, 3, 32, 32)).requires_grad_()
    denoiser(x)[0, :, 16, 16].sum().backward()
    reached = x.grad[0].abs().sum(0) > 0
    assert reached[:, :6].any()  # ten pixels away: through the smallest level
    assert 0 <= denoiser(x).min() <= denoiser(x).max() <= 1


@pytest.mark.parametrize("widths", [(), (0,), (4, 2.5), "32"])
def test_impossible_widths_are_refused(widths):
    with pytest.raises(ConfigError, match="widths must be positive whole numbers"):
        DenoiserConfig(widths)


def test_it_is_shown_attacks_of_its_range_and_some_clean_pictures(data):
    task = HgdTask(data, HgdTask.chosen(clean=0.5))
    x, labels = to_float(data.images), data.labels
    generator = torch.Generator().manual_seed(0)
    moved, spared = set(), 0
    for _ in range(8):
        found = task.attacked(x, labels, generator)
        distance = (found - x).abs().amax((1, 2, 3)) * 255
        assert distance.max() <= 16 + 1e-3
        spared += int((distance == 0).sum())
        moved.add(round(distance.max().item()))
    assert 0.3 < spared / (8 * len(x)) < 0.7
    assert len(moved) > 3
    spread = {task.an_attack(generator)[1].steps for _ in range(20)}
    assert spread == {1, 4}


def test_the_loss_is_how_far_the_logits_are_from_those_of_the_clean_pictures(data):
    task = HgdTask(data, HgdTask.chosen(clean=1))
    task.model.eval()
    step = task.step(data.images[:8], data.labels[:8], 0.5, torch.Generator().manual_seed(0))
    assert step.loss.item() == 0  # clean pictures through the identity
    step = HgdTask(data, HgdTask.chosen(clean=0)).step(
        data.images[:8], data.labels[:8], 0.5, torch.Generator().manual_seed(0)
    )
    assert step.loss.item() > 0
    step.loss.backward()
    assert all(p.grad is None for p in task.classifier.parameters())


def test_one_command_trains_it(dataset, tiny_weights, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes.HgdTask, "floor", lambda self: 0.0)
    out = tmp_path / "hgd"
    monkeypatch.setattr(recipes.HgdTask, "network", DenoiserConfig((4, 4)))
    command = ["--train", "hgd", "--data", str(dataset), "--out", str(out), "--epochs", "2"]
    assert script().main([*command, "--device", "cpu", "--batch-size", "8", "--precision", "float32"]) == 0
    Denoiser.from_pretrained(out)
    record = json.loads((out / "history.json").read_text())
    assert set(record["test"]) >= {"attacked_accuracy", "clean_accuracy"}
    card = (out / "README.md").read_text()
    assert "trained on adversarial pictures of `cifar10`" in card
    assert "grey-box" in card


def test_a_trained_denoiser_is_a_defence_of_its_classifier(tiny_weights, monkeypatch, lab, outcome):
    denoiser = Denoiser(DenoiserConfig((4, 4)))
    denoiser.save_pretrained(tiny_weights / "hgd")
    (entry,) = EVERY_DENOISER
    monkeypatch.setitem(DENOISERS, entry.name, entry)
    defence = load_defence("hgd").eval()
    assert defence.about == "HGD, a U-Net trained on adversarial pictures of cifar10"
    assert defence.digest == file_hash(tiny_weights / "hgd" / "model.safetensors")
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(defence(x), x)
    asked = [name.text for name in line_up(lab, outcome)]
    assert ("hgd" in asked) == (outcome.scenario.classifier == entry.against)
    *_, found = survey(lab, outcome, Watch())
    assert [row.about for row in found.rows if row.name.text == "hgd"] == [defence.about]
