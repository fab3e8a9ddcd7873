import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model import zoo
from model.classifiers import load_classifier
from model.evaluate.command import run_plugin
from model.files import REPOSITORY, WeightsError
from model.networks import ARCHITECTURES

EXAMPLE = REPOSITORY / "model" / "examples" / "resnet20.py"


@pytest.fixture
def example(monkeypatch):
    """The example's module, in registries of the test."""
    monkeypatch.setitem(zoo.CLASSIFIERS, "resnet20", None)  # afterwards it is as it was
    monkeypatch.setitem(ARCHITECTURES, "resnet20", None)
    monkeypatch.setitem(sys.modules, "plugin_resnet20", None)  # so that it goes again
    monkeypatch.delenv("RESNET20", raising=False)
    run_plugin(EXAMPLE)
    return sys.modules["plugin_resnet20"]


@pytest.mark.parametrize("counters", [True, False])
def test_someone_elses_weights_become_a_classifier(example, tmp_path, monkeypatch, counters):
    torch.manual_seed(0)
    network = example.ResNet20(10)
    network(torch.rand(8, 3, 32, 32))  # so that the batch norms know something
    state = {n: t for n, t in network.state_dict().items() if counters or not n.endswith("tracked")}
    save_file(state, tmp_path / "resnet20.safetensors")
    monkeypatch.setenv("RESNET20", str(tmp_path / "resnet20.safetensors"))
    found = load_classifier("resnet20")
    assert not found.training
    assert found.classes == load_classifier("cifar10").classes
    x = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert torch.equal(found(x), network.eval()((x - mean) / std))


def test_it_is_the_resnet20_of_the_paper(example):
    network = example.ResNet20(10)
    weights = [p for p in network.parameters() if p.ndim > 1]
    assert len(weights) == 20
    assert sum(p.numel() for p in network.parameters()) == 269_722
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_its_shortcuts_have_no_parameters_and_pad_both_sides(example):
    block = example.Block(16, 32, 2).eval()
    for parameter in (block.bn2.weight, block.bn2.bias):
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 16, 8, 8)
    found = block(x)
    assert torch.equal(found[:, 8:24], x[:, :, ::2, ::2])
    assert found[:, :8].abs().max() == found[:, 24:].abs().max() == 0


def test_a_missing_variable_and_a_missing_file_are_said(example, tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="the environment variable RESNET20"):
        load_classifier("resnet20")
    monkeypatch.setenv("RESNET20", str(tmp_path / "nothing.safetensors"))
    with pytest.raises(WeightsError, match=r"nothing\.safetensors is missing"):
        load_classifier("resnet20")


def test_weights_of_another_network_do_not_fit(example, tmp_path, monkeypatch):
    save_file({"conv1.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "other.safetensors")
    monkeypatch.setenv("RESNET20", str(Path(tmp_path) / "other.safetensors"))
    with pytest.raises(WeightsError, match=r"resnet20 does not fit: tensor bn1\.bias is missing"):
        load_classifier("resnet20")
