import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model import ComDefend, files, pretrained
from model.classifiers import Classifier
from model.files import WeightsError


@pytest.fixture
def folder(codec, tmp_path) -> Path:
    codec.save_pretrained(tmp_path / "codec")
    return tmp_path / "codec"


def test_a_saved_model_loads_equal(codec, folder, pictures):
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    loaded = ComDefend.from_pretrained(folder)
    assert loaded.config == codec.config
    assert not loaded.training
    assert torch.equal(loaded(pictures), codec(pictures))


def test_a_classifier_too(classifier, pictures, tmp_path):
    classifier.save_pretrained(tmp_path)
    loaded = Classifier.from_pretrained(tmp_path)
    assert loaded.classes == classifier.classes
    assert torch.equal(loaded(pictures), classifier(pictures))


def test_one_flipped_byte_is_noticed(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"model\.safetensors is damaged"):
        ComDefend.from_pretrained(folder)


def test_a_truncated_file_is_named(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"model\.safetensors is damaged"):
        ComDefend.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=f"{name} is missing"):
        ComDefend.from_pretrained(folder)


def test_missing_extra_and_misshapen_tensors_are_named(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["com.conv0.bias"]
    tensors["com.conv9.bias"] = torch.zeros(1)
    tensors["rec.conv1.bias"] = torch.zeros(4)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError) as caught:
        ComDefend.from_pretrained(folder)
    assert "com.conv0.bias is missing" in str(caught.value)
    assert "com.conv9.bias is unknown" in str(caught.value)
    assert "rec.conv1.bias has shape (4,), not (3,)" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"sigma": 20.0}', '{"com_widths": "wide"}'])
def test_a_damaged_config_is_named(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json"):
        ComDefend.from_pretrained(folder)


def test_a_config_without_the_hash_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    del config["sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"config\.json does not fit: missing entries \['sha256'\]"):
        ComDefend.from_pretrained(folder)


@pytest.mark.parametrize("entry", [{"mean": 5}, {"arch": "vgg"}, {"classes": None}])
def test_a_classifiers_impossible_config_is_named(classifier, tmp_path, entry):
    classifier.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | entry))
    with pytest.raises(WeightsError, match=r"config\.json does not fit"):
        Classifier.from_pretrained(tmp_path)


def test_no_pickle_is_ever_read(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(WeightsError, match=r"model\.safetensors is missing"):
        ComDefend.from_pretrained(folder)


def test_built_in_weights_are_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    wanted = pretrained.WEIGHTS / "comdefend-cifar10"
    assert pretrained.find_folder("weights/comdefend-cifar10") == wanted
    assert pretrained.find_folder("comdefend-cifar10") == wanted


def test_outside_of_a_clone_own_weights_go_before_those_that_were_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "IN_CLONE", False)
    monkeypatch.setattr(files, "WORKPLACE", Path())
    monkeypatch.chdir(tmp_path)
    installed = pretrained.WEIGHTS / "comdefend-cifar10"
    assert pretrained.find_folder("comdefend-cifar10") == installed
    own = Path("weights", "comdefend-cifar10")
    own.mkdir(parents=True)
    assert pretrained.find_folder("comdefend-cifar10") == own
    assert pretrained.find_folder("weights/comdefend-cifar10") == own
    assert pretrained.find_folder(installed) == installed


@pytest.mark.parametrize(
    "name", ["weights/nothing-here", "./nothing", "/nothing/at/all", "nothing", Path("a/b")]
)
def test_missing_folders_are_never_looked_up_on_the_hub(monkeypatch, name):
    def fail(**_: object) -> str:
        raise AssertionError("asked the Hub")

    monkeypatch.setattr(pretrained, "hf_hub_download", fail)
    with pytest.raises(WeightsError, match="there is no folder"):
        ComDefend.from_pretrained(name)


def test_a_hub_id_is_asked_for_exactly_its_two_files(monkeypatch, folder, codec, pictures):
    asked = []

    def download(repo_id: str, filename: str, **_: object) -> str:
        asked.append((repo_id, filename))
        return str(folder / filename)

    monkeypatch.setattr(pretrained, "hf_hub_download", download)
    assert torch.equal(ComDefend.from_pretrained("someone/codec")(pictures), codec(pictures))
    assert set(asked) == {("someone/codec", "config.json"), ("someone/codec", "model.safetensors")}


def test_an_unreachable_hub_is_one_sentence(monkeypatch):
    def download(**_: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(pretrained, "hf_hub_download", download)
    with pytest.raises(WeightsError, match="'someone/codec' could not be had from the Hub: no network"):
        ComDefend.from_pretrained("someone/codec")
