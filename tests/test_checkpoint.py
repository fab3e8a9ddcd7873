import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model import ComDefend, checkpoint
from model.checkpoint import WeightsError
from model.classifiers import Classifier


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
    wanted = checkpoint.WEIGHTS / "comdefend-cifar10"
    assert checkpoint.find_folder("weights/comdefend-cifar10") == wanted
    assert checkpoint.find_folder("comdefend-cifar10") == wanted


@pytest.mark.parametrize(
    "name", ["weights/nothing-here", "./nothing", "/nothing/at/all", "nothing", Path("a/b")]
)
def test_missing_folders_are_never_looked_up_on_the_hub(monkeypatch, name):
    def fail(**_: object) -> str:
        raise AssertionError("asked the Hub")

    monkeypatch.setattr(checkpoint, "hf_hub_download", fail)
    with pytest.raises(WeightsError, match="there is no folder"):
        ComDefend.from_pretrained(name)


def test_a_hub_id_is_asked_for_exactly_its_two_files(monkeypatch, folder, codec, pictures):
    asked = []

    def download(repo_id: str, filename: str, **_: object) -> str:
        asked.append((repo_id, filename))
        return str(folder / filename)

    monkeypatch.setattr(checkpoint, "hf_hub_download", download)
    assert torch.equal(ComDefend.from_pretrained("someone/codec")(pictures), codec(pictures))
    assert set(asked) == {("someone/codec", "config.json"), ("someone/codec", "model.safetensors")}


def test_an_unreachable_hub_is_one_sentence(monkeypatch):
    def download(**_: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(checkpoint, "hf_hub_download", download)
    with pytest.raises(WeightsError, match="'someone/codec' could not be had from the Hub: no network"):
        ComDefend.from_pretrained("someone/codec")


def test_a_write_that_fails_leaves_the_old_file(monkeypatch, tmp_path):
    path = tmp_path / "file"
    checkpoint.write_atomically(path, b"old")
    monkeypatch.setattr(checkpoint.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        checkpoint.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_replacing_a_folder_leaves_nothing_behind(tmp_path):
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "target" / "stale").write_text("stale")
    checkpoint.replace_folder(tmp_path / "new", tmp_path / "target")
    assert [p.name for p in (tmp_path / "target").iterdir()] == ["file"]
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "target"]


def test_a_run_survives_saving(codec, pictures, tmp_path):
    optimizer = torch.optim.Adam(codec.parameters(), lr=0.1)
    codec(pictures).sum().backward()
    optimizer.step()
    path = tmp_path / "run.safetensors"
    checkpoint.save_run(path, {"model": codec, "best": torch.nn.Linear(1, 1)}, optimizer, {"step": 1})

    other = ComDefend(codec.config)
    restored = torch.optim.Adam(other.parameters(), lr=0.1)
    checkpoint.load_run(path, {"model": other}, restored)
    assert checkpoint.read_run_state(path) == {"step": 1}
    for model, steps in ((codec, optimizer), (other, restored)):
        steps.zero_grad()
        model(pictures).sum().backward()
        steps.step()
    for name, tensor in codec.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_an_optimisers_tensors_lie_in_memory_as_their_parameters(tmp_path):
    """Fused optimisers refuse others; the file has them all contiguous."""
    models = [torch.nn.Conv2d(3, 8, 3).to(memory_format=torch.channels_last) for _ in range(2)]
    saved, restored = (torch.optim.SGD(model.parameters(), 0.1, momentum=0.9) for model in models)
    models[0](torch.rand(1, 3, 4, 4)).sum().backward()
    saved.step()
    checkpoint.save_run(tmp_path / "run.safetensors", {"model": models[0]}, saved, {})
    checkpoint.load_run(tmp_path / "run.safetensors", {"model": models[1]}, restored)
    momentum = restored.state[models[1].weight]["momentum_buffer"]
    assert momentum.stride() == models[1].weight.stride() != momentum.contiguous().stride()
    assert torch.equal(momentum, saved.state[models[0].weight]["momentum_buffer"])
